"""Whom to evict so that a more important pod fits (spec 6).

Pure. Invariants: only pods of lower priority are victims; a node is only considered when its
rejection is one that evicting pods can lift; as many pods as possible are spared, those that a
PodDisruptionBudget protects first.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from kubeherd.controller.scheduler import messages
from kubeherd.controller.scheduler.filters import Rejection
from kubeherd.controller.scheduler.nodeinfo import NodeInfo, Placement, PodInfo
from kubeherd.controller.scheduler.plan import Attempt, Nominated, reject_on

MIN_CANDIDATES = 100
CANDIDATES_PERCENT = 10
PREEMPTED = "PreemptionByScheduler"
_NOT_STARTED = "9"
"""Sorts after every timestamp: a pod that has not started is the youngest."""
_NOT_HELPFUL = Rejection("DefaultPreemption", (messages.NOT_HELPFUL,))
_NO_VICTIMS = Rejection("DefaultPreemption", (messages.NO_VICTIMS,))


class Budget(msgspec.Struct, frozen=True):
    """A PodDisruptionBudget, as far as preemption looks at it."""

    namespace: str
    matches: Callable[[Mapping[str, str]], bool]
    disruptions_allowed: int
    disrupted: frozenset[str] = frozenset()
    """Names of pods whose eviction is already counted."""


class Victims(msgspec.Struct, frozen=True):
    """The pods to evict on one node, most important first."""

    node: str
    pods: tuple[PodInfo, ...]
    violations: int = 0


class Preemption(msgspec.Struct, frozen=True):
    """The outcome: victims, or the text that follows ``preemption: `` in the failure message."""

    victims: Victims | None = None
    message: str = ""
    clear_nomination: bool = False
    """No node can be helped by preempting: an older nomination of the pod is void."""


def start_time(info: PodInfo) -> str:
    """The pod's start time; pods without one come last."""
    return info.pod.status.start_time or _NOT_STARTED


def _importance(info: PodInfo) -> tuple[int, str]:
    return -info.priority, start_time(info)


def leaving_by_preemption(info: PodInfo) -> bool:
    """Whether a pod is terminating because the scheduler evicted it."""
    condition = info.pod.status.condition("DisruptionTarget")
    return (
        info.pod.metadata.deletion_timestamp is not None
        and condition is not None
        and condition.status == "True"
        and condition.reason == PREEMPTED
    )


def not_eligible(pod: PodInfo, result: Attempt, nodes: Mapping[str, NodeInfo]) -> str:
    """Why this pod may not preempt now; empty if it may."""
    if pod.pod.spec.preemption_policy == "Never":
        return messages.NOT_ALLOWED_BY_POLICY
    nominated = nodes.get(pod.pod.status.nominated_node_name)
    if nominated is None:
        return ""
    rejection = result.rejections.get(nominated.name)
    if rejection is None or not rejection.resolvable:
        return ""
    waiting = any(
        other.priority < pod.priority and leaving_by_preemption(other)
        for other in nominated.pods.values()
    )
    return messages.VICTIMS_STILL_LEAVING if waiting else ""


def preempt(
    pod: PodInfo,
    where: Placement,
    result: Attempt,
    nodes: Mapping[str, NodeInfo],
    nominated: Nominated,
    budgets: Sequence[Budget],
) -> Preemption:
    """Choose a node and its victims for a pod that has no feasible node in ``result``."""
    if reason := not_eligible(pod, result, nodes):
        return Preemption(message=reason)
    candidates = [name for name, rejection in result.rejections.items() if rejection.resolvable]
    limit = max(MIN_CANDIDATES, len(nodes) * CANDIDATES_PERCENT // 100)
    found: list[Victims] = []
    refused: dict[str, Rejection] = {}
    for name in candidates:
        outcome = select_victims(pod, where, nodes[name], nominated, budgets)
        if isinstance(outcome, Victims):
            found.append(outcome)
            if len(found) >= limit:
                break
        else:
            refused[name] = outcome
    if found:
        return Preemption(victims=min(found, key=_preference))
    counts = messages.reason_counts(refused.values(), result.total - len(refused), _NOT_HELPFUL)
    text = messages.unavailable(result.total, messages.histogram(counts))
    return Preemption(message=text, clear_nomination=not candidates)


def select_victims(
    pod: PodInfo,
    where: Placement,
    info: NodeInfo,
    nominated: Nominated,
    budgets: Sequence[Budget],
) -> Victims | Rejection:
    """The fewest victims that make room on one node, or why there is no way."""
    lower = sorted((o for o in info.pods.values() if o.priority < pod.priority), key=_importance)
    if not lower:
        return _NO_VICTIMS
    trial = info.copy()
    for other in lower:
        trial.remove(other.uid)
    rejection = reject_on(pod, where, trial, nominated)
    if rejection is not None:
        return rejection
    protected = violating(lower, budgets)
    victims: list[PodInfo] = []
    violations = 0
    for other in [
        *(o for o in lower if o.uid in protected),
        *(o for o in lower if o.uid not in protected),
    ]:
        trial.add(other)
        if reject_on(pod, where, trial, nominated) is not None:
            trial.remove(other.uid)
            victims.append(other)
            violations += other.uid in protected
    return Victims(info.name, tuple(sorted(victims, key=_importance)), violations)


def violating(pods: Sequence[PodInfo], budgets: Sequence[Budget]) -> set[str]:
    """The uids of those whose eviction, in this order, would overdraw a budget."""
    left = [budget.disruptions_allowed for budget in budgets]
    out: set[str] = set()
    for info in pods:
        meta = info.pod.metadata
        for index, budget in enumerate(budgets):
            if (
                budget.namespace != meta.namespace
                or meta.name in budget.disrupted
                or not meta.labels
                or not budget.matches(meta.labels)
            ):
                continue
            left[index] -= 1
            if left[index] < 0:
                out.add(info.uid)
    return out


def _preference(victims: Victims) -> tuple[int, int, int, int, tuple[int, ...]]:
    """Sorts the better choice of node first (spec 6); equals keep their order."""
    pods = victims.pods
    if not pods:
        return victims.violations, -(2**63), 0, 0, ()
    highest = pods[0].priority
    earliest = min(start_time(info) for info in pods if info.priority == highest)
    return (
        victims.violations,
        highest,
        sum(info.priority + 2**31 for info in pods),
        len(pods),
        tuple(-ord(char) for char in earliest),
    )
