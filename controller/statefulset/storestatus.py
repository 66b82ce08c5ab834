"""Writes the status of a StatefulSet: one PUT, and one more after a live GET (spec section 8.3)."""

import msgspec

from kubeherd.cluster.api.errors import Conflict
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import STATEFULSETS
from kubeherd.controller.statefulset.model import StatusNumbers
from kubeherd.controller.statefulset.status import status_tree
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.writer import ObjectWriter


async def store_status(
    writer: ObjectWriter, statefulset: StatefulSet, numbers: StatusNumbers
) -> None:
    """Write the numbers, as of the generation that was looked at. ApiError or TransportError if
    they were refused, a second conflict included."""
    status = status_tree(numbers, statefulset.metadata.generation)
    try:
        await _put(writer, statefulset, status)
    except Conflict:
        metadata = statefulset.metadata
        live = await writer.client.get(STATEFULSETS, StatefulSet, metadata.name, metadata.namespace)
        if live.metadata.uid == metadata.uid:
            await _put(writer, live, status)


async def _put(writer: ObjectWriter, statefulset: StatefulSet, status: JsonObject) -> None:
    tree: JsonObject = {
        **msgspec.to_builtins(statefulset),
        "apiVersion": STATEFULSETS.api_version,
        "kind": STATEFULSETS.kind,
        "status": status,
    }
    await writer.update(STATEFULSETS, tree, subresource="status")
