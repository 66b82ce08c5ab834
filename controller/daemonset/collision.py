"""What to do when the name of a new ControllerRevision is taken (spec section 9.4).

Invariant: a collision raises the DaemonSet's collisionCount exactly once, from the value that the
sync has seen; the sync fails and the next one makes another name.
"""

from kubeherd.cluster.api.errors import AlreadyExists
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet
from kubeherd.cluster.client.client import ApiClient
from kubeherd.controller.daemonset.history import revision_hash
from kubeherd.controller.worker import ReconcileError


async def revision_exists(
    client: ApiClient, daemonset: DaemonSet, wanted: JsonObject, error: AlreadyExists
) -> str:
    """The hash of the revision that has the name, if it is the wanted one; raises otherwise."""
    namespace, name = daemonset.metadata.namespace, str(wanted["metadata"]["name"])
    existing = await client.get(CONTROLLERREVISIONS, ControllerRevision, name, namespace)
    if existing.data == wanted["data"]:
        return revision_hash(existing)
    path = DAEMONSETS.path(namespace, daemonset.metadata.name)
    live = await client.request("GET", path)
    count = (live.get("status") or {}).get("collisionCount")
    cached = daemonset.status.collision_count
    if count != cached:
        raise ReconcileError(
            f"found a stale collision count ({_shown(cached)}, expected {_shown(count)}) of"
            f' DaemonSet "{daemonset.metadata.name}" while processing;'
            " will retry until it is updated"
        ) from error
    live.setdefault("status", {})["collisionCount"] = (count or 0) + 1
    await client.update(DAEMONSETS, live, subresource="status")
    raise error


def _shown(count: int | None) -> str:
    return "<nil>" if count is None else str(count)
