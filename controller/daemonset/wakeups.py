"""Which DaemonSets an event wakes (spec section 2). Pure: given the caches, it names keys.

What all workloads have in common is in `controller/workload/wakeups.py`; here is what nodes and
minReadySeconds add.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kubeherd.cluster.api.helpers.podutil import is_ready, is_terminating
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Node, Pod
from kubeherd.controller.daemonset.nodes import Decision
from kubeherd.controller.daemonset.owner import is_daemonset_reference
from kubeherd.controller.workload import wakeups
from kubeherd.controller.workload.wakeups import Key, Workloads, key_of


class Wake(NamedTuple):
    """A DaemonSet to look at, now or after some nominal seconds."""

    key: Key
    after_s: float = 0.0


class Wakeups:
    """The reactions to events of pods and revisions."""

    def __init__(
        self, daemonsets: Workloads[DaemonSet], selector_of: Callable[[DaemonSet], Selector]
    ) -> None:
        self._owners = wakeups.Wakeups(DAEMONSETS.kind, daemonsets, selector_of)

    def pod_changed(self, old: Pod | None, new: Pod | None) -> list[Wake]:
        """A pod was added (`old` None), deleted (`new` None) or updated."""
        woken = self._owners.changed(old, new)
        wakes = _now(woken)
        if old is None or new is None or not any(one.spec.min_ready_seconds > 0 for one in woken):
            return wakes
        owner = self._owners.owner(new)
        if owner is None or is_terminating(new) or is_ready(old) or not is_ready(new):
            return wakes
        if owner.spec.min_ready_seconds > 0:
            # One second more, for the whole seconds of the Ready condition's time.
            wakes.append(Wake(key_of(owner), owner.spec.min_ready_seconds + 1.0))
        return wakes

    def revision_changed(
        self, old: ControllerRevision | None, new: ControllerRevision | None
    ) -> list[Wake]:
        """A ControllerRevision was added, deleted or updated."""
        if (
            old is None
            and new is not None
            and new.metadata.deletion_timestamp is None
            and new.metadata.controller() is not None
        ):
            return []
        return _now(self._owners.changed(old, new))


def _now(daemonsets: Iterable[DaemonSet]) -> list[Wake]:
    return [Wake(key_of(daemonset)) for daemonset in daemonsets]


def node_matters(old: Node | None, new: Node | None) -> bool:
    """Whether a node event is worth a look: added, or its labels or taints changed."""
    if new is None:
        return False
    return (
        old is None
        or old.metadata.labels != new.metadata.labels
        or old.spec.taints != new.spec.taints
    )


def node_wakes(daemonset: DaemonSet, decision: Decision, pods_on_node: Iterable[Pod]) -> bool:
    """Whether a node that matters concerns this DaemonSet.

    A pod counts by the name in its controller reference (UID not compared), whatever its state.
    """
    has_pod = any(_is_pod_of(pod, daemonset) for pod in pods_on_node)
    if not has_pod:
        return decision.should_run
    return not decision.should_continue or daemonset.status.number_misscheduled > 0


def _is_pod_of(pod: Pod, daemonset: DaemonSet) -> bool:
    reference = pod.metadata.controller()
    return (
        reference is not None
        and is_daemonset_reference(reference)
        and reference.name == daemonset.metadata.name
        and pod.metadata.namespace == daemonset.metadata.namespace
    )
