"""Which workloads an event of an object wakes that they own, or could. Pure, given the caches.

Source: the event handlers of pkg/controller/replicaset, daemon, statefulset and deployment, which
are alike (spec daemonset-controller 2). Invariants: an event of an owned object wakes exactly its
owner; an orphan wakes whoever could adopt it, but only if it could be adoptable now and was not
before; a workload that selects everything matches no orphan.
"""

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import ObjectMeta, OwnerReference


class HasMetadata(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...


W = TypeVar("W", bound=HasMetadata)
W_co = TypeVar("W_co", bound=HasMetadata, covariant=True)
Key = tuple[str, str]
"""(namespace, name) of a workload."""


class Workloads(Protocol[W_co]):
    """Lookups in the cache of the workloads of one kind."""

    def get(self, namespace: str, name: str) -> W_co | None:
        """The workload of this name, None if the cache has none."""

    def in_namespace(self, namespace: str) -> Iterable[W_co]:
        """All workloads of a namespace, in no order."""


class Wakeups(Generic[W]):
    """The reactions to events of the objects that workloads of one kind own."""

    def __init__(
        self, kind: str, workloads: Workloads[W], selector_of: Callable[[W], Selector]
    ) -> None:
        """`selector_of`: NOTHING for a workload that is not usable."""
        self._kind = kind
        self._workloads = workloads
        self._selector_of = selector_of

    def owner(self, obj: HasMetadata) -> W | None:
        """The workload that controls an object: kind, name and UID of the reference must agree,
        its group is not compared."""
        return self._resolve(obj.metadata.controller(), obj.metadata.namespace)

    def changed(self, old: HasMetadata | None, new: HasMetadata | None) -> list[W]:
        """An object was added (`old` None), deleted (`new` None) or updated."""
        if new is None:
            return [] if old is None else self._known(self.owner(old))
        before = None if old is None else old.metadata
        if before is not None and before.resource_version == new.metadata.resource_version:
            return []
        if new.metadata.deletion_timestamp is not None:
            return self._known(self.owner(new))
        reference = new.metadata.controller()
        former = None if before is None else before.controller()
        wakes: list[W] = []
        if former is not None and former != reference:
            wakes += self._known(self._resolve(former, new.metadata.namespace))
        if reference is not None:
            return wakes + self._known(self._resolve(reference, new.metadata.namespace))
        if before is None or former is not None or before.labels != new.metadata.labels:
            wakes += [found for found in self._matching(new) if found not in wakes]
        return wakes

    def _resolve(self, reference: OwnerReference | None, namespace: str) -> W | None:
        return resolve(self._kind, reference, namespace, self._workloads)

    def _known(self, workload: W | None) -> list[W]:
        return [] if workload is None else [workload]

    def _matching(self, orphan: HasMetadata) -> list[W]:
        labels = orphan.metadata.labels
        if not labels:
            return []
        found = []
        for workload in self._workloads.in_namespace(orphan.metadata.namespace):
            selector = self._selector_of(workload)
            if not selector.empty and selector.matches(labels):
                found.append(workload)
        return found


def resolve(
    kind: str, reference: OwnerReference | None, namespace: str, workloads: Workloads[W]
) -> W | None:
    """The workload of a kind that a reference in a namespace names: name and UID must agree, its
    group is not compared."""
    if reference is None or reference.kind != kind:
        return None
    found = workloads.get(namespace, reference.name)
    return found if found is not None and found.metadata.uid == reference.uid else None


def key_of(workload: HasMetadata) -> Key:
    """The queue key of a workload."""
    return workload.metadata.namespace, workload.metadata.name
