"""Writes the history of a sync before pods are made from it (spec section 5).

Invariant: what is returned has nothing left to write, and its update revision is stored.
"""

from collections.abc import Callable

from kubeherd.cluster.api.errors import AlreadyExists
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, STATEFULSETS
from kubeherd.cluster.api.objects import ControllerRevision
from kubeherd.cluster.client.client import PatchKind
from kubeherd.controller.statefulset.model import History
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.claiming import carry_out
from kubeherd.controller.workload.writer import ObjectWriter

Build = Callable[[int], History]
"""The history by the number of collisions."""

_MAX_COLLISIONS = 8
"""In one sync: names of 32 bits are hardly ever taken twice."""


async def write_history(
    writer: ObjectWriter, statefulset: StatefulSet, history: History, build: Build
) -> History:
    """Adopt, renumber or create; the history that is true then, which is another one if the name of
    a new revision was taken. ApiError, TransportError or ReconcileError if it could not be
    written."""
    owner = Owner(STATEFULSETS, statefulset.metadata)
    await carry_out(writer, owner, CONTROLLERREVISIONS, history.adopt, ())
    if history.renumber is not None:
        revision = history.renumber.revision.metadata
        patch: JsonObject = {
            "metadata": {"resourceVersion": revision.resource_version},
            "revision": history.renumber.number,
        }
        await writer.patch(CONTROLLERREVISIONS, revision.name, patch, PatchKind.MERGE)
    for _ in range(_MAX_COLLISIONS):
        if history.create is None or await _create(writer, history.create):
            return history
        history = build(history.collision_count + 1)
    raise ReconcileError(f"no free name for a revision of {statefulset.metadata.name} found")


async def _create(writer: ObjectWriter, tree: JsonObject) -> bool:
    """Whether the revision is stored now; False if another one has its name."""
    try:
        await writer.create(CONTROLLERREVISIONS, tree)
    except AlreadyExists:
        name = tree["metadata"]["name"]
        found = await writer.client.get(
            CONTROLLERREVISIONS, ControllerRevision, name, writer.namespace
        )
        writer.note(CONTROLLERREVISIONS, found.metadata.resource_version)
        return bool(found.data == tree["data"])
    return True
