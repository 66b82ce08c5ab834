"""Keeps the rules of aggregated ClusterRoles.

Source: Kubernetes v1.36, pkg/controller/clusterroleaggregation. Roles may stand on each other: each
write of one is a change that the others look at.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.helpers import aggregation
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.clusterroles.objects import ClusterRole
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers

_CLUSTER_ROLES = kinds.resource("rbac.authorization.k8s.io", "v1", "clusterroles")


class ClusterRoleAggregationController:
    """Writes the rules of an aggregated role whenever some role has changed."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._roles = context.informers.get(_CLUSTER_ROLES, ClusterRole)
        self._queue: WorkQueue[str] = WorkQueue(context.clock, context.rng)
        self._roles.on_change(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        self._changed(None, None)
        await run_workers(self._queue, self._reconcile, controller="clusterrole-aggregation")

    def _changed(self, _old: ClusterRole | None, _new: ClusterRole | None) -> None:
        for role in self._roles.cache.values():
            if role.aggregation_rule is not None:
                self._queue.add(role.metadata.name)

    async def _reconcile(self, name: str) -> None:
        role = self._roles.cache.get("", name)
        if role is None or not aggregation.selectors(role.tree()):
            return
        others = (other.tree() for other in self._roles.cache.values())
        wanted = aggregation.aggregated_rules(role.tree(), others)
        if wanted == (role.rules or []):
            return
        try:
            await self._client.patch(_CLUSTER_ROLES, name, {"rules": wanted}, kind=PatchKind.MERGE)
        except NotFound:
            return
