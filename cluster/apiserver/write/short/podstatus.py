"""A patch of a pod's status: of all writes that a rollout needs the dearest, told from all others.

A kubelet sends what has changed of the status, and the uid of the pod that it means. Nothing else
of the stored pod is looked at: its spec, the larger part, stays the bytes that it is. Pure.

Invariant: what is made of `patched` is what the general way of a patch (`handlers.patching`,
`pipeline`) would store, to the byte; where that is not certain it makes nothing. `tests/model`
compares the two.
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
"""What a patch may say of the pod's metadata: which pod it means."""
_RESTARTED: Final = "Always"


class Change(msgspec.Struct, frozen=True, gc=False):
    """A pod as it is stored, and the metadata and the status that are asked for, decoded and
    defaulted. They share what they can. The old one has as much of the spec as the rules for a
    status ask for; `parts` are all of it."""

    old: JsonObject
    new: JsonObject
    parts: Parts


class Patch(msgspec.Struct, frozen=True, gc=False):
    """A patch, and `merge`, which makes of an object and a patch of it the patched one, sharing
    what it likes; `converting` as `decoding.decode_kind` takes it."""

    body: JsonObject
    merge: Callable[[JsonObject, JsonValue], JsonValue]
    converting: bool


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What a client sent: a patch of this media type, and what reads it, or another body instead;
    None if it is not certainly a good one."""

    body: bytes
    media_type: str
    read: Callable[[bytes], Patch | None]


def patched(
    kind: ServedKind, stored: bytes, fields: Mapping[str, str], patch: Patch
) -> Change | None:
    """What `patch` makes of the pod with the JSON `stored` and these selectable `fields`; None if
    it may be about more than the status, or is not certainly good. ApiError: it is no patch."""
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
    return Change(
        {"metadata": meta, "spec": outline(parts.spec, fields), "status": before}, new, parts
    )


def _status(before: JsonObject, sent: JsonObject, patch: Patch) -> JsonObject | None:
    """The patched status, decoded; None if something about it has to be told."""
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
    """Whether what a patch says of the metadata is what they are, and names the pod only."""
    return naming.__class__ is dict and all(
        name in _NAMING and meta.get(name) == value for name, value in naming.items()
    )


def restarts(fields: Mapping[str, str]) -> bool:
    """Whether all containers of a pod with these selectable fields are restarted, always."""
    return fields.get("spec.restartPolicy") == _RESTARTED


def outline(spec: bytes, fields: Mapping[str, str]) -> JsonObject:
    """As much of a spec as the rules for a status ask for: they ask what becomes of containers
    where some may not be restarted."""
    if not restarts(fields):
        decoded: JsonObject = orjson.loads(spec)
        return decoded
    outline: JsonObject = {"restartPolicy": _RESTARTED}
    if node := fields.get("spec.nodeName"):
        outline["nodeName"] = node
    return outline
