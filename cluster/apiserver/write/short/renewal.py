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
from kubeherd.cluster.apiserver.write.storedform import around_version

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
    if codecs.media_type(content_type) == codecs.MSGPACK:
        body = _in_json(kind, body, msgspec.msgpack.decode)
    elif codecs.media_type(content_type) not in ("", codecs.JSON):
        return None
    elif body[:at] != stored[:at] or body[rest:] != stored[rest:]:
        body = _in_json(kind, body, _loads)
    time = body[at:rest]
    if body[:at] != stored[:at] or body[rest:] != stored[rest:] or time == stored[at:rest]:
        return None
    if not is_micro_time(time.decode("ascii", "replace")):
        return None
    return _spliced(kind.resource, stored, at, time, ctx)


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
    resource: Resource, stored: bytes, at: int, time: bytes, ctx: RequestContext
) -> Callable[[int], bytes] | None:
    """What writes `stored` with `time` at `at`, and with what follows from that."""
    head, behind = around_version(stored)
    tail = len(stored) - len(behind)
    owners = stored.find(_OWNERS, tail, at) + len(_OWNERS)
    end = stored.find(_OWNERS_END, tail, at)
    middle = stored[tail:at]
    if not tracking.is_component(ctx.user) and owners >= len(_OWNERS):
        entries = _owned(resource, stored[owners : end + 1], ctx.field_manager, ctx.timestamp)
        if not entries:
            return None
        middle = stored[tail:owners] + entries + stored[end + 1 : at]
    rest = stored[at + _BYTES :]
    return lambda revision: b"%b%d%b%b%b" % (head, revision, middle, time, rest)


@lru_cache(maxsize=_MAX_OWNERS)
def _owned(resource: Resource, owners: bytes, manager: str, time: str) -> bytes:
    """The JSON of managedFields after a renewal; b"" if there are none then, or were none."""
    try:
        tree: JsonObject = {"metadata": {"managedFields": orjson.loads(owners)}}
    except orjson.JSONDecodeError:
        return b""
    entries = ownership.record_change(resource, tree, _RENEWED, manager=manager, time=time)
    return orjson.dumps(entries) if entries else b""
