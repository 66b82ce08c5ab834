"""Which DaemonSets an event wakes (spec section 2). Pure: given the caches, it names keys.

Invariants: an event of an owned object wakes exactly its owner; an orphan wakes whoever could adopt
it, but only if it could be adoptable now and was not before; a DaemonSet that selects nothing or
everything matches no orphan.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar

from kubeherd.cluster.api.helpers.podutil import is_ready
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Node, OwnerReference, Pod
from kubeherd.controller.daemonset.nodes import Decision
from kubeherd.controller.daemonset.owner import is_daemonset_reference
from kubeherd.controller.daemonset.plan import selects_all

T = TypeVar("T", Pod, ControllerRevision)
Key = tuple[str, str]
"""(namespace, name) of a DaemonSet."""


class Wake(NamedTuple):
    """A DaemonSet to look at, now or after some nominal seconds."""

    key: Key
    after_s: float = 0.0


class DaemonSets(Protocol):
    """Lookups in the cache of DaemonSets."""

    def get(self, namespace: str, name: str) -> DaemonSet | None:
        """The DaemonSet of this name, None if the cache has none."""

    def in_namespace(self, namespace: str) -> Iterable[DaemonSet]:
        """All DaemonSets of a namespace, in no order."""


SelectorOf = Callable[[DaemonSet], Selector]


def key_of(daemonset: DaemonSet) -> Key:
    """The queue key of a DaemonSet."""
    return daemonset.metadata.namespace, daemonset.metadata.name


def resolve(
    reference: OwnerReference | None, namespace: str, daemonsets: DaemonSets
) -> DaemonSet | None:
    """The DaemonSet that a controller reference means: kind, name and UID must agree."""
    if reference is None or not is_daemonset_reference(reference):
        return None
    found = daemonsets.get(namespace, reference.name)
    return found if found is not None and found.metadata.uid == reference.uid else None


class Wakeups:
    """The reactions to events of pods, revisions and nodes."""

    def __init__(self, daemonsets: DaemonSets, selector_of: SelectorOf) -> None:
        self._daemonsets = daemonsets
        self._selector_of = selector_of

    def pod_changed(self, old: Pod | None, new: Pod | None) -> list[Wake]:
        """A pod was added (`old` None), deleted (`new` None) or updated."""
        if new is None:
            return self._owner(old)
        if old is not None and old.metadata.resource_version == new.metadata.resource_version:
            return []
        if new.metadata.deletion_timestamp is not None:
            return self._owner(new)
        wakes = self._changed(old, new)
        owner = self._resolve(new)
        if owner is not None and old is not None and not is_ready(old) and is_ready(new):
            min_ready_s = owner.spec.min_ready_seconds
            if min_ready_s > 0:
                # One second more, for the whole seconds of the Ready condition's time.
                wakes.append(Wake(key_of(owner), min_ready_s + 1.0))
        return wakes

    def revision_changed(
        self, old: ControllerRevision | None, new: ControllerRevision | None
    ) -> list[Wake]:
        """A ControllerRevision was added, deleted or updated."""
        if new is None:
            return self._owner(old)
        if old is None:
            if new.metadata.deletion_timestamp is not None:
                return self._owner(new)
            if new.metadata.controller() is not None:
                return []
        elif old.metadata.resource_version == new.metadata.resource_version:
            return []
        return self._changed(old, new)

    def _changed(self, old: T | None, new: T) -> list[Wake]:
        """The part that pods and revisions have in common."""
        reference = new.metadata.controller()
        wakes: list[Wake] = []
        if old is not None and old.metadata.controller() != reference:
            wakes += self._owner(old)
        if reference is not None:
            return wakes + self._owner(new)
        if (
            old is None
            or old.metadata.labels != new.metadata.labels
            or old.metadata.controller() is not None
        ):
            known = {wake.key for wake in wakes}
            wakes += [wake for wake in self._matching(new) if wake.key not in known]
        return wakes

    def _owner(self, obj: T | None) -> list[Wake]:
        owner = None if obj is None else self._resolve(obj)
        return [] if owner is None else [Wake(key_of(owner))]

    def _resolve(self, obj: T) -> DaemonSet | None:
        metadata = obj.metadata
        return resolve(metadata.controller(), metadata.namespace, self._daemonsets)

    def _matching(self, orphan: T) -> list[Wake]:
        labels = orphan.metadata.labels
        if not labels:
            return []
        return [
            Wake(key_of(daemonset))
            for daemonset in self._daemonsets.in_namespace(orphan.metadata.namespace)
            if not selects_all(daemonset) and self._selector_of(daemonset).matches(labels)
        ]


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
