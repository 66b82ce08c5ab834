"""From the tree of an object to the bytes that are stored, and what they may weigh."""

from collections.abc import Callable
from typing import Final

from kubeherd.cluster.api import errors, fields
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import EVENTS, Resource
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.store.state import NODE_INDEXED, Attrs

MAX_STORED_BYTES = 1536 * 1024
"""The largest object: etcd's --max-request-bytes."""

VERSION_KEY: Final = b'"resourceVersion":"'
"""Before the revision in the JSON of an object, which has it once, before what clients name."""


def encoder(stored: JsonObject) -> Callable[[int], bytes]:
    """What writes `stored` with its revision. An object that is too large loses its managedFields,
    as in Kubernetes; one that still is gets a 413 in the words of etcd."""

    def encode(revision: int) -> bytes:
        meta = stored["metadata"]
        meta["resourceVersion"] = str(revision)
        encoded = codecs.dumps_json_to_keep(stored)
        if len(encoded) > MAX_STORED_BYTES and meta.pop("managedFields", None):
            encoded = codecs.dumps_json_to_keep(stored)
        if len(encoded) > MAX_STORED_BYTES:
            raise errors.RequestEntityTooLarge("etcdserver: request is too large")
        return encoded

    return encode


def with_version_slot(meta: JsonObject) -> JsonObject:
    """`meta` with a resourceVersion in its usual place, whatever it holds."""
    if "resourceVersion" in meta:
        return meta
    out: JsonObject = {}
    for key, value in meta.items():
        out[key] = value
        if key == "uid":
            out["resourceVersion"] = ""
    return out


def around_version(stored: bytes) -> tuple[bytes, bytes]:
    """What stands before the revision in the JSON of an object, or in the beginning of it, and what
    stands behind it."""
    begin, end = version_place(stored)
    return stored[:begin], stored[end:]


def version_place(stored: bytes) -> tuple[int, int]:
    """Where the revision begins and ends in the JSON of an object, or in the beginning of it."""
    begin = stored.index(VERSION_KEY) + len(VERSION_KEY)
    return begin, stored.index(b'"', begin)


def attrs(resource: Resource, stored: JsonObject) -> Attrs | None:
    """Attributes that are certain to be asked for, by the index of watchers; else None."""
    if resource.group_resource != NODE_INDEXED:
        return None
    return Attrs(
        labels=stored["metadata"].get("labels") or {}, fields=fields.selectable(resource, stored)
    )


EVENT_TTL_S = 3600
"""How long an Event lives after its last write: kube-apiserver's --event-ttl."""


def ttl_s(resource: Resource) -> int:
    """How long an object lives after its last write; 0: until it is deleted."""
    return EVENT_TTL_S if resource.group_resource == EVENTS.group_resource else 0
