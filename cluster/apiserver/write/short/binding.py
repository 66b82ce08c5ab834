"""A Binding of which no more is said than which pod goes to which node: the short way. Pure.

Its pod's metadata gain nothing, its status gains a condition, and its spec one member. The rest of
the spec stays the bytes that it is.

Invariant: what is made of `sent` and `Parts` is what the general way (`write.binding.bound`, on the
whole pod) would store, to the byte; where that is not certain it makes nothing. `tests/model`
compares the two.
"""

from typing import Final, Literal

import msgspec
import orjson

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.write.short.podparts import Parts


class _Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    namespace: str = ""
    uid: str = ""


class _Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: str
    kind: Literal["Node"]
    api_version: str = ""


class _Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_version: Literal["v1"]
    kind: Literal["Binding"]
    target: _Target
    metadata: _Meta


_decoded: Final = codecs.struct_decoder(_Sent)


def sent(content_type: str, body: bytes, name: str) -> JsonObject | None:
    """A Binding of the pod of this name to a node, that says no more than that; None for all that
    has to be looked at closely, and where a member may be there twice."""
    found = _decoded(content_type, body)
    if found is None:
        return None
    meta, node = found.metadata, found.target.name
    if not node or meta.name != name:
        return None
    return {"metadata": {"name": name, "uid": meta.uid}, "target": {"name": node}}


def outline(parts: Parts) -> JsonObject | None:
    """As much of a stored pod as `bound` asks for; None if it asks for more of its spec."""
    if b'"nodeName"' in parts.spec or b'"schedulingGates"' in parts.spec:
        return None
    return {"metadata": parts.metadata, "spec": {}, "status": parts.status}


def spec_on(node_name: str, spec: bytes) -> bytes:
    """The JSON of the spec of a pod, which has some members but no node, on a node."""
    return b'%b,"nodeName":%b}' % (spec[:-1], orjson.dumps(node_name))
