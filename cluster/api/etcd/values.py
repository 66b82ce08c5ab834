"""Values in etcd: from what a real API server writes to the JSON of the object.

It writes protobuf (``k8s\\0`` in front) unless told otherwise (``--storage-media-type``), JSON
for custom resources, and some kinds in an older version than the newest. Invariant: what comes out
has no resourceVersion: that is the key's revision in etcd. What needs no change is not decoded.
"""

import msgspec

from kubeherd.cluster.api import defaults, kinds
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.etcd import definitions
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.serializer.protobuf import bodies
from kubeherd.cluster.api.serializer.protobuf.wire import Malformed

_HEAD_BYTES = 256
"""An object says within these of what version it is, whoever wrote it."""

_ENCRYPTED = b"k8s:enc:"

_SAME_IN_V1 = {
    "mutatingadmissionpolicies.admissionregistration.k8s.io": "v1beta1",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": "v1beta1",
    "ipaddresses.networking.k8s.io": "v1beta1",
    "servicecidrs.networking.k8s.io": "v1beta1",
    "volumeattributesclasses.storage.k8s.io": "v1beta1",
}
"""Kinds that real API servers of late keep (the first two, v1.36), or have kept (the others), in a
version that differs from v1 by its name only (default_storage_factory_builder.go)."""


class Unreadable(ValueError):
    """The value is no object that can be served; the text says why."""


class _Metadata(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Versioned(msgspec.Struct):
    metadata: _Metadata


_versioned = msgspec.json.Decoder(_Versioned)


def _resources() -> dict[str, Resource]:
    """The version in which the objects of each kind are kept here."""
    resources: dict[str, Resource] = {}
    for resource in kinds.ALL:
        resources.setdefault(resource.group_resource, resource)
    return resources


_RESOURCES = _resources()
_MARKS = {key: f'"apiVersion":"{one.api_version}"'.encode() for key, one in _RESOURCES.items()}


def to_json(resource_key: str, value: bytes) -> bytes:
    """The JSON of an object of a resource, from its value in etcd. Unreadable.

    JSON that needs no change is returned as it is, and is not checked to be whole.
    """
    if value.startswith(b"{"):
        mark = _MARKS.get(resource_key)
        if (mark is None or mark in value[:_HEAD_BYTES]) and not _has_revision(value):
            return value.rstrip()  # Go's encoder ends every object with a newline
    return codecs.dumps_json_to_keep(_tree(resource_key, value))


def _has_revision(value: bytes) -> bool:
    if b'"resourceVersion"' not in value:
        return False
    try:
        return bool(_versioned.decode(value).metadata.resource_version)
    except msgspec.DecodeError:
        return True  # whoever decodes all of it says what is wrong


def _tree(resource_key: str, value: bytes) -> JsonObject:
    try:
        if value.startswith(bodies.MAGIC):
            tree = _from_protobuf(resource_key, value)
        elif value.startswith(_ENCRYPTED):
            raise Unreadable("it is encrypted")
        else:
            tree = codecs.loads_json(value)
    except (ApiError, Malformed) as error:
        raise Unreadable(str(error)) from None
    meta = tree.get("metadata") if isinstance(tree, dict) else None
    if not isinstance(meta, dict):
        raise Unreadable("it is no object with metadata")
    meta.pop("resourceVersion", None)
    return _in_our_version(resource_key, tree)


def _from_protobuf(resource_key: str, value: bytes) -> JsonObject:
    if resource_key in _SAME_IN_V1:
        body = bodies.opened(value)
        if _differs_by_name(resource_key, body.api_version):
            value = bodies.wrapped(_RESOURCES[resource_key].api_version, body.kind, body.raw)
    tree = bodies.decode(value)
    resource = _RESOURCES.get(resource_key)
    if resource is not None and tree["apiVersion"] == resource.api_version:
        defaults.apply(resource, tree)  # protobuf does not tell what is empty from what is absent
    return tree


def _in_our_version(resource_key: str, tree: JsonObject) -> JsonObject:
    version = tree.get("apiVersion", "")
    if version == definitions.OLD_VERSION:
        return definitions.modernized(tree)
    if _differs_by_name(resource_key, version):
        return {**tree, "apiVersion": _RESOURCES[resource_key].api_version}
    return tree


def _differs_by_name(resource_key: str, api_version: str) -> bool:
    return api_version.rpartition("/")[2] == _SAME_IN_V1.get(resource_key)
