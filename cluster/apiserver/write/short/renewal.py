"""The renewal of a Lease: the most frequent write of an idle cluster, told from all others.

A kubelet sends back the Lease that it was given, with a new renewTime. What is the stored object in
all else needs none of the questions that were asked when it was stored: it has the right types, its
defaults, and it is valid. So it need not even become a tree: its JSON is the stored one with other
characters in three places, those of the version, of the time and of the owners of fields. Pure.

Invariant: what `renewed` makes is what the general way of an update (`pipeline`) would store, to
the byte; where that is not certain it makes nothing. `tests/model` compares the two.
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
from kubeherd.cluster.api.timestamps import is_micro_time
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import tracking
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.storedform import version_place

MAX_BYTES: Final = 16 * 1024
"""A Lease that is larger goes the general way."""

_KEY: Final = b'"renewTime":"'
_BYTES: Final = len("2006-01-02T15:04:05.000000Z")
_REST: Final = re.compile(rb'"(?:,"[A-Za-z]+":(?:[0-9]+|"[^"\\{}]*"))*\}\}')
"""What follows on the time in the last member of an object, if that member is not deeper."""
_OWNERS: Final = b'"managedFields":'
_OWNERS_END: Final = b']},"spec":{'
_RENEWED: Final[JsonObject] = {"f:spec": {"f:renewTime": {}}}
_MAX_OWNERS: Final = 64
"""Those of a second are mostly alike; so many of at most `MAX_BYTES` are remembered."""


def renewed(
    kind: ServedKind, stored: bytes, content_type: str, body: bytes, ctx: RequestContext
) -> Callable[[int], bytes] | None:
    """What writes, with its revision, what becomes of the Lease with the JSON `stored` if the
    object in the request's body replaces it; None if anything but its renewTime was to change, or
    nothing."""
    at = stored.rfind(_KEY) + len(_KEY)
    rest = at + _BYTES
    if at < len(_KEY) or _REST.fullmatch(stored, rest) is None or len(body) > MAX_BYTES:
        return None
    if not stored.startswith(kind.prefix) or b'"deletionTimestamp":' in stored:
        return None
    before, behind = stored[:at], stored[rest:]
    media = codecs.media_type(content_type)
    if media == codecs.MSGPACK:
        time = _between(before, behind, _in_json(kind, body, msgspec.msgpack.decode))
    elif media in ("", codecs.JSON):
        time = _between(before, behind, body)
        time = time or _between(before, behind, _in_json(kind, body, _loads))
    else:
        return None
    if time == stored[at:rest] or not is_micro_time(time.decode("ascii", "replace")):
        return None
    return _spliced(kind.resource, before, behind, time, ctx)


def _between(before: bytes, behind: bytes, body: bytes) -> bytes:
    """What stands where a time is expected; b"" if there is anything else around it."""
    if len(body) != len(before) + _BYTES + len(behind):
        return b""
    if not body.startswith(before) or not body.endswith(behind):
        return b""
    return body[len(before) : len(before) + _BYTES]


def _in_json(kind: ServedKind, body: bytes, decode: Callable[[bytes], JsonValue]) -> bytes:
    """The object in a body as it would be stored if nothing was done to it; b"" if it is none of
    this kind, or may not be what it looks like."""
    resource = kind.resource
    try:
        tree = decode(body)
        if not isinstance(tree, dict) or not isinstance(tree.get("metadata"), dict):
            return b""
        if (tree.get("apiVersion"), tree.get("kind")) != (resource.api_version, resource.kind):
            return b""  # below, every object becomes one of its kind
        return orjson.dumps(kind.stored(tree), option=orjson.OPT_PASSTHROUGH_DATETIME)
    except (orjson.JSONDecodeError, msgspec.DecodeError, TypeError, UnicodeDecodeError):
        return b""


def _loads(body: bytes) -> JsonValue:
    """JSON; None if some of it may be missing in the tree."""
    tree: JsonValue = orjson.loads(body)
    return tree if codecs.keeps_every_field(body, tree) else None


def _spliced(
    resource: Resource, before: bytes, behind: bytes, time: bytes, ctx: RequestContext
) -> Callable[[int], bytes] | None:
    """What writes a Lease with `time` between what stood around the last one, and with what follows
    from that."""
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
    """The JSON of managedFields after a renewal; b"" if there are none then, or were none."""
    try:
        tree: JsonObject = {"metadata": {"managedFields": orjson.loads(owners)}}
    except orjson.JSONDecodeError:
        return b""
    entries = ownership.record_change(resource, tree, _RENEWED, manager=manager, time=time)
    return orjson.dumps(entries) if entries else b""
