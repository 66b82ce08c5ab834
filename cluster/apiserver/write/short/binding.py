"""The short way of a Binding that says nothing but which pod goes to which node. Pure.

It leaves the metadata of its pod alone, adds a condition to the status and one member to the spec.
So of the spec's JSON nothing is decoded.

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
    """The Binding in a body, if it is valid and says nothing but that the pod of this name goes to
    a node; else None, also where a member may be there twice."""
    found = _decoded(content_type, body)
    if found is None:
        return None
    meta, node = found.metadata, found.target.name
    if not node or meta.name != name:
        return None
    return {"metadata": {"name": name, "uid": meta.uid}, "target": {"name": node}}


def outline(parts: Parts) -> JsonObject | None:
    """A pod with only what `bound` depends on; None if that includes members of its spec."""
    if b'"nodeName"' in parts.spec or b'"schedulingGates"' in parts.spec:
        return None
    return {"metadata": parts.metadata, "spec": {}, "status": parts.status}


def spec_on(node_name: str, spec: bytes) -> bytes:
    """The JSON of a spec with a node, made from that of one without, which has other members."""
    return b'%b,"nodeName":%b}' % (spec[:-1], orjson.dumps(node_name))
