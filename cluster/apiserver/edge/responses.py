"""Bytes of answers: objects, lists, Status, in the negotiated encoding and shape.

Invariant: plain JSON and msgpack answers are joined from the stored bytes of the objects (encoded
once per write; a long list as it is sent), protobuf from messages that are made once and kept for a
while; only views (Table, PartialObjectMetadata, YAML, pretty) decode them.
"""

import json
from collections.abc import Mapping, Sequence

import msgpack
import msgspec

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.private import longpoll
from kubeherd.cluster.api.schemas.gotypes import internal_type
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.edge import protobufs
from kubeherd.cluster.apiserver.edge.joined import Body, Joined
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.edge.negotiation import (
    Media,
    Negotiated,
    Shape,
    compressed,
    untransformed,
    wants_gzip,
    wants_pretty,
)
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.state import Record

CREATED: JsonObject = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}
"""What POST to binding and eviction answers."""
_NO_HEADERS: dict[str, str] = {}
JOINED_BYTES = 64 * 1024
"""A longer list is joined when it is sent."""
_MAX_WARNINGS_BYTES = 4096
_PLAIN = Negotiated()
"""An object, in JSON."""
_FIXMAP = 0x80


def encode(tree: JsonValue, media: Media, *, pretty: bool = False) -> bytes:
    """Any JSON tree in an encoding; JSON ends with a newline."""
    if media is Media.MSGPACK:
        return codecs.dumps_msgpack(tree)
    if media is Media.YAML:
        return codecs.dumps_yaml(tree)
    if media is Media.PROTOBUF:
        return codecs.dumps_protobuf(tree)
    if pretty:
        return json.dumps(tree, indent=2, ensure_ascii=False).encode() + b"\n"
    return codecs.dumps_json(tree) + b"\n"


def tree_response(
    request: ApiRequest, tree: JsonValue, negotiated: Negotiated, status: int = 200
) -> ApiResponse:
    """An answer made from a tree (discovery, reviews, Status Success)."""
    pretty = wants_pretty(request.query, request.headers)
    body = encode(tree, negotiated.media, pretty=pretty)
    return finished(request, body, negotiated.media, status)


