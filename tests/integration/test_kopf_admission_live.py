"""A kopf operator with admission handlers, as a process of its own: its webhooks are asked."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes
import pytest

import kubeherd

OPERATOR = Path(__file__).with_name("kopf_admission_operator.py")


@pytest.mark.kubeherd(nodes=1)
def test_a_kopf_operator_refuses_warns_and_changes(kubeherd_cluster: kubeherd.Cluster) -> None:
    kubeconfig = Path(kubeherd_cluster.kubeconfig)
    pki = kubeconfig.parent / "pki"
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "WEBHOOK_PKI": str(pki)}
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", "default"]
    process = subprocess.Popen([*command, str(OPERATOR)], env=environment)
    try:
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            kubeherd_cluster.wait_for(kind, "auto.kopf.dev", asks)
        with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:
            core = kubernetes.client.CoreV1Api(api)
            good = {"metadata": {"name": "good"}, "data": {"a": "b"}}
            created = core.create_namespaced_config_map("default", good)
            assert created.metadata.labels == {"marked": "yes"}
            _, status, headers = core.create_namespaced_config_map_with_http_info(
                "default", {"metadata": {"name": "empty"}}
            )
            assert (status, headers["Warning"]) == (201, '299 - "it is empty"')
            bad = {"metadata": {"name": "bad"}, "data": {"forbidden": "x"}}
            with pytest.raises(kubernetes.client.ApiException) as refused:
                core.create_namespaced_config_map("default", bad)
            assert refused.value.status == 451
            assert "denied the request: no such data" in str(refused.value.body)
    finally:
        process.terminate()
        process.wait(20)


def asks(configuration: dict[str, Any]) -> bool:
    return bool(configuration.get("webhooks"))
