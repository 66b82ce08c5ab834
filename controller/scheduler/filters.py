"""Why a node is no place for a pod: the filter plugins, in their order (spec 3).

Pure. The first plugin that rejects a node speaks for it, with all of its own reasons. A rejection
is either one that removing pods may lift, or one that it cannot: preemption depends on that.
"""

from collections.abc import Callable

import msgspec

from kubeherd.cluster.api.helpers.scheduling import first_untolerated, ports_conflict, tolerated
from kubeherd.cluster.api.objects import Taint
from kubeherd.controller.scheduler import volumes
from kubeherd.controller.scheduler.nodeinfo import NodeInfo, Placement, PodInfo
from kubeherd.controller.scheduler.topology import INTER_POD, SPREAD

_UNSCHEDULABLE_TAINT = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
_FIRST_RESOURCES = ("cpu", "memory", "ephemeral-storage")


class Rejection(msgspec.Struct, frozen=True):
    """One plugin's refusal of one node; ``resolvable``: evicting pods could help."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool = False


UNSCHEDULABLE = Rejection("NodeUnschedulable", ("node(s) were unschedulable",))
WRONG_NAME = Rejection("NodeName", ("node(s) didn't match the requested node name",))
UNTOLERATED = Rejection("TaintToleration", ("node(s) had untolerated taint(s)",))
NO_AFFINITY = Rejection("NodeAffinity", ("node(s) didn't match Pod's node affinity/selector",))
NOT_NAMED = Rejection("NodeAffinity", ("node(s) didn't satisfy plugin(s) [NodeAffinity]",))
NO_PORTS = Rejection(
    "NodePorts",
    ("node(s) didn't have free ports for the requested pod ports",),
    resolvable=True,
)


TOO_SKEWED = Rejection(
    SPREAD, ("node(s) didn't match pod topology spread constraints",), resolvable=True
)
NO_SPREAD_KEY = Rejection(
    SPREAD, ("node(s) didn't match pod topology spread constraints (missing required label)",)
)
NOT_NEAR = Rejection(INTER_POD, ("node(s) didn't match pod affinity rules",))
TOO_NEAR = Rejection(INTER_POD, ("node(s) didn't match pod anti-affinity rules",), resolvable=True)
UNWELCOME = Rejection(
    INTER_POD, ("node(s) didn't satisfy existing pods anti-affinity rules",), resolvable=True
)
UNSUPPORTED = Rejection(
    INTER_POD, ("pod affinity terms with a namespaceSelector are not supported by kubeherd",)
)


def _unschedulable(pod: PodInfo, _where: Placement, info: NodeInfo) -> Rejection | None:
    node = info.node
    if node is None or not node.spec.unschedulable:
        return None
    return None if tolerated(pod.pod.spec.tolerations, _UNSCHEDULABLE_TAINT) else UNSCHEDULABLE


def _name(pod: PodInfo, _where: Placement, info: NodeInfo) -> Rejection | None:
    return WRONG_NAME if pod.pod.spec.node_name not in ("", info.name) else None


def _taints(pod: PodInfo, _where: Placement, info: NodeInfo) -> Rejection | None:
    if info.node is None or not info.node.spec.taints:
        return None
    untolerated = first_untolerated(info.node.spec.taints, pod.pod.spec.tolerations)
    return None if untolerated is None else UNTOLERATED


def _affinity(_pod: PodInfo, where: Placement, info: NodeInfo) -> Rejection | None:
    if where.match is None or info.node is None:
        return None
    return None if where.match(info.node.metadata.labels, info.name) else NO_AFFINITY


def _ports(pod: PodInfo, _where: Placement, info: NodeInfo) -> Rejection | None:
    if not pod.ports or not info.with_ports:
        return None
    used = [port for other in info.with_ports.values() for port in other.ports]
    return NO_PORTS if ports_conflict(pod.ports, used) else None


def fit(pod: PodInfo, info: NodeInfo) -> Rejection | None:
    """NodeResourcesFit: every resource that is short, and whether it could ever be enough."""
    reasons: list[str] = []
    resolvable = True
    if len(info.pods) + 1 > info.allocatable.get("pods", 0):
        reasons.append("Too many pods")
    requests = pod.requests
    if requests:
        names = [n for n in _FIRST_RESOURCES if n in requests]
        names += [n for n in requests if n not in _FIRST_RESOURCES]
        for name in names:
            whole = info.allocatable.get(name, 0)
            if requests[name] > whole - info.requested.get(name, 0):
                reasons.append(f"Insufficient {name}")
                resolvable = resolvable and requests[name] <= whole
    return Rejection("NodeResourcesFit", tuple(reasons), resolvable) if reasons else None


def _fit(pod: PodInfo, _where: Placement, info: NodeInfo) -> Rejection | None:
    return fit(pod, info)


def _volumes(_pod: PodInfo, where: Placement, info: NodeInfo) -> Rejection | None:
    if where.volumes is None or info.node is None:
        return None
    reasons = where.volumes.reasons(info.node)
    return Rejection(volumes.PLUGIN, reasons) if reasons else None


def _spread(_pod: PodInfo, where: Placement, info: NodeInfo) -> Rejection | None:
    if where.rules is None or info.node is None:
        return None
    labels = info.node.metadata.labels
    if any(key not in labels for key, _, _ in where.rules.spread):
        return NO_SPREAD_KEY
    for key, room, counts in where.rules.spread:
        if counts.get(labels[key], 0) > room:
            return TOO_SKEWED
    return None


def _inter_pod(pod: PodInfo, where: Placement, info: NodeInfo) -> Rejection | None:
    rules = where.rules
    if pod.terms is not None and pod.terms.unsupported:
        return UNSUPPORTED
    if rules is None or info.node is None:
        return None
    labels = info.node.metadata.labels
    for key in rules.near_keys:
        if key not in labels or not (rules.bootstraps or (key, labels[key]) in rules.near):
            return NOT_NEAR
    if any(labels.get(key) == value for key, value in rules.far):
        return TOO_NEAR
    if any(labels.get(key) == value for key, value in rules.unwelcome):
        return UNWELCOME
    return None


_FILTERS: tuple[Callable[[PodInfo, Placement, NodeInfo], Rejection | None], ...] = (
    _unschedulable,
    _name,
    _taints,
    _affinity,
    _ports,
    _fit,
    _volumes,
    _spread,
    _inter_pod,
)


def reject(pod: PodInfo, where: Placement, info: NodeInfo) -> Rejection | None:
    """The first plugin's refusal, or None if the pod may go to this node."""
    for check in _FILTERS:
        rejection = check(pod, where, info)
        if rejection is not None:
            return rejection
    return None
