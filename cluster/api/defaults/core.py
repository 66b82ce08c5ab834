"""Defaults of kinds without a pod template (spec api-machinery, section 17)."""

import base64

from kubeherd.cluster.api.jsontypes import JsonObject


def service(tree: JsonObject) -> None:
    """Service: ClusterIP, TCP, the target port is the port."""
    spec = tree.setdefault("spec", {})
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", 10800)
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def secret(tree: JsonObject) -> None:
    """Secret: type Opaque; stringData, which is write-only, becomes data."""
    if not tree.get("type"):
        tree["type"] = "Opaque"
    plain = tree.pop("stringData", None)
    if plain:
        data = tree.setdefault("data", {})
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()


def node(tree: JsonObject) -> None:
    """Node: allocatable is the capacity where a kubelet does not say."""
    status = tree.get("status")
    if status and status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def namespace(tree: JsonObject) -> None:
    """Namespace: the label that carries its name."""
    metadata = tree["metadata"]
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]


def endpoints(tree: JsonObject) -> None:
    """Endpoints: ports are TCP."""
    for subset in tree.get("subsets", ()):
        for port in subset.get("ports", ()):
            port.setdefault("protocol", "TCP")


def persistent_volume_claim(tree: JsonObject) -> None:
    """PersistentVolumeClaim: Pending, file system."""
    tree.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    tree.setdefault("status", {}).setdefault("phase", "Pending")


def persistent_volume(tree: JsonObject) -> None:
    """PersistentVolume: Pending, retained, file system."""
    spec = tree.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")
    tree.setdefault("status", {}).setdefault("phase", "Pending")


def limit_range(tree: JsonObject) -> None:
    """LimitRange: container limits and requests from max, default and min."""
    for item in (tree.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        for source, target in (("max", "default"), ("default", "defaultRequest"),
                               ("min", "defaultRequest")):  # fmt: skip
            for name, amount in item.get(source, {}).items():
                item.setdefault(target, {}).setdefault(name, amount)
