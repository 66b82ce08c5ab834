"""Whether a kubelet admits a pod: pure, in the kubelet's order, with its reasons and messages.

Source: spec node-lifecycle 11. The pod is bound already, so this is the kubelet's own check of
what the scheduler (or whoever set spec.nodeName) should have seen to. The first rule that fails
decides.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from kubeherd.agents.pods.facts import Rejection
from kubeherd.cluster.api.helpers import podutil, scheduling
from kubeherd.cluster.api.objects import Node, Pod, PodSpec, Taint

_OS_LABEL: Final = "kubernetes.io/os"
_SHUTTING_DOWN: Final = Rejection("NodeShutdown", "Pod was rejected as the node is shutting down.")
CRITICAL_PRIORITY: Final = 2_000_000_000
_MEMORY_PRESSURE: Final = "MemoryPressure"
_PRESSURES: Final = (_MEMORY_PRESSURE, "DiskPressure", "PIDPressure")
_RESOURCE_ORDER: Final = {"cpu": 0, "memory": 1, "ephemeral-storage": 2}


class Shortage(NamedTuple):
    """A resource of which a pod asks for more than is left; CPU in thousandths."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def missing(self) -> int:
        """How much would have to be freed."""
        return self.requested - (self.capacity - self.used)


def admit(
    pod: Pod,
    node: Node,
    others: Iterable[Pod],
    *,
    pressures: Sequence[str] = (),
    shutting_down: bool = False,
) -> Rejection | None:
    """None to run the pod, else why not.

    `others`: the pods already on the node (ended ones are ignored). `pressures`: the types of the
    node's pressure conditions that are True. `shutting_down`: the machine is about to stop.
    """
    active = [other for other in others if not podutil.is_terminal(other)]
    return (
        (_SHUTTING_DOWN if shutting_down else None)
        or _evicted(pod, pressures)
        or _operating_system(pod, node)
        or _resources(pod.spec, node, active)
        or _node_affinity(pod, node)
        or _node_name(pod, node)
        or _ports(pod.spec, active)
        or _taints(pod.spec, node)
    )


def is_critical(pod: Pod) -> bool:
    """Whether a pod's priority exempts it from eviction."""
    return pod.spec.priority is not None and pod.spec.priority >= CRITICAL_PRIORITY


def _evicted(pod: Pod, pressures: Sequence[str]) -> Rejection | None:
    present = [type_ for type_ in _PRESSURES if type_ in pressures]
    if not present or is_critical(pod):
        return None
    if present == [_MEMORY_PRESSURE]:
        taint = Taint(key="node.kubernetes.io/memory-pressure", effect="NoSchedule")
        best_effort = pod.status.qos_class in ("", "BestEffort")
        if not best_effort or scheduling.tolerated(pod.spec.tolerations, taint):
            return None
    return Rejection("Evicted", f"The node had condition: [{' '.join(present)}]. ")


def shortages(spec: PodSpec, node: Node, others: Iterable[Pod]) -> list[Shortage]:
    """Everything that a pod asks for and the node has not got left, in the kubelet's order."""
    active = [other for other in others if not podutil.is_terminal(other)]
    capacity = scheduling.allocatable_amounts(node.status.allocatable)
    found = []
    room = capacity.get("pods", 0)
    if len(active) + 1 > room:
        found.append(Shortage("pods", 1, len(active), room))
    wanted = {name: n for name, n in scheduling.pod_requests(spec).items() if n > 0}
    if not wanted:
        return found
    used: dict[str, int] = {}
    for other in active:
        for name, amount in scheduling.pod_requests(other.spec).items():
            used[name] = used.get(name, 0) + amount
    for name in sorted(wanted, key=lambda name: (_RESOURCE_ORDER.get(name, 3), name)):
        shortage = Shortage(name, wanted[name], used.get(name, 0), capacity.get(name, 0))
        if shortage.missing > 0:
            found.append(shortage)
    return found


def _resources(spec: PodSpec, node: Node, active: Sequence[Pod]) -> Rejection | None:
    short = shortages(spec, node, active)
    if not short:
        return None
    resource, requested, used, capacity = short[0]
    return Rejection(
        f"OutOf{resource}",
        f"Node didn't have enough resource: {resource}, "
        f"requested: {requested}, used: {used}, capacity: {capacity}",
    )


def _operating_system(pod: Pod, node: Node) -> Rejection | None:
    wanted = pod.metadata.labels.get(_OS_LABEL)
    if wanted is not None and wanted != node.metadata.labels.get(_OS_LABEL, wanted):
        return Rejection(
            "PodOSSelectorNodeLabelDoesNotMatch",
            f"Failed to admit pod as the `{_OS_LABEL}` label doesn't match node label",
        )
    if pod.spec.os and pod.spec.os.get("name") != "linux":
        return Rejection(
            "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
        )
    return None


def _node_affinity(pod: Pod, node: Node) -> Rejection | None:
    if scheduling.matches_node(pod.spec, node):
        return None
    return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")


def _node_name(pod: Pod, node: Node) -> Rejection | None:
    if pod.spec.node_name in ("", node.metadata.name):
        return None
    return _predicate("NodeName", "node(s) didn't match the requested node name")


def _ports(spec: PodSpec, active: Sequence[Pod]) -> Rejection | None:
    wanted = scheduling.host_ports(spec)
    if not wanted:
        return None
    used = [port for other in active for port in scheduling.host_ports(other.spec)]
    if not scheduling.ports_conflict(wanted, used):
        return None
    return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")


def _taints(spec: PodSpec, node: Node) -> Rejection | None:
    if not scheduling.first_untolerated(node.spec.taints, spec.tolerations, scheduling.NO_EXECUTE):
        return None
    return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")


def _predicate(reason: str, why: str) -> Rejection:
    return Rejection(reason, f"Predicate {reason} failed: {why}")
