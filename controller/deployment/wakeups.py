"""Which Deployments an event wakes (section 1). Pure: given the caches, it names keys.

Invariants: an event of an owned ReplicaSet wakes exactly its owner; an orphan wakes whoever could
adopt it, but only if it could be adoptable now and was not before; a Deployment that selects
nothing or everything matches no orphan.
"""

from collections.abc import Iterable
from typing import Protocol

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import DEPLOYMENTS, REPLICASETS
from kubeherd.cluster.api.objects import ObjectMeta, Pod
from kubeherd.controller.deployment.limits import RECREATE
from kubeherd.controller.deployment.plan import selects_all
from kubeherd.controller.workload.apps import Deployment, ReplicaSet

Key = tuple[str, str]
"""(namespace, name) of a Deployment."""


class Caches(Protocol):
    """Lookups in the caches."""

    def deployment(self, namespace: str, name: str) -> Deployment | None:
        """The Deployment of this name, None if the cache has none."""

    def deployments_in(self, namespace: str) -> Iterable[Deployment]:
        """All Deployments of a namespace, in no order."""

    def replica_set(self, namespace: str, name: str) -> ReplicaSet | None:
        """The ReplicaSet of this name, None if the cache has none."""

    def has_pods(self, deployment: Deployment) -> bool:
        """Whether a ReplicaSet of this Deployment has a pod."""


def key_of(deployment: Deployment) -> Key:
    """The queue key of a Deployment."""
    return deployment.metadata.namespace, deployment.metadata.name


class Wakeups:
    """The reactions to events of ReplicaSets and pods."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    def replica_set_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> set[Key]:
        """A ReplicaSet was added (`old` None), deleted (`new` None) or updated."""
        before, after = (None if one is None else one.metadata for one in (old, new))
        if after is None or (before is None and after.deletion_timestamp is not None):
            return self._owner(after or before)
        if before is not None and before.resource_version == after.resource_version:
            return set()
        moved = before is not None and before.controller() != after.controller()
        wakes = self._owner(before) if moved else set()
        if after.controller() is not None:
            return wakes | self._owner(after)
        if before is None or moved or before.labels != after.labels:
            wakes |= self._matching(after)
        return wakes

    def pod_changed(self, old: Pod | None, new: Pod | None) -> set[Key]:
        """A pod changed; only the end of the last one of a Recreate Deployment matters."""
        if old is None or new is not None:
            return set()
        reference = old.metadata.controller()
        if reference is None or reference.kind != REPLICASETS.kind:
            return set()
        owner = self._caches.replica_set(old.metadata.namespace, reference.name)
        if owner is None or owner.metadata.uid != reference.uid:
            return set()
        deployment = self._resolve(owner.metadata)
        if (
            deployment is None
            or deployment.spec.strategy.type != RECREATE
            or self._caches.has_pods(deployment)
        ):
            return set()
        return {key_of(deployment)}

    def _owner(self, metadata: ObjectMeta | None) -> set[Key]:
        owner = None if metadata is None else self._resolve(metadata)
        return set() if owner is None else {key_of(owner)}

    def _resolve(self, metadata: ObjectMeta) -> Deployment | None:
        """The Deployment that a controller reference means: kind, name and uid must agree."""
        reference = metadata.controller()
        if reference is None or reference.kind != DEPLOYMENTS.kind:
            return None
        found = self._caches.deployment(metadata.namespace, reference.name)
        return found if found is not None and found.metadata.uid == reference.uid else None

    def _matching(self, orphan: ObjectMeta) -> set[Key]:
        if not orphan.labels:
            return set()
        return {
            key_of(deployment)
            for deployment in self._caches.deployments_in(orphan.namespace)
            if _selects(deployment, orphan.labels)
        }


def _selects(deployment: Deployment, found: dict[str, str]) -> bool:
    try:
        selector = labels.from_selector(deployment.spec.selector)
    except ApiError:  # its own sync says so
        return False
    return not selects_all(deployment) and selector.matches(found)
