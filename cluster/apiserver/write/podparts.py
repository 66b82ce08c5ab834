"""A stored pod in parts: who changes its status or its node, or deletes it, need not decode all of
it. Pure."""

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.served import ServedKind


class Parts(msgspec.Struct, frozen=True, gc=False):
    """The members of a pod, as the JSON that is stored."""

    metadata: bytes
    spec: bytes
    status: bytes


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    kind: msgspec.Raw
    api_version: msgspec.Raw
    metadata: msgspec.Raw
    spec: msgspec.Raw
    status: msgspec.Raw


def parts(kind: ServedKind, stored: bytes) -> Parts | None:
    """The parts of a stored pod; None if put together they are not what is stored."""
    try:
        found = msgspec.json.decode(stored, type=_Stored)
    except msgspec.DecodeError:
        return None
    one = Parts(bytes(found.metadata), bytes(found.spec), bytes(found.status))
    ordered = b'%b"metadata":%b,"spec":%b,"status":%b}'
    same = ordered % (kind.prefix, one.metadata, one.spec, one.status) == stored
    return one if same else None


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_name: str = ""
    termination_grace_period_seconds: int | None = None


def outline(parts: Parts) -> JsonObject:
    """A stored pod with as much of its spec as the rules for a deletion ask for."""
    found = msgspec.json.decode(parts.spec, type=_Spec)
    spec: JsonObject = {}
    if found.node_name:
        spec["nodeName"] = found.node_name
    if found.termination_grace_period_seconds is not None:
        spec["terminationGracePeriodSeconds"] = found.termination_grace_period_seconds
    metadata, status = orjson.loads(parts.metadata), orjson.loads(parts.status)
    return {"metadata": metadata, "spec": spec, "status": status}
