"""Answers with objects, made beside the event loop where that takes long.

Plain JSON is joined from stored bytes, whatever its size. All other forms (tables, YAML, msgpack,
indented) take their objects apart, and compression looks at every byte.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.edge.responses import is_joined, list_response, object_response
from kubeherd.cluster.apiserver.handlers.services import Call
from kubeherd.cluster.store.state import Record


async def one(
    call: Call,
    stored: bytes,
    *,
    tree: JsonObject | None = None,
    status: int = 200,
    warnings: Sequence[str] = (),
) -> ApiResponse:
    """One object, given its stored JSON; `tree`: the same as a tree that the answer may take."""
    services = call.services

    def make() -> ApiResponse:
        return object_response(
            call.request,
            call.kind,
            stored,
            call.negotiated,
            services.clock,
            tree=tree,
            status=status,
            warnings=warnings,
        )

    if services.heavy.is_light(len(stored)) or _is_joined(call):
        return make()
    return await services.heavy.run(make, len(stored))


async def many(call: Call, records: Sequence[Record], meta: JsonObject) -> ApiResponse:
    """A collection, given the records in it and the list's metadata."""
    services = call.services

    def make() -> ApiResponse:
        return list_response(
            call.request, call.kind, records, meta, call.negotiated, services.clock
        )

    if _is_joined(call):
        return make()
    return await services.heavy.run(make, sum(record.size for record in records))


def _is_joined(call: Call) -> bool:
    return is_joined(call.request, call.kind, call.negotiated)
