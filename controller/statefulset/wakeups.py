"""Which StatefulSets an event of a pod wakes (spec section 1). Pure: the caches are given.

Invariants: an event of an owned pod wakes exactly its owner; an orphan wakes whoever could adopt
it, but only if it could be adoptable now and was not before.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from kubeherd.cluster.api.kinds import STATEFULSETS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.workload.apps import StatefulSet

Key = tuple[str, str]
"""(namespace, name) of a StatefulSet."""

SelectorOf = Callable[[StatefulSet], Selector]


class StatefulSets(Protocol):
    """Lookups in the cache of StatefulSets."""

    def get(self, namespace: str, name: str) -> StatefulSet | None:
        """The StatefulSet of this name, None if the cache has none."""

    def in_namespace(self, namespace: str) -> Iterable[StatefulSet]:
        """All StatefulSets of a namespace, in no order."""


def key_of(statefulset: StatefulSet) -> Key:
    """The queue key of a StatefulSet."""
    return statefulset.metadata.namespace, statefulset.metadata.name


class Wakeups:
    """The reactions to events of pods."""

    def __init__(self, statefulsets: StatefulSets, selector_of: SelectorOf) -> None:
        self._statefulsets = statefulsets
        self._selector_of = selector_of

    def pod_changed(self, old: Pod | None, new: Pod | None) -> list[Key]:
        """A pod was added (`old` None), deleted (`new` None) or updated."""
        if new is None:
            return self._owner(old)
        keys = self._owner(new)
        if old is None:
            could_be_adopted = new.metadata.deletion_timestamp is None
        else:
            if old.metadata.controller() != new.metadata.controller():
                keys += [key for key in self._owner(old) if key not in keys]
            could_be_adopted = (
                old.metadata.labels != new.metadata.labels or old.metadata.controller() is not None
            )
        if new.metadata.controller() is None and could_be_adopted:
            keys += [key for key in self._matching(new) if key not in keys]
        return keys

    def _owner(self, pod: Pod | None) -> list[Key]:
        """The owner: kind, name and UID must agree; its group is not compared."""
        reference = None if pod is None else pod.metadata.controller()
        if pod is None or reference is None or reference.kind != STATEFULSETS.kind:
            return []
        found = self._statefulsets.get(pod.metadata.namespace, reference.name)
        is_it = found is not None and found.metadata.uid == reference.uid
        return [key_of(found)] if found is not None and is_it else []

    def _matching(self, orphan: Pod) -> list[Key]:
        labels = orphan.metadata.labels
        if not labels:
            return []
        return [
            key_of(statefulset)
            for statefulset in self._statefulsets.in_namespace(orphan.metadata.namespace)
            if self._selector_of(statefulset).matches(labels)
        ]
