"""Defaults of kinds without a pod template (spec api-machinery, section 17)."""

import base64

from kubeherd.cluster.api.defaults.amounts import round_resources, round_up
from kubeherd.cluster.api.defaults.volumes import default_source
from kubeherd.cluster.api.jsontypes import JsonObject


def service(tree: JsonObject) -> None:
    """Service: ClusterIP, TCP, the target port is the port."""
    spec = tree.setdefault("spec", {})
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if config.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports", ()):
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    _service_policies(tree, spec)


def _service_policies(tree: JsonObject, spec: JsonObject) -> None:
    kind = spec["type"]
    external = kind in ("NodePort", "LoadBalancer") or (
        kind == "ClusterIP" and spec.get("externalIPs")
    )
    if external and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    elif kind == "ExternalName":
        spec.pop("internalTrafficPolicy", None)
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        status = tree.get("status") or {}
        for point in (status.get("loadBalancer") or {}).get("ingress") or ():
            if point.get("ip"):
                point.setdefault("ipMode", "VIP")


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
    """Node: allocatable is the capacity where a kubelet does not say; podCIDR leads podCIDRs."""
    spec = tree.get("spec") or {}
    first, cidrs = spec.get("podCIDR"), spec.get("podCIDRs")
    if first and (not cidrs or cidrs[0] != first):
        spec["podCIDRs"] = [first]
    elif cidrs and not first:
        spec["podCIDR"] = cidrs[0]
    status = tree.get("status") or {}
    round_up(status.get("capacity"))
    round_up(status.get("allocatable"))
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def namespace(tree: JsonObject) -> None:
    """Namespace: the label that carries its name, the phase."""
    metadata = tree["metadata"]
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
    tree.setdefault("status", {}).setdefault("phase", "Active")


def endpoints(tree: JsonObject) -> None:
    """Endpoints: ports are TCP."""
    for subset in tree.get("subsets", ()):
        for port in subset.get("ports", ()):
            port.setdefault("protocol", "TCP")


def persistent_volume_claim(tree: JsonObject) -> None:
    """PersistentVolumeClaim: Pending, file system."""
    spec = tree.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    round_resources(spec.get("resources"))
    status = tree.setdefault("status", {})
    status.setdefault("phase", "Pending")
    for name in ("capacity", "allocatedResources"):
        round_up(status.get(name))


def persistent_volume(tree: JsonObject) -> None:
    """PersistentVolume: Pending, retained, file system."""
    spec = tree.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    round_up(spec.get("capacity"))
    default_source(spec)
    tree.setdefault("status", {}).setdefault("phase", "Pending")


def limit_range(tree: JsonObject) -> None:
    """LimitRange: container limits and requests from max, default and min."""
    spec = tree.setdefault("spec", {})
    spec["limits"] = spec.get("limits") or None
    for item in spec["limits"] or ():
        for name in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            round_up(item.get(name))
        if item.get("type") != "Container":
            continue
        for source, target in (("max", "default"), ("default", "defaultRequest"),
                               ("min", "defaultRequest")):  # fmt: skip
            for name, amount in (item.get(source) or {}).items():
                item.setdefault(target, {}).setdefault(name, amount)


def resource_quota(tree: JsonObject) -> None:
    """ResourceQuota: only rounded amounts."""
    round_up((tree.get("spec") or {}).get("hard"))
    for name in ("hard", "used"):
        round_up((tree.get("status") or {}).get(name))


def custom_resource_definition(tree: JsonObject) -> None:
    """CustomResourceDefinition: names that follow from the kind; no conversion."""
    spec = tree.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if kind and not names.get("listKind"):
        names["listKind"] = f"{kind}List"
    if not spec.get("conversion"):
        spec["conversion"] = {"strategy": "None"}
    service = ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
