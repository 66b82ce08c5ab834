"""The short way of the renewal of a Lease, the most frequent write of an idle cluster. Pure.

A kubelet sends back the Lease that it was given, with a new renewTime. An object that equals the
stored one in all else need not be checked again: it was valid when it was stored. It need not even
be decoded: its JSON is the stored one with three parts replaced, which are the revision, the time,
and the owners of fields.

Invariant: the result is, to the byte, what the general way of an update (`pipeline`) would store;
where that is not certain there is none. `tests/model` compares the two.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields import ownership
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.timestamps import is_micro_time, is_time
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import tracking
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.storedform import version_place

MAX_BYTES: Final = 16 * 1024
"""A Lease that is larger goes the general way."""

_JSON: Final = ("", codecs.JSON)
_VERSION_KEY: Final = b'"resourceVersion'
_KEY: Final = b'"renewTime":"'
_BYTES: Final = len("2006-01-02T15:04:05.000000Z")
_REST: Final = re.compile(rb'"(?:,"[A-Za-z]+":(?:[0-9]+|"[^"\\{}]*"))*\}\}')
"""What may follow on the time: members of the spec that are numbers or texts, and the end."""
_OWNERS: Final = b'"managedFields":'
_OWNERS_END: Final = b']},"spec":{'
_VALUES: Final = re.compile(rb'":"([0-9][0-9TZ:.\-]*)"')
"""Texts that may be times or versions."""
_VERSION: Final = re.compile(rb"[1-9][0-9]{0,18}")
_RENEWED: Final[JsonObject] = {"f:spec": {"f:renewTime": {}}}
_MAX_OWNERS: Final = 64
"""The size of a cache. Most renewals within a second have the same owners, which take at most
`MAX_BYTES`."""


def renewed(
    kind: ServedKind, stored: bytes, content_type: str, body: bytes, ctx: RequestContext
) -> Callable[[int], bytes] | None:
    """What encodes, with a revision, the Lease that becomes of `stored` if it is replaced by the
    object in a request's body; None unless the two differ in the renewTime and in nothing else."""
    at = stored.rfind(_KEY) + len(_KEY)
    rest = at + _BYTES
    if at < len(_KEY) or _REST.fullmatch(stored, rest) is None or len(body) > MAX_BYTES:
        return None
    if not stored.startswith(kind.prefix) or b'"deletionTimestamp":' in stored:
        return None
    before, behind = stored[:at], stored[rest:]
    media = codecs.media_type(content_type)
    time = _between(before, behind, body) if media in _JSON else b""
    time = time or _between(before, behind, _in_json(kind, body, media))
    if time == stored[at:rest] or not is_micro_time(time.decode("ascii", "replace")):
        return None
    return _spliced(kind.resource, before, behind, time, ctx)


def is_late(kind: ServedKind, stored: bytes, content_type: str, body: bytes) -> bool:
    """Whether the object in a request's body is certainly a valid Lease of another version than the
    one with the JSON `stored`, from which it differs in times at most: the renewal of a client that
    has not seen the last one. An update with it is refused for its version, for nothing else."""
    if len(body) > MAX_BYTES or not stored.startswith(kind.prefix):
        return False
    media, old = codecs.media_type(content_type), _VALUES.split(stored)
    new = _VALUES.split(body) if media in _JSON else []
    if new[::2] != old[::2]:
        new = _VALUES.split(_in_json(kind, body, media))
        if new[::2] != old[::2]:
            return False
    changed = [at for at in range(1, len(old), 2) if new[at] != old[at]]
    if not changed or not old[changed[0] - 1].endswith(_VERSION_KEY):
        return False  # the version stands before all else that may have changed
    if _VERSION.fullmatch(new[changed[0]]) is None:
        return False
    return all(_may_be(old[at - 1], new[at].decode()) for at in changed[1:])


def _between(before: bytes, behind: bytes, body: bytes) -> bytes:
    """The bytes of a body between `before` and `behind`, as many as a time has; b"" if the body is
    not made of these three."""
    if len(body) != len(before) + _BYTES + len(behind):
        return b""
    if not body.startswith(before) or not body.endswith(behind):
        return b""
    return body[len(before) : len(before) + _BYTES]


def _may_be(before: bytes, text: str) -> bool:
    """Whether a valid Lease may have this text behind what ends with the name of a member."""
    if before.endswith(b'"renewTime'):
        return is_micro_time(text)
    return before.endswith(b'"time') and is_time(text)


def _in_json(kind: ServedKind, body: bytes, media: str) -> bytes:
    """The object in a body as JSON, in the form in which it would be stored; b"" if it is not of
    this kind, or if decoding may have lost a part of it."""
    resource, decode = kind.resource, _DECODE.get(media)
    if decode is None:
        return b""
    try:
        tree = decode(body)
        if not isinstance(tree, dict) or not isinstance(tree.get("metadata"), dict):
            return b""
        if (tree.get("apiVersion"), tree.get("kind")) != (resource.api_version, resource.kind):
            return b""  # `stored` gives any object its own apiVersion and kind
        return orjson.dumps(kind.stored(tree), option=orjson.OPT_PASSTHROUGH_DATETIME)
    except (orjson.JSONDecodeError, msgspec.DecodeError, TypeError, UnicodeDecodeError):
        return b""


def _loads(body: bytes) -> JsonValue:
    """Decoded JSON; None if a member may be missing, because it is there twice."""
    tree: JsonValue = orjson.loads(body)
    return tree if codecs.keeps_every_field(body, tree) else None


_DECODE: Final[dict[str, Callable[[bytes], JsonValue]]] = {
    **dict.fromkeys(_JSON, _loads),
    codecs.MSGPACK: msgspec.msgpack.decode,
}


def _spliced(
    resource: Resource, before: bytes, behind: bytes, time: bytes, ctx: RequestContext
) -> Callable[[int], bytes] | None:
    """What encodes a Lease with another time, and so with other owners of fields, and a revision;
    `before` and `behind` are the JSON around the last time."""
    begin, tail = version_place(before)
    owners = before.find(_OWNERS, tail) + len(_OWNERS)
    middle = before[tail:]
    if owners >= len(_OWNERS) and not tracking.is_component(ctx.user):
        end = before.find(_OWNERS_END, tail) + 1
        entries = _owned(resource, before[owners:end], ctx.field_manager, ctx.timestamp)
        if not entries:
            return None
        middle = before[tail:owners] + entries + before[end:]
    head = before[:begin]
    return lambda revision: b"%b%d%b%b%b" % (head, revision, middle, time, behind)


@lru_cache(maxsize=_MAX_OWNERS)
def _owned(resource: Resource, owners: bytes, manager: str, time: str) -> bytes:
    """The JSON of managedFields after a renewal; b"" if there are none before or after it."""
    try:
        tree: JsonObject = {"metadata": {"managedFields": orjson.loads(owners)}}
    except orjson.JSONDecodeError:
        return b""
    entries = ownership.record_change(resource, tree, _RENEWED, manager=manager, time=time)
    return orjson.dumps(entries) if entries else b""
