"""One node with its pods of a DaemonSet, and the judgement of it: what it adds to the status, what
has to be done there, what a rolling update can do there (spec sections 5, 8 and 10). Pure.

Invariants: the judgement of a node depends on its decision, its pods, the terms and the time, and
on no other node; as time passes it changes only when one of the pods becomes available.
"""

from collections.abc import Collection, Sequence
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from kubeherd.cluster.api.helpers.podutil import (
    AgeOf,
    is_available,
    is_ready,
    is_terminal,
    is_terminating,
    ready_condition,
)
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.controller.daemonset.model import GENERATION_LABEL, HASH_LABEL, Terms
from kubeherd.controller.daemonset.nodes import NEVER, Decision
from kubeherd.controller.workload.pods.activepods import until_available_s

PodKey = tuple[str, str]
"""(namespace, name)."""


class NodeState(Enum):
    """Which pods are on a node, without terminating ones (the rows of the tables in 8.3, 8.4)."""

    NOT_OK = auto()
    """More than one updated or more than one old pod."""
    EMPTY = auto()
    BOTH = auto()
    NEW = auto()
    OLD = auto()

    __hash__ = object.__hash__  # an Enum's own is slow, and asked many times for every pod


class NodePods(msgspec.Struct, frozen=True):
    """The pods of a node by their template: the updated one and the old one."""

    state: NodeState
    new: Pod | None = None
    old: Pod | None = None
    new_available: bool = False
    old_available: bool = False


class Need(Enum):
    """What has to be done so that a node has the pods that it should have (5.2 to 5.4)."""

    NONE = auto()
    CREATE = auto()
    DELETE = auto()
    ENDED = auto()
    """Some of its pods have ended; what to do depends on their back-off, and so on the time."""

    __hash__ = object.__hash__


class Numbers(NamedTuple):
    """What a node adds to the counters of the status (10)."""

    desired: bool
    misscheduled: bool
    current: bool
    ready: bool
    available: bool
    updated: bool


class Candidate(Enum):
    """Whether a rolling update can do something on a node, and what (8.3, 8.4)."""

    NONE = auto()
    REPLACED = auto()
    """Its old pod can go: there is a new one beside it, which is available."""
    AVAILABLE = auto()
    UNAVAILABLE = auto()
    """Its old pod is alone, and available or not; a pod should run there."""
    UNWANTED_AVAILABLE = auto()
    UNWANTED_UNAVAILABLE = auto()
    """The same, but no pod should run there."""
    NO_NODE_AVAILABLE = auto()
    NO_NODE_UNAVAILABLE = auto()
    """The same, and there is no such node any more."""

    __hash__ = object.__hash__


class Rolling(NamedTuple):
    """What a rolling update has to know of a node."""

    state: NodeState | None
    """None: it has no pod and should have none."""
    candidate: Candidate
    unavailable: bool
    """Whether it counts towards maxUnavailable (8.3)."""
    surging: bool
    """Whether it counts towards maxSurge (8.4)."""
    serving: bool
    """Whether its old pod, or without one its updated pod, is available (8.4)."""


