"""The objects that every namespace must hold (spec api-machinery, 8). Pure."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Namespace

SERVICE_ACCOUNT = "default"
ROOT_CA_CONFIGMAP = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


def wants_content(namespace: Namespace | None) -> bool:
    """Whether objects may be created in a namespace: it exists and is not being deleted."""
    return (
        namespace is not None
        and namespace.metadata.deletion_timestamp is None
        and namespace.status.phase != "Terminating"
    )


def service_account(namespace: str) -> JsonObject:
    """The ServiceAccount that pods get when they name none."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": namespace},
    }


def root_ca_configmap(namespace: str, ca_pem: str) -> JsonObject:
    """The ConfigMap with the CA of the API server's certificate."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CA_CONFIGMAP,
            "namespace": namespace,
            "annotations": {"kubernetes.io/description": _DESCRIPTION},
        },
        "data": {"ca.crt": ca_pem},
    }


def repaired_configmap(present: JsonObject, ca_pem: str) -> JsonObject | None:
    """The present ConfigMap with the right contents; None if it has them."""
    wanted = root_ca_configmap("", ca_pem)
    annotations = (present.get("metadata") or {}).get("annotations") or {}
    wanted_annotations = wanted["metadata"]["annotations"]
    if present.get("data") == wanted["data"] and wanted_annotations.items() <= annotations.items():
        return None
    metadata = {**present["metadata"], "annotations": {**annotations, **wanted_annotations}}
    return {**present, "metadata": metadata, "data": wanted["data"]}
