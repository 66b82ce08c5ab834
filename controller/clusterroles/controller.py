"""Keeps the rules of aggregated ClusterRoles.

Source: Kubernetes v1.36, pkg/controller/clusterroleaggregation. Rules are read when some role has
changed and not kept: that is seldom, and they are large. Roles may stand on each other: each write
of one is a change after which all are looked at again.
"""

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.helpers import aggregation
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.clusterroles.objects import ClusterRole
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers

_CLUSTER_ROLES = kinds.resource("rbac.authorization.k8s.io", "v1", "clusterroles")
_ALL = "all"
"""The one thing to look at."""


class ClusterRoleAggregationController:
    """Writes the rules of aggregated roles whenever some role has changed."""

    def __init__(self, context: Context) -> None:
        self._client, self._reader = context.client, context.reader
        self._queue: WorkQueue[str] = context.queue("ClusterRoleAggregator")
        roles = context.informers.get(_CLUSTER_ROLES, PartialObject)
        roles.on_change(lambda _old, _new: self._queue.add(_ALL))

    async def run(self) -> None:
        """Work until cancelled."""
        self._queue.add(_ALL)
        await run_workers(self._queue, self._reconcile, controller="clusterrole-aggregation")

    async def _reconcile(self, _key: str) -> None:
        listed = await self._reader.list(_CLUSTER_ROLES, ClusterRole)
        roles = [role.tree() for role in listed.items]
        for role in roles:
            if not aggregation.selectors(role):
                continue
            wanted = aggregation.aggregated_rules(role, roles)
            if wanted != (role["rules"] or []):
                await self._write(role["metadata"]["name"], {"rules": wanted})

    async def _write(self, name: str, patch: dict[str, object]) -> None:
        try:
            await self._client.patch(_CLUSTER_ROLES, name, patch, kind=PatchKind.MERGE)
        except NotFound:
            return