class Site:
    """A node with its pods of one DaemonSet, and how it was judged last."""

    __slots__ = (
        "decision",
        "exists",
        "name",
        "need",
        "numbers",
        "pods",
        "ready_since_s",
        "rolling",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.exists = False
        """Whether there is a node of this name."""
        self.decision: Decision = NEVER
        self.pods: list[Pod] = []
        """Sorted by `order`."""
        self.numbers = NO_NUMBERS
        self.rolling = NOT_ROLLING
        self.need = Need.NONE
        self.ready_since_s = 0.0
        """When the first of those pods became Ready that will be available by waiting alone, in
        seconds since the epoch; 0: there are none."""

    @property
    def empty(self) -> bool:
        """Whether there is neither a node nor a pod, so that the site can be forgotten."""
        return not self.exists and not self.pods


NO_NUMBERS = Numbers(*[False] * 6)
_MISSING = NO_NUMBERS._replace(desired=True)
_MISSCHEDULED = NO_NUMBERS._replace(misscheduled=True)
NOT_ROLLING = Rolling(None, Candidate.NONE, unavailable=False, surging=False, serving=False)


def key_of(pod: Pod) -> PodKey:
    """The key of a pod."""
    return pod.metadata.namespace, pod.metadata.name


def order(pod: Pod) -> tuple[bool, str, str]:
    """Sort key: bound pods before unbound, older before younger, then by name (5.3)."""
    metadata = pod.metadata
    return (not pod.spec.node_name, metadata.creation_timestamp, metadata.name)


def is_updated(pod: Pod, terms: Terms) -> bool:
    """Whether the pod is of the current template (8.1): by hash, or by template generation."""
    labels = pod.metadata.labels
    if terms.hash and labels.get(HASH_LABEL) == terms.hash:
        return True
    generation = terms.generation
    return generation is not None and labels.get(GENERATION_LABEL) == str(generation)


# --- all at once ---

Facts = tuple[bool, ...]
"""All that the judgement of a node with at most one pod depends on, besides the terms."""


class Judgement(NamedTuple):
    """All that is worked out about a node."""

    numbers: Numbers
    rolling: Rolling
    need: Need


def judge(site: Site, terms: Terms, age_s: AgeOf) -> Judgement:
    """Work out everything about a node."""
    return Judgement(
        count(site, terms, age_s), rolling(site, terms, age_s), need(site, terms, age_s)
    )


def facts(site: Site, terms: Terms) -> Facts | None:
    """What the judgement of a node depends on: nodes with equal facts have the same judgement under
    the same terms. None if it depends on the time, too, or if there are several pods."""
    pods = site.pods
    if terms.min_ready_s > 0 or len(pods) > 1:
        return None
    if not pods:
        return (site.exists, *site.decision)
    pod = pods[0]
    return (
        site.exists,
        *site.decision,
        bool(pod.spec.node_name),
        is_terminating(pod),
        is_terminal(pod),
        is_ready(pod),
        is_updated(pod, terms),
    )


def alike(old: Pod, new: Pod) -> bool:
    """Whether a change of a pod leaves the judgement of its node as it is. The pod is not
    terminating, and is on the same node."""
    return ready_condition(old) == ready_condition(new) and is_terminal(old) is is_terminal(new)


# --- the status ---


def count(site: Site, terms: Terms, age_s: AgeOf) -> Numbers:
    """What a node adds to the counters; names of which there is no node add nothing."""
    desired = site.decision.should_run
    if not site.pods or not desired:
        if desired:
            return _MISSING
        return _MISSCHEDULED if site.pods and site.exists else NO_NUMBERS
    first = site.pods[0]
    return Numbers(
        desired=True,
        misscheduled=False,
        current=True,
        ready=is_ready(first),
        available=is_available(first, terms.min_ready_s, age_s),
        updated=is_updated(first, terms),
    )


def ready_since_s(site: Site, terms: Terms, age_s: AgeOf) -> float:
    """As `Site.ready_since_s`."""
    waiting = waiting_pods(site, terms, age_s)
    return min((_since_s(pod) for pod in waiting), default=0.0)


def waiting_pods(site: Site, terms: Terms, age_s: AgeOf) -> list[Pod]:
    """The pods that become available by waiting alone; terminating ones count, too (10)."""
    if terms.min_ready_s <= 0:
        return []
    return [pod for pod in site.pods if until_available_s(pod, terms.min_ready_s, age_s)]


def _since_s(pod: Pod) -> float:
    ready = ready_condition(pod)
    since = None if ready is None else ready.last_transition_time
    return parse_time(since).timestamp() if since else 0.0


# --- one pod per node ---


def need(site: Site, terms: Terms, age_s: AgeOf) -> Need:
    """What has to be done on a node."""
    if any(map(has_ended, site.pods)) and site.decision.should_continue:
        return Need.ENDED
    create, deletes = upkeep(site, terms, age_s)
    if create:
        return Need.CREATE
    return Need.DELETE if deletes else Need.NONE


def has_ended(pod: Pod) -> bool:
    """Whether the pod has ended and nobody has asked for its deletion yet."""
    return is_terminal(pod) and not is_terminating(pod)


def upkeep(site: Site, terms: Terms, age_s: AgeOf) -> tuple[bool, Sequence[Pod]]:
    """Whether to create a pod on a node, and which pods to delete besides those that have ended."""
    decision, pods = site.decision, site.pods
    if not site.exists:
        return False, [pod for pod in pods if not pod.spec.node_name]
    if not pods:
        return decision.should_run, ()
    if not decision.should_continue:
        return False, [pod for pod in pods if not is_terminating(pod)]
    if len(pods) == 1 and not terms.surge:
        return False, ()
    running = [pod for pod in pods if not is_terminating(pod) and not is_terminal(pod)]
    if not terms.surge:
        return False, running[1:]
    if not running:
        return decision.should_run, ()
    return False, _surplus(running, terms, age_s)


def _surplus(running: Sequence[Pod], terms: Terms, age_s: AgeOf) -> Sequence[Pod]:
    """With surge: all but the first new and the first old pod, and the old one once it may go."""
    if len(running) == 1:
        return ()
    deletes: list[Pod] = []
    new: Pod | None = None
    old: Pod | None = None
    for pod in running:
        if pod.metadata.labels.get(HASH_LABEL) == terms.hash:
            if new is None:
                new = pod
                continue
        elif old is None:
            old = pod
            continue
        deletes.append(pod)
    if (
        new is not None
        and old is not None
        and (not is_ready(old) or is_available(new, terms.min_ready_s, age_s))
    ):
        deletes.append(old)
    return deletes


# --- the rolling step ---


def node_pods(site: Site, terms: Terms, age_s: AgeOf, gone: Collection[PodKey] = ()) -> NodePods:
    """The updated and the old pod of a node; pods in `gone` count as terminating."""
    new: Pod | None = None
    old: Pod | None = None
    for pod in site.pods:
        if is_terminating(pod) or (gone and key_of(pod) in gone):
            continue
        if is_updated(pod, terms):
            if new is not None:
                return NodePods(NodeState.NOT_OK)
            new = pod
        else:
            if old is not None:
                return NodePods(NodeState.NOT_OK)
            old = pod
    if new is not None:
        state = NodeState.NEW if old is None else NodeState.BOTH
    else:
        state = NodeState.EMPTY if old is None else NodeState.OLD
    return NodePods(
        state,
        new,
        old,
        new is not None and is_available(new, terms.min_ready_s, age_s),
        old is not None and is_available(old, terms.min_ready_s, age_s),
    )


def rolling(site: Site, terms: Terms, age_s: AgeOf, gone: Collection[PodKey] = ()) -> Rolling:
    """What a rolling update has to know of a node; pods in `gone` count as terminating."""
    if not site.pods and not site.decision.should_run:
        return NOT_ROLLING
    found = node_pods(site, terms, age_s, gone)
    state = found.state
    alone_available = (state is NodeState.NEW and found.new_available) or (
        state is NodeState.OLD and found.old_available
    )
    serving = found.new_available if found.old is None else found.old_available
    return Rolling(
        state=state,
        candidate=_candidate(site, found),
        unavailable=not alone_available,
        surging=state is NodeState.NOT_OK or (state is NodeState.BOTH and not found.new_available),
        serving=serving,
    )


def _candidate(site: Site, found: NodePods) -> Candidate:
    if found.state is NodeState.BOTH:
        return Candidate.REPLACED if found.new_available else Candidate.NONE
    if found.state is not NodeState.OLD:
        return Candidate.NONE
    if not site.exists:
        return Candidate.NO_NODE_AVAILABLE if found.old_available else Candidate.NO_NODE_UNAVAILABLE
    if not site.decision.should_run:
        return (
            Candidate.UNWANTED_AVAILABLE if found.old_available else Candidate.UNWANTED_UNAVAILABLE
        )
    return Candidate.AVAILABLE if found.old_available else Candidate.UNAVAILABLE
