"""A stored pod of which only metadata and status are decoded.

That is enough for changes of its status and its node, and for its deletion. The spec, the larger
part, stays JSON. Pure.
"""

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
    """The members of a stored pod. The trees belong to the receiver."""

    head: bytes
    """The JSON of all that stands before the spec."""
    metadata: JsonObject
    spec: bytes
    """Its JSON."""
    status: JsonObject


def parts(kind: ServedKind, stored: bytes) -> Parts | None:
    """The parts of a pod that this server stored; None if they are not found by searching for the
    names of its members. What is before the spec and what is behind it must each be a valid object;
    so what is between them is the spec and nothing else."""
    begin = kind.prefix + _METADATA
    spec_at = stored.find(_SPEC + b"{")
    status_at = stored.rfind(_STATUS + b"{")
    version_at = stored.find(VERSION_KEY, 0, max(spec_at, 0))
    if not stored.startswith(begin) or not 0 < version_at < spec_at < status_at:
        return None
    try:
        metadata = orjson.loads(stored[len(begin) : spec_at])
        status = orjson.loads(stored[status_at + len(_STATUS) : -1])
    except orjson.JSONDecodeError:  # a name of a member was found within some text
        return None
    return Parts(stored[:spec_at], metadata, stored[spec_at + len(_SPEC) : status_at], status)


def spliced(head: bytes, spec: bytes, status: JsonObject) -> Callable[[int], bytes]:
    """What encodes a pod with a revision: `head` and `spec` are JSON already."""
    begin, end = around_version(head)
    rest = b"%b%b%b%b%b}" % (end, _SPEC, spec, _STATUS, orjson.dumps(status))
    return lambda revision: b"%b%d%b" % (begin, revision, rest)


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_name: str = ""
    termination_grace_period_seconds: int | None = None


_decode: Final = msgspec.json.Decoder(_Spec).decode


def outline(parts: Parts) -> JsonObject:
    """A pod with only those members of its spec that a deletion depends on."""
    found = _decode(parts.spec)
    spec: JsonObject = {}
    if found.node_name:
        spec["nodeName"] = found.node_name
    if found.termination_grace_period_seconds is not None:
        spec["terminationGracePeriodSeconds"] = found.termination_grace_period_seconds
    return {"metadata": parts.metadata, "spec": spec, "status": parts.status}
