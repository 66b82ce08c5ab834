"""The renewal of a Lease: the most frequent write of an idle cluster, told from all others.

A kubelet sends back the Lease that it was given, with a new renewTime. What is the stored object in
all else needs none of the questions that were asked when it was stored: it has the right types, its
defaults, and it is valid. Pure.

Invariant: what `renewed` makes is what the general way of an update (`registry`) would store, to
the byte; where that is not certain it makes nothing. `tests/model` compares the two.
"""

from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.timestamps import is_micro_time
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write import tracking
from kubeherd.cluster.apiserver.write.context import RequestContext

MAX_BYTES: Final = 16 * 1024
"""A Lease that is larger goes the general way."""

_KEY: Final = b'"renewTime":"'
_BYTES: Final = len("2006-01-02T15:04:05.000000Z")
_RENEWED: Final[JsonObject] = {"f:spec": {"f:renewTime": {}}}


def decoded(content_type: str, body: bytes) -> JsonObject | None:
    """The object in a request's body as it stands there; None if that may not be all of it, or is
    not what it means."""
    if len(body) > MAX_BYTES:
        return None
    media_type = codecs.media_type(content_type)
    try:
        if media_type == codecs.MSGPACK:
            tree = msgspec.msgpack.decode(body)
        elif media_type in ("", codecs.JSON):
            tree = orjson.loads(body)
            if not codecs.keeps_every_field(body, tree):
                return None
        else:
            return None
    except (orjson.JSONDecodeError, msgspec.DecodeError):
        return None
    return tree if isinstance(tree, dict) else None


class Renewal(msgspec.Struct, frozen=True, gc=False):
    """A Lease as it is stored, and as it is to be stored instead, both in the stored form; they
    share what they can."""

    old: JsonObject
    new: JsonObject


def renewed(
    kind: ServedKind, stored: bytes, sent: JsonObject, ctx: RequestContext
) -> Renewal | None:
    """What becomes of the Lease with the JSON `stored` if `sent` replaces it; None if anything but
    its renewTime was to change, or nothing."""
    at = stored.rfind(_KEY) + len(_KEY)
    spec, meta = sent.get("spec"), sent.get("metadata")
    if at < len(_KEY) or not isinstance(spec, dict) or not isinstance(meta, dict):
        return None
    time, before = spec.get("renewTime"), stored[at : at + _BYTES].decode("ascii", "replace")
    if (
        time == before
        or not isinstance(time, str)
        or not is_micro_time(time)
        or "deletionTimestamp" in meta
    ):
        return None
    resource = kind.resource
    if (sent.get("apiVersion"), sent.get("kind")) != (resource.api_version, resource.kind):
        return None  # below, every object becomes one of its kind
    old = kind.stored({**sent, "spec": {**spec, "renewTime": before}})
    if _json(old) != stored:
        return None
    new = {**old, "metadata": {**old["metadata"]}, "spec": spec}
    tracking.record_change(kind, new, _RENEWED, ctx)
    return Renewal(old, new)


def _json(tree: JsonObject) -> bytes:
    """A tree as it would be stored; b"" if it is no JSON."""
    try:
        return orjson.dumps(tree, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        return b""
