"""The short way of a patch of a pod's status, the most expensive write of a rollout. Pure.

A kubelet sends what has changed of the status, and the UID of the pod that it means. So the spec of
the stored pod, the larger part, stays JSON and is not decoded.

Invariant: what comes of `patched` is, to the byte, what the general way of a patch
(`handlers.patching`, `pipeline`) would store; where that is not certain there is nothing.
`tests/model` compares the two.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api import defaults
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer import decoding
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.short import podparts
from kubeherd.cluster.apiserver.write.short.podparts import Parts

MAX_BYTES: Final = 16 * 1024
"""A patch or a pod that is larger goes the general way."""

_STATUS: Final = "io.k8s.api.core.v1.PodStatus"
_PARTS: Final = frozenset({"metadata", "status"})
_NAMING: Final = frozenset({"uid", "name", "namespace", "resourceVersion"})
"""The members of metadata that say which pod is meant; a patch may have no others."""
_RESTARTED: Final = "Always"
_ENDED: Final = b'"terminated":'


class Change(msgspec.Struct, frozen=True, gc=False):
    """A patched pod. The trees may share members."""

    old: JsonObject
    """The stored pod, with only those members of its spec that the rules for a status depend on."""
    new: JsonObject
    """The wanted metadata and status, decoded and defaulted."""
    parts: Parts
    """All of the stored pod."""


class Patch(msgspec.Struct, frozen=True, gc=False):
    """A decoded patch."""

    body: JsonObject
    merge: Callable[[JsonObject, JsonValue], JsonValue]
    """Applies a patch of this type to an object; the result may share parts of both."""
    converting: bool
    """As `decoding.decode_kind` takes it."""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A patch as a client sent it."""

    body: bytes
    media_type: str
    read: Callable[[bytes], Patch | None]
    """Decodes this body, or another one of the same request; None unless it is certainly valid."""


def patched(
    kind: ServedKind, stored: bytes, fields: Mapping[str, str], patch: Patch
) -> Change | None:
    """What a patch makes of a stored pod, which has these selectable fields; None if it may change
    more than the status, or is not certainly valid. ApiError if it cannot be applied."""
    sent = patch.body.get("status")
    if sent.__class__ is not dict or not _PARTS.issuperset(patch.body):
        return None
    parts = podparts.parts(kind, stored)
    if parts is None:
        return None
    meta, before = parts.metadata, parts.status
    if not _names(meta, patch.body.get("metadata", {})):
        return None
    after = _status(before, sent, patch)
    if not after:
        return None
    new: JsonObject = {"metadata": {**meta}, "status": after}
    defaults.apply_to_status(kind.resource, new)
    spec = _outline(parts.spec, stored, fields)
    return Change({"metadata": meta, "spec": spec, "status": before}, new, parts)


def _status(before: JsonObject, sent: JsonObject, patch: Patch) -> JsonObject | None:
    """The patched status, decoded; None if there is anything to tell the client about it."""
    merged = patch.merge({"status": before}, {"status": sent})
    after = merged.get("status") if isinstance(merged, dict) else None
    if not isinstance(after, dict):
        return None
    try:
        problems = decoding.decode_struct(_STATUS, after, converting=patch.converting)
    except ValueError:
        return None
    return None if problems else after


def _names(meta: JsonObject, naming: JsonObject) -> bool:
    """Whether the metadata in a patch only say which pod is meant, and agree with those it has."""
    return naming.__class__ is dict and all(
        name in _NAMING and meta.get(name) == value for name, value in naming.items()
    )


def needs_spec(stored: bytes, fields: Mapping[str, str]) -> bool:
    """Whether the rules for a status depend on the containers in the spec of a stored pod with
    these selectable fields: on whether one that has ended may run again."""
    return fields.get("spec.restartPolicy") != _RESTARTED and _ENDED in stored


def _outline(spec: bytes, stored: bytes, fields: Mapping[str, str]) -> JsonObject:
    """Those members of a spec that the rules for a status depend on."""
    if needs_spec(stored, fields):
        decoded: JsonObject = orjson.loads(spec)
        return decoded
    outline: JsonObject = {"restartPolicy": fields.get("spec.restartPolicy", "")}
    if node := fields.get("spec.nodeName"):
        outline["nodeName"] = node
    return outline
