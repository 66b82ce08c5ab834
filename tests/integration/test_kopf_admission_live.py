"""A kopf operator with admission handlers, as a process of its own: its webhooks are asked."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from patience import PATIENCE_S

import kubeherd

OPERATOR = Path(__file__).with_name("kopf_admission_operator.py")
DEFINITION = yaml.safe_load("""\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  names: {kind: Gadget, plural: gadgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
""")


@pytest.mark.kubeherd(nodes=1, speed=1)
def test_a_kopf_operator_refuses_warns_and_changes(kubeherd_cluster: kubeherd.Cluster) -> None:
    kubeconfig = Path(kubeherd_cluster.kubeconfig)
    pki = kubeconfig.parent / "pki"
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "WEBHOOK_PKI": str(pki)}
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", "default"]
    with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:
        kubernetes.client.ApiextensionsV1Api(api).create_custom_resource_definition(DEFINITION)
    process = subprocess.Popen([*command, str(OPERATOR)], env=environment)
    try:
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            kubeherd_cluster.wait_for(kind, "auto.kopf.dev", asks)
        with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:
            core = kubernetes.client.CoreV1Api(api)
            good = config_map("good", {"a": "b"})
            created = core.create_namespaced_config_map("default", good)
            assert created.metadata is not None
            assert created.metadata.labels == {"marked": "yes"}
            _, status, headers = core.create_namespaced_config_map_with_http_info(
                "default", config_map("empty")
            )
            assert (status, headers["Warning"]) == (201, '299 - "it is empty"')
            bad = config_map("bad", {"forbidden": "x"})
            with pytest.raises(kubernetes.client.ApiException) as refused:
                core.create_namespaced_config_map("default", bad)
            assert refused.value.status == 451
            assert "denied the request: no such data" in str(refused.value.body)
            gadgets(api, kubeherd_cluster)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def config_map(name: str, data: dict[str, str] | None = None) -> kubernetes.client.V1ConfigMap:
    return kubernetes.client.V1ConfigMap(
        metadata=kubernetes.client.V1ObjectMeta(name=name), data=data
    )


def gadgets(api: kubernetes.client.ApiClient, cluster: kubeherd.Cluster) -> None:
    """The operator's own kind: its webhook changes one, its handlers see it come and go."""
    custom = kubernetes.client.CustomObjectsApi(api)
    path = ("example.com", "v1", "default", "gadgets")
    gadget = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "one"}}
    made: Any = custom.create_namespaced_custom_object(*path, {**gadget, "spec": {}})
    assert made["spec"] == {"size": 3}
    child = cluster.wait_for("ConfigMap", "one", bool)
    assert (child["data"], child["metadata"]["ownerReferences"][0]["kind"]) == (
        {"size": "3"},
        "Gadget",
    )
    for event in kubernetes.watch.Watch().stream(
        custom.list_namespaced_custom_object, *path, timeout_seconds=20
    ):
        if (event["object"].get("status") or {}).get("told"):
            break
    else:
        pytest.fail("the operator wrote no status")
    assert event["object"]["metadata"]["finalizers"]
    custom.delete_namespaced_custom_object(*path, "one")
    cluster.wait_gone("ConfigMap", "one")


def asks(configuration: dict[str, Any]) -> bool:
    return bool(configuration.get("webhooks"))
