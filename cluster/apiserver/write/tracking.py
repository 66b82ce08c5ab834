"""Field ownership of writes that are no server-side apply (spec api-machinery, section 11).

Decision: writes of the cluster's own components (kubelets, scheduler, controllers, also under their
own accounts) are not tracked. They are the hot path (pods, their status, leases), and nobody
applies against them.
"""

from functools import cache

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.managedfields import ownership as managedfields
from kubeherd.cluster.apiserver.access.authz import policy
from kubeherd.cluster.apiserver.access.kubelets import FLEET_AGENTS, NODES_GROUP
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.strategies.base import keep
from kubeherd.cluster.apiserver.write.context import RequestContext

_AGENTS = frozenset({NODES_GROUP, FLEET_AGENTS})


def is_component(user: User) -> bool:
    """Whether `user` is a part of the cluster itself."""
    return user.name in _components() or not _AGENTS.isdisjoint(user.groups)


@cache
def _components() -> frozenset[str]:
    processes = {"system:kube-controller-manager", "system:kube-scheduler"}
    return policy.controller_accounts() | processes


def record(kind: ServedKind, new: JsonObject, old: JsonObject | None, ctx: RequestContext) -> None:
    """Set metadata.managedFields of `new`, which replaces `old` (None: is created)."""
    if ctx.applied:
        return
    meta = new["metadata"]
    if is_component(ctx.user):
        keep(meta, old["metadata"] if old is not None else {}, "managedFields")
        return
    entries = managedfields.record_update(
        kind.resource,
        old,
        new,
        manager=ctx.field_manager,
        time=ctx.timestamp,
        subresource=ctx.subresource,
    )
    _set(meta, entries)


def _set(meta: JsonObject, entries: list[JsonObject]) -> None:
    if entries:
        meta["managedFields"] = entries
    else:
        meta.pop("managedFields", None)