def finished(
    request: ApiRequest,
    body: bytes,
    media: Media,
    status: int = 200,
    warnings: Sequence[str] = (),
) -> ApiResponse:
    """An answer from encoded bytes: compressed if it should be, with its Warning headers."""
    headers = _NO_HEADERS
    if warnings:
        headers = {"Warning": warning_header(warnings)}
    smaller = compressed(body, request.headers)
    if smaller is not None:
        headers = {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        body = smaller
    return ApiResponse(status, body, media.value, headers)


def polled(request: ApiRequest, body: bytes) -> ApiResponse:
    """An answer in JSON to a long-poll, which is known by its content type."""
    return msgspec.structs.replace(
        finished(request, body, Media.JSON), content_type=longpoll.POLLED
    )


def warning_header(warnings: Sequence[str]) -> str:
    """All warnings in one header value, as far as they fit."""
    parts: list[str] = []
    size = 0
    for text in dict.fromkeys(warnings):
        clean = "".join(char if char.isprintable() else " " for char in text)
        escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
        part = f'299 - "{escaped}"'
        size += len(part) + 2
        if size > _MAX_WARNINGS_BYTES:
            break
        parts.append(part)
    return ", ".join(parts)


def error_response(
    error: ApiError, request: ApiRequest | None = None, media: Media = Media.JSON
) -> ApiResponse:
    """A Status object, with Retry-After where it says when to come back."""
    pretty = request is not None and wants_pretty(request.query, request.headers)
    after_s = error.retry_after_s if error.repeatable else None
    headers = {"Retry-After": str(after_s)} if after_s else _NO_HEADERS
    body = encode(error.status(), media, pretty=pretty)
    return ApiResponse(error.status_code, body, media.value, headers)


def refused(request: ApiRequest, error: ApiError) -> ApiResponse:
    """A Status object in the encoding that the client accepts, or in JSON."""
    media = untransformed(request.headers.get("accept", "")) or Media.JSON
    return error_response(error, request, media)


def is_joined(request: ApiRequest, kind: ServedKind, negotiated: Negotiated) -> bool:
    """Whether an answer is made from stored bytes alone, without looking into them."""
    return (
        negotiated.media is Media.JSON
        and negotiated.shape is Shape.OBJECT
        and kind.to_served is None
        and not wants_pretty(request.query, request.headers)
        and not wants_gzip(request.headers)
    )


def check_shape(kind: ServedKind, negotiated: Negotiated) -> None:
    """NotAcceptable if an object is to be shown as the metadata of a list."""
    if negotiated.shape is Shape.PARTIAL_LIST:
        raise errors.NotAcceptable(
            "you requested PartialObjectMetadataList, but the requested object is not a list "
            f"(*{internal_type(kind.resource.group, kind.resource.kind)})"
        )


def object_response(
    request: ApiRequest,
    kind: ServedKind,
    stored: bytes,
    negotiated: Negotiated,
    clock: Clock,
    *,
    tree: JsonObject | None = None,
    status: int = 200,
    warnings: Sequence[str] = (),
) -> ApiResponse:
    """One object, given its stored JSON; `tree`: the same, if it need not be decoded."""
    pretty = wants_pretty(request.query, request.headers)
    if negotiated == _PLAIN and kind.to_served is None and not pretty:
        return finished(request, stored + b"\n", negotiated.media, status, warnings)
    if negotiated.media is Media.PROTOBUF and negotiated.shape is Shape.OBJECT:
        body = protobufs.of_object(kind, stored)
        return finished(request, body, Media.PROTOBUF, status, warnings)
    check_shape(kind, negotiated)
    tree = kind.served(codecs.loads_json(stored) if tree is None else tree)
    if negotiated.shape is Shape.TABLE:
        tree = _table(request, kind, [tree], tree["metadata"], negotiated, clock)
    elif negotiated.shape is Shape.PARTIAL:
        tree = partial(tree)
    body = encode(tree, negotiated.media, pretty=pretty)
    return finished(request, body, negotiated.media, status, warnings)


def list_response(
    request: ApiRequest,
    kind: ServedKind,
    records: Sequence[Record],
    meta: JsonObject,
    negotiated: Negotiated,
    clock: Clock,
) -> ApiResponse:
    """A collection, given the records in it and the list's metadata."""
    if negotiated.media is Media.PROTOBUF and negotiated.shape is Shape.OBJECT:
        return finished(request, protobufs.of_list(kind, records, meta), Media.PROTOBUF)
    if negotiated.shape is Shape.PARTIAL:
        raise errors.NotAcceptable(
            "you requested PartialObjectMetadata, but the requested object is a list "
            f"(*{internal_type(kind.resource.group, kind.resource.kind)}List)"
        )
    pretty = wants_pretty(request.query, request.headers)
    plain = negotiated.shape is Shape.OBJECT and kind.to_served is None and not pretty
    if plain and negotiated.media is Media.JSON:
        joined = _joined_json(kind, records, meta)
        if len(joined) > JOINED_BYTES and not wants_gzip(request.headers):
            return ApiResponse(200, joined, Media.JSON.value)
        body = bytes(joined)
    elif plain and negotiated.media is Media.MSGPACK:
        body = _joined_msgpack(kind, records, meta)
    else:
        trees = kind.served_all([record.load() for record in records])
        if negotiated.shape is Shape.TABLE:
            tree = _table(request, kind, trees, meta, negotiated, clock)
        else:
            tree = _list_tree(kind, trees, meta, negotiated)
        body = encode(tree, negotiated.media, pretty=pretty)
    return finished(request, body, negotiated.media)


def partial(tree: JsonObject) -> JsonObject:
    """The PartialObjectMetadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": tables.shown_metadata(tree),
    }


def success(kind: ServedKind, meta: Mapping[str, JsonValue]) -> JsonObject:
    """The Status that says that an object is gone."""
    details: JsonObject = {"name": meta["name"]}
    if kind.resource.group:
        details["group"] = kind.resource.group
    details["kind"] = kind.resource.plural
    details["uid"] = meta["uid"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def _joined_json(kind: ServedKind, records: Sequence[Record], meta: JsonObject) -> Body:
    head = codecs.dumps_json({
        "kind": kind.list_kind, "apiVersion": kind.resource.api_version, "metadata": meta,
    })  # fmt: skip
    head, tail = head[:-1] + b',"items":[', b"]}\n"
    if not records:
        return head + tail
    return Joined(head, [record.json for record in records], len(kind.prefix), tail)


def _joined_msgpack(kind: ServedKind, records: Sequence[Record], meta: JsonObject) -> bytes:
    packer = msgpack.Packer()
    skip = (
        1
        + len(packer.pack("kind"))
        + len(packer.pack(kind.storage.kind))
        + len(packer.pack("apiVersion"))
        + len(packer.pack(kind.storage.api_version))
    )
    parts = [
        packer.pack_map_header(4),
        packer.pack("kind"),
        packer.pack(kind.list_kind),
        packer.pack("apiVersion"),
        packer.pack(kind.resource.api_version),
        packer.pack("metadata"),
        packer.pack(meta),
        packer.pack("items"),
        packer.pack_array_header(len(records)),
    ]
    for record in records:
        packed = record.msgpack
        if packed[0] & 0xF0 == _FIXMAP:
            parts.append(bytes((packed[0] - 2,)))
            parts.append(packed[skip:])
        else:
            parts.append(packer.pack(_bare(record.load())))
    return b"".join(parts)


def _bare(tree: JsonObject) -> JsonObject:
    return {key: value for key, value in tree.items() if key not in ("kind", "apiVersion")}


def _list_tree(
    kind: ServedKind, trees: Sequence[JsonObject], meta: JsonObject, negotiated: Negotiated
) -> JsonObject:
    if negotiated.shape is Shape.PARTIAL_LIST:
        return {
            "kind": Shape.PARTIAL_LIST.value,
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "items": [partial(tree) for tree in trees] or None,  # Go's nil slice
        }
    return {
        "kind": kind.list_kind,
        "apiVersion": kind.resource.api_version,
        "metadata": meta,
        "items": [_bare(tree) for tree in trees],
    }


def _table(
    request: ApiRequest,
    kind: ServedKind,
    trees: Sequence[JsonObject],
    meta: JsonObject,
    negotiated: Negotiated,
    clock: Clock,
) -> JsonObject:
    return tables.table(
        kind.resource,
        trees,
        now=clock.now(),
        metadata=tables.list_metadata(meta),
        include_object=request.query.get("includeObject", ""),
        version=negotiated.table_version,
    )
