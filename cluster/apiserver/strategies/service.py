"""Services: fields that a type has no use for go when the type changes.

Source: pkg/registry/core/service/strategy.go (dropTypeDependentFields), v1.36. What the user set in
the same write stays, and is then refused if it does not fit.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.networking.service import is_external, needs_health_check
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext

_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class ServiceStrategy(Strategy):
    def initial_status(self, tree: JsonObject) -> JsonObject:
        return {"loadBalancer": {}}

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        _drop_unused(spec, before)
        if spec.get("type") != "LoadBalancer":
            new["status"] = {**(new.get("status") or {}), "loadBalancer": {}}


def _drop_unused(spec: JsonObject, before: JsonObject) -> None:
    kind, was = spec.get("type"), before.get("type")
    if kind == "ExternalName" and was != "ExternalName":
        _drop_same(spec, before, "clusterIP", "clusterIPs")
        _drop_same(spec, before, "ipFamilies")
        _drop_same(spec, before, "ipFamilyPolicy")
    if was in _WITH_NODE_PORTS and kind not in _WITH_NODE_PORTS:
        _drop_node_ports(spec, before)
    if needs_health_check(before) and not needs_health_check(spec):
        _drop_same(spec, before, "healthCheckNodePort")
    if was == "LoadBalancer" and kind != "LoadBalancer":
        _drop_same(spec, before, "allocateLoadBalancerNodePorts")
        _drop_same(spec, before, "loadBalancerClass")
    if is_external(before) and not is_external(spec):
        _drop_same(spec, before, "externalTrafficPolicy")


def _drop_same(spec: JsonObject, before: JsonObject, *names: str) -> None:
    if all(spec.get(name) == before.get(name) for name in names):
        for name in names:
            spec.pop(name, None)


def _drop_node_ports(spec: JsonObject, before: JsonObject) -> None:
    """Unless one is new, which is then refused."""
    known = {port.get("nodePort") for port in before.get("ports") or ()}
    ports = spec.get("ports") or ()
    if known.issuperset(port["nodePort"] for port in ports if port.get("nodePort")):
        for port in ports:
            port.pop("nodePort", None)
