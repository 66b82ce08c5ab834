"""Which running pods a kubelet ends of its own accord, and what it says about it. Pure.

Three causes: pressure on the node (eviction), a critical pod that needs room (preemption at
admission), the shutdown of the machine. Source: spec node-lifecycle 11 and 15. Invariants:
critical pods are neither evicted nor preempted by equals; the same pods always give the same
victims, so a choice can be repeated and tested.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from kubeherd.agents.pods.admission import Shortage, is_critical
from kubeherd.agents.pods.facts import Ending
from kubeherd.cluster.api import quantity
from kubeherd.cluster.api.helpers import scheduling
from kubeherd.cluster.api.objects import Pod

EVICTION_INTERVAL_S: Final = 10.0
"""The eviction manager looks this often and evicts at most one pod each time."""
SHUTTING_DOWN: Final = "node is shutting down"


class Signal(NamedTuple):
    """A resource under pressure: the name in messages and the default hard threshold."""

    resource: str
    threshold: str
    available: str


MEMORY: Final = Signal("memory", "100Mi", "50Mi")
PREEMPTED: Final = Ending(
    "Preempting",
    "Preempted in order to admit critical pod",
    "Pod was preempted by Kubelet to accommodate a critical pod.",
)
_SHUTDOWN_MESSAGE: Final = "Pod was terminated in response to imminent node shutdown."


def disk(ephemeral_storage: str) -> Signal:
    """Disk pressure on a node of this capacity: less than 10 % are left (here: 5 %)."""
    total = quantity.parse(ephemeral_storage).value()
    return Signal("ephemeral-storage", _binary(total // 10), _binary(total // 20))


def evicted(signal: Signal) -> Ending:
    """What an evicted pod's status and Event say; a hard threshold leaves no grace."""
    message = (
        f"The node was low on resource: {signal.resource}. "
        f"Threshold quantity: {signal.threshold}, available: {signal.available}. "
    )
    return Ending("Evicted", message, message, grace_s=0.0)


def shut_down(grace_s: float) -> Ending:
    """The end of a pod on a machine that shuts down within `grace_s`."""
    return Ending("Terminated", _SHUTDOWN_MESSAGE, _SHUTDOWN_MESSAGE, grace_s, event=False)


def eviction_victim(pods: Iterable[Pod], signal: Signal) -> Pod | None:
    """The pod to evict first: lowest priority, then smallest request of what is short.

    What pods use is not simulated, so no pod uses more than it asked for.
    """

    def rank(pod: Pod) -> tuple[int, int, str, str]:
        asked = scheduling.pod_requests(pod.spec).get(signal.resource, 0)
        metadata = pod.metadata
        return pod.spec.priority or 0, asked, metadata.namespace, metadata.name

    return min((pod for pod in pods if not is_critical(pod)), key=rank, default=None)


def preemption_victims(
    critical: Pod, pods: Sequence[Pod], shortages: Sequence[Shortage]
) -> list[Pod] | None:
    """The pods to end so that a critical pod fits; None if no choice of them would do.

    Guaranteed pods only as far as all others do not suffice, then Burstable, then BestEffort; among
    equals the one whose requests come nearest to what is missing.
    """
    missing = {shortage.resource: shortage.missing for shortage in shortages}
    groups: dict[str, list[Pod]] = {"BestEffort": [], "Burstable": [], "Guaranteed": []}
    for pod in pods:
        if _may_preempt(critical, pod):
            groups.setdefault(pod.status.qos_class or "BestEffort", []).append(pod)
    best_effort, burstable, guaranteed = (
        groups["BestEffort"], groups["Burstable"], groups["Guaranteed"],
    )  # fmt: skip
    chosen = _nearest(guaranteed, _less(missing, [*best_effort, *burstable]))
    if chosen is None:
        return None
    for group, weaker in ((burstable, best_effort), (best_effort, [])):
        more = _nearest(group, _less(missing, [*weaker, *chosen]))
        if more is None:
            return None
        chosen += more
    return chosen


def no_victims(shortages: Sequence[Shortage]) -> str:
    """The message of a critical pod that does not fit whatever is ended."""
    listed = "".join(f"(res: {s.resource}, q: {s.missing}), " for s in shortages)
    return (
        "Unexpected error while attempting to recover from admission failure: preemption: error "
        "finding a set of pods to preempt: no set of running pods found to reclaim resources: "
        f"[{listed}]"
    )


def _may_preempt(critical: Pod, pod: Pod) -> bool:
    if not is_critical(pod):
        return True
    return (pod.spec.priority or 0) < (critical.spec.priority or 0)


def _requests(pod: Pod) -> Mapping[str, int]:
    return {**scheduling.pod_requests(pod.spec), "pods": 1}


def _less(missing: Mapping[str, int], pods: Iterable[Pod]) -> dict[str, int]:
    """What is still missing once these pods are gone."""
    left = dict(missing)
    for pod in pods:
        asked = _requests(pod)
        left = {name: n - asked.get(name, 0) for name, n in left.items()}
    return {name: n for name, n in left.items() if n > 0}


def _nearest(pods: Sequence[Pod], missing: dict[str, int]) -> list[Pod] | None:
    """Pods that together free what is missing, the nearest first; None if all are too few."""
    rest, chosen = list(pods), list[Pod]()
    while missing:
        if not rest:
            return None
        wanted = missing

        def distance(pod: Pod, wanted: dict[str, int] = wanted) -> tuple[float, int]:
            asked = _requests(pod)
            parts = (max(0, n - asked.get(name, 0)) / n for name, n in wanted.items())
            return sum(part * part for part in parts), sum(asked.values())

        best = min(rest, key=distance)
        rest.remove(best)
        chosen.append(best)
        missing = _less(missing, [best])
    return chosen


def _binary(amount: int) -> str:
    """An amount as Kubernetes prints binary quantities: `10Gi`, or the plain number."""
    for suffix, power in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if amount and amount % (1 << power) == 0:
            return f"{amount >> power}{suffix}"
    return str(amount)
