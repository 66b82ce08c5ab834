"""How many pods the controllers of a budget's pods want (spec disruption-controller 2).

ReplicationControllers, ReplicaSets (or the Deployment that one is of) and StatefulSets are looked
up in caches, anything else by its scale subresource.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.kinds import (
    DEPLOYMENTS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
)
from kubeherd.cluster.api.objects import OwnerReference, Pod
from kubeherd.controller.disruption import plan
from kubeherd.controller.manager import Context
from kubeherd.controller.workload.apps import (
    Deployment,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
)
from kubeherd.controller.workload.scaling import NoSuchKind, NotScalable, Scales, group_of

_APPS = ("apps", "extensions")


class ExpectedScale:
    """Adds up what the controllers of pods want."""

    def __init__(self, context: Context) -> None:
        informers = context.informers
        self._scales = Scales(context.client)
        self._controllers = informers.get(REPLICATIONCONTROLLERS, ReplicationController).cache
        self._replicasets = informers.get(REPLICASETS, ReplicaSet).cache
        self._deployments = informers.get(DEPLOYMENTS, Deployment).cache
        self._statefulsets = informers.get(STATEFULSETS, StatefulSet).cache

    async def of(self, namespace: str, pods: Sequence[Pod]) -> int:
        """The sum over all controllers of the pods; `plan.SyncFailed`, TransportError."""
        wanted: dict[str, int] = {}
        for owner, pod_name in plan.owners(pods).values():
            found = self._cached(namespace, owner) or await self._by_subresource(namespace, owner)
            if found is None:
                raise plan.SyncFailed(f"found no controllers for pod {quoted(pod_name)}")
            uid, replicas = found
            wanted[uid] = replicas
        return sum(wanted.values())

    def _cached(self, namespace: str, owner: OwnerReference) -> tuple[str, int] | None:
        group = group_of(owner.api_version)
        found: ReplicationController | ReplicaSet | StatefulSet | Deployment | None = None
        match owner.kind:
            case "ReplicationController" if group == "":
                found = self._controllers.get(namespace, owner.name)
            case "StatefulSet" if group == "apps":
                found = self._statefulsets.get(namespace, owner.name)
            case "ReplicaSet" if group in _APPS:
                found = self._replicasets.get(namespace, owner.name)
        if found is None or found.metadata.uid != owner.uid:
            return None
        above = found.metadata.controller()
        if isinstance(found, ReplicaSet) and above is not None and above.kind == DEPLOYMENTS.kind:
            found = self._deployments.get(namespace, above.name)
            if found is None or found.metadata.uid != above.uid:
                return None
        return found.metadata.uid, found.spec.replicas or 0

    async def _by_subresource(
        self, namespace: str, owner: OwnerReference
    ) -> tuple[str, int] | None:
        group = group_of(owner.api_version)
        try:
            scale = await self._scales.get(group, owner.kind, namespace, owner.name)
        except NotFound:
            return None
        except (NoSuchKind, NotScalable, ApiError) as error:
            raise plan.SyncFailed(str(error)) from error
        return (scale.uid, scale.replicas) if scale.uid == owner.uid else None
