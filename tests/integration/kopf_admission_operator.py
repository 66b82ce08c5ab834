"""A kopf operator with admission handlers, run by test_kopf_admission_live: it marks every
ConfigMap, warns of empty ones and refuses those with the key `forbidden`; a Gadget without a size
gets one, and a ConfigMap that tells it, while it lives."""

import os
from pathlib import Path
from typing import Any

import kopf
import kubernetes

PKI = Path(os.environ["WEBHOOK_PKI"])


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.admission.managed = "auto.kopf.dev"
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1",
        host="127.0.0.1",
        certfile=str(PKI / "apiserver.crt"),
        pkeyfile=str(PKI / "apiserver.key"),
        cafile=str(PKI / "ca.crt"),
    )


@kopf.on.validate("configmaps")
def check(body: kopf.Body, warnings: list[str], **_: Any) -> None:
    data = body.get("data") or {}
    if not data:
        warnings.append("it is empty")
    if "forbidden" in data:
        raise kopf.AdmissionError("no such data", code=451)


@kopf.on.mutate("configmaps", operations=["CREATE"])
def mark(patch: kopf.Patch, **_: Any) -> None:
    patch.metadata.labels["marked"] = "yes"


@kopf.on.mutate("gadgets.example.com")
def measure(spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> None:
    if "size" not in spec:
        patch.spec["size"] = 3


@kopf.on.create("gadgets.example.com")
def tell(
    spec: kopf.Spec, name: str | None, namespace: str | None, patch: kopf.Patch, **_: Any
) -> None:
    assert namespace is not None
    data = {"size": str(spec["size"])}
    config: Any = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data,
    }
    kopf.adopt(config)
    api = kubernetes.config.new_client_from_config(os.environ["KUBECONFIG"])
    with api:
        core = kubernetes.client.CoreV1Api(api)
        core.create_namespaced_config_map(namespace, config)
    patch.status["told"] = True


@kopf.on.delete("gadgets.example.com")
def forget(**_: Any) -> None:
    """So that the operator has its finalizer on gadgets."""
