"""Writes the status of a workload: one PUT, and one more if the object was newer.

As the controllers of upstream do it (pkg/controller/replicaset/replica_set_utils.go). The body has
metadata and status and no spec, which a write to ``/status`` does not look at.
"""

import msgspec

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import ObjectMeta, PartialObject
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.writer import ObjectWriter


async def store_status(writer: ObjectWriter, owner: Owner, status: JsonObject) -> None:
    """Replace the status of `owner`; ApiError or TransportError if that failed twice, or if the
    object is gone or is another one by now."""
    resource, metadata = owner.resource, owner.metadata
    try:
        await _put(writer, resource, metadata, status)
    except (ApiError, TransportError):
        live = await writer.client.get(resource, PartialObject, metadata.name, metadata.namespace)
        if live.metadata.uid != metadata.uid:
            raise
        await _put(writer, resource, live.metadata, status)


async def _put(
    writer: ObjectWriter, resource: Resource, metadata: ObjectMeta, status: JsonObject
) -> None:
    body = status_body(Owner(resource, metadata), status)
    await writer.update(resource, body, subresource="status")


def status_body(owner: Owner, status: JsonObject) -> JsonObject:
    """What is sent to ``/status``, against the resourceVersion in the owner's metadata."""
    return {
        "apiVersion": owner.resource.api_version,
        "kind": owner.resource.kind,
        "metadata": msgspec.to_builtins(owner.metadata),
        "status": status,
    }
