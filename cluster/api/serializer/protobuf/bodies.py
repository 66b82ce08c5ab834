"""Whole bodies in Kubernetes protobuf: the envelope, lists, and the frames of a watch stream.

A body is the magic ``k8s\\0`` and an ``Unknown`` message: apiVersion and kind, then the bytes of
the object's own message. Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf v1.36.
"""

from collections.abc import Iterable, Mapping

import msgspec

from kubeherd.cluster.api.bounds import TooManyValues
from kubeherd.cluster.api.errors import BadRequest, NotAcceptable
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.serializer.protobuf import writing
from kubeherd.cluster.api.serializer.protobuf.reading import Reader
from kubeherd.cluster.api.serializer.protobuf.wire import (
    Expected,
    Malformed,
    Scanner,
    WireType,
    delimited,
)

MAGIC = b"k8s\x00"
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_DELETE_OPTIONS = "apis.meta.v1.DeleteOptions"
_LIST_META = "apis.meta.v1.ListMeta"
_SHOWN_BYTES = 30
_NO_SHAPE = (TypeError, ValueError, AttributeError, KeyError, OverflowError, RecursionError)
"""What the writer meets in a tree that is not of its struct's shape."""

_TYPE_META: Expected = {1: ("APIVersion", WireType.BYTES), 2: ("Kind", WireType.BYTES)}
_UNKNOWN: Expected = {
    1: ("TypeMeta", WireType.BYTES),
    2: ("Raw", WireType.BYTES),
    3: ("ContentEncoding", WireType.BYTES),
    4: ("ContentType", WireType.BYTES),
}


def decode(body: bytes, api_version: str = "", kind: str = "") -> JsonObject:
    """The JSON tree of a body that is to be an object of `kind`, which is also what it is taken for
    if it does not say.

    BadRequest in the words of Kubernetes if it is malformed or of a kind that is not served,
    RequestEntityTooLarge if it has more than `bounds.MAX_VALUES` fields.
    """
    try:
        found = opened(body)
    except TooManyValues as error:
        raise error.refusal() from None
    except Malformed as error:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {kind}): {error} "
            f"({_summary(body)})"
        ) from None
    own_version, own_kind = found.api_version or api_version, found.kind or kind
    try:
        struct = struct_of(own_version, own_kind)
        if struct is None:
            raise Malformed(
                f'no kind "{own_kind}" is registered for version "{own_version}" in scheme '
                f'"{_SCHEME}"'
            )
        tree = Reader().read(struct, found.raw)
    except TooManyValues as error:
        raise error.refusal() from None
    except (Malformed, RecursionError) as error:
        version = own_version.rpartition("/")[2]
        raise BadRequest(
            f'{own_kind} in version "{version}" cannot be handled as a {kind or own_kind}: {error}'
        ) from None
    return {"kind": own_kind, "apiVersion": own_version, **tree}


def struct_of(api_version: str, kind: str) -> str | None:
    """The struct of a kind, or None; every group version has DeleteOptions."""
    if kind == "DeleteOptions":
        return _DELETE_OPTIONS
    return gostructs.struct_of(api_version, kind)


def encode(tree: JsonObject) -> bytes:
    """The body of an object or list that says its kind; NotAcceptable if protobuf has no message
    for it. Without apiVersion (the document /api) it is of v1."""
    api_version, kind = tree.get("apiVersion", ""), tree["kind"]
    return wrapped(api_version, kind, message(api_version or "v1", kind, tree))


def message(api_version: str, kind: str, tree: JsonObject) -> bytes:
    """The bytes of an object's own message; NotAcceptable if protobuf has none for it."""
    struct = struct_of(api_version, kind)
    if struct is not None:
        try:
            return writing.message(struct, tree)
        except _NO_SHAPE:
            pass  # the schema of a custom resource, say, whose inside is not checked
    raise NotAcceptable(
        f"object *{api_version.rpartition('/')[2]}.{kind} does not implement the protobuf "
        "marshalling interface and cannot be encoded to a protobuf message"
    )


def wrapped(api_version: str, kind: str, content: bytes) -> bytes:
    """The body around an object's own message."""
    type_meta = delimited(1, api_version.encode()) + delimited(2, kind.encode())
    parts = (MAGIC, delimited(1, type_meta), delimited(2, content), b'\x1a\x00"\x00')
    return b"".join(parts)


def list_body(
    api_version: str, list_kind: str, meta: Mapping[str, object], items: Iterable[bytes]
) -> bytes:
    """The body of a list, from the messages of its items."""
    head = delimited(1, writing.message(_LIST_META, dict(meta)))
    content = b"".join((head, *(delimited(2, item) for item in items)))
    return wrapped(api_version, list_kind, content)


def frame(event_type: str, body: bytes) -> bytes:
    """One event of a watch stream, with its length in front; `body` is that of its object."""
    event = delimited(1, event_type.encode()) + delimited(2, delimited(1, body))
    return len(event).to_bytes(4, "big") + event


class Envelope(msgspec.Struct, frozen=True):
    """What a body says of itself, and the bytes of the object's own message."""

    api_version: str
    kind: str
    raw: bytes


def opened(body: bytes) -> Envelope:
    """The body, taken out of its envelope. Malformed."""
    if not body:
        raise Malformed("empty data")
    if not body.startswith(MAGIC):
        raise Malformed(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    if len(body) == len(MAGIC):
        raise Malformed("empty body")
    scanner = Scanner()
    parts = dict(scanner.fields("Unknown", _UNKNOWN, body[len(MAGIC) :]))
    meta = dict(scanner.fields("TypeMeta", _TYPE_META, bytes(parts.get(1, b""))))
    texts = [bytes(meta.get(number, b"")).decode(errors="replace") for number in _TYPE_META]
    return Envelope(texts[0], texts[1], bytes(parts.get(2, b"")))


def _summary(body: bytes) -> str:
    """The beginning of a body that is not understood."""
    if not body:
        return "<empty>"
    shown = body[:_SHOWN_BYTES]
    text = shown.decode(errors="replace") if shown.startswith(b"{") else shown.hex()
    return f"{text} ..." if len(body) > _SHOWN_BYTES else text
