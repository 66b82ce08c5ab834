"""Defaults of networking.k8s.io and discovery.k8s.io (pkg/apis/{networking,discovery}/v1)."""

from kubeherd.cluster.api.jsontypes import JsonObject


def network_policy(tree: JsonObject) -> None:
    """NetworkPolicy: TCP ports; policy types follow from the rules."""
    spec = tree.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")


def ingress_class(tree: JsonObject) -> None:
    """IngressClass: its parameters are an object of the whole cluster."""
    parameters = (tree.get("spec") or {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def endpoint_slice(tree: JsonObject) -> None:
    """EndpointSlice: TCP ports without a name."""
    for port in tree.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
