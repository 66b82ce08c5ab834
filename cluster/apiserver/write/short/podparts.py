"""A stored pod in parts: who changes its status or its node, or deletes it, need not decode all of
it. Pure."""

from collections.abc import Callable
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.storedform import VERSION_KEY, around_version

_METADATA: Final = b'"metadata":'
_SPEC: Final = b',"spec":'
_STATUS: Final = b',"status":'


class Parts(msgspec.Struct, frozen=True, gc=False):
    """The members of a pod: metadata and status as trees of the receiver's own, the JSON of the
    spec as it is stored, and that of all before it."""

    head: bytes
    metadata: JsonObject
    spec: bytes
    status: JsonObject


def parts(kind: ServedKind, stored: bytes) -> Parts | None:
    """The parts of a pod that this server stored; None if it is not seen at a glance where they
    are. Before the spec there is one complete object and behind it another, so what is between is
    all of it."""
    begin = kind.prefix + _METADATA
    spec_at = stored.find(_SPEC + b"{")
    status_at = stored.rfind(_STATUS + b"{")
    version_at = stored.find(VERSION_KEY, 0, max(spec_at, 0))
    if not stored.startswith(begin) or not 0 < version_at < spec_at < status_at:
        return None
    try:
        metadata = orjson.loads(stored[len(begin) : spec_at])
        status = orjson.loads(stored[status_at + len(_STATUS) : -1])
    except orjson.JSONDecodeError:  # these words stand for something else, too
        return None
    return Parts(stored[:spec_at], metadata, stored[spec_at + len(_SPEC) : status_at], status)


def spliced(head: bytes, spec: bytes, status: JsonObject) -> Callable[[int], bytes]:
    """What writes a pod with its revision, from the JSON of what is not changed."""
    begin, end = around_version(head)
    rest = b"%b%b%b%b%b}" % (end, _SPEC, spec, _STATUS, orjson.dumps(status))
    return lambda revision: b"%b%d%b" % (begin, revision, rest)


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_name: str = ""
    termination_grace_period_seconds: int | None = None


_decode: Final = msgspec.json.Decoder(_Spec).decode


def outline(parts: Parts) -> JsonObject:
    """A stored pod with as much of its spec as the rules for a deletion ask for."""
    found = _decode(parts.spec)
    spec: JsonObject = {}
    if found.node_name:
        spec["nodeName"] = found.node_name
    if found.termination_grace_period_seconds is not None:
        spec["terminationGracePeriodSeconds"] = found.termination_grace_period_seconds
    return {"metadata": parts.metadata, "spec": spec, "status": parts.status}
