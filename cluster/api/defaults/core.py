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
    for item in (tree.get("spec") or {}).get("limits", ()):
        if item.get("type") != "Container":
            continue
        for source, target in (("max", "default"), ("default", "defaultRequest"),
                               ("min", "defaultRequest")):  # fmt: skip
            for name, amount in item.get(source, {}).items():
                item.setdefault(target, {}).setdefault(name, amount)


def role_binding(tree: JsonObject) -> None:
    """RoleBinding and ClusterRoleBinding: API groups of the role and of its subjects."""
    role = tree.setdefault("roleRef", {})
    if not role.get("apiGroup"):
        role["apiGroup"] = "rbac.authorization.k8s.io"
    for subject in tree.get("subjects", ()):
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = "rbac.authorization.k8s.io"


def priority_class(tree: JsonObject) -> None:
    """PriorityClass: pods of the class preempt others."""
    tree.setdefault("preemptionPolicy", "PreemptLowerPriority")


def horizontal_pod_autoscaler(tree: JsonObject) -> None:
    """HorizontalPodAutoscaler: at least one replica."""
    tree.setdefault("spec", {}).setdefault("minReplicas", 1)


def network_policy(tree: JsonObject) -> None:
    """NetworkPolicy: TCP ports; policy types follow from the rules."""
    spec = tree.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")


def storage_class(tree: JsonObject) -> None:
    """StorageClass: volumes are deleted with their claim and bound at once."""
    tree.setdefault("reclaimPolicy", "Delete")
    tree.setdefault("volumeBindingMode", "Immediate")


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
    if service:
        service.setdefault("port", 443)
