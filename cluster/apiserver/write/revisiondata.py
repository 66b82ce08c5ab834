"""The data of a ControllerRevision as a text: it may not change by a byte.

Kubernetes compares what was sent (pkg/apis/apps/validation, Data.Raw), not what it means: a
revision whose data was created with blanks between its members refuses every patch, because a
patched object is written without them. So the stored JSON holds the data as it was sent. That is
the compact form from nearly every client; then nothing here costs anything.
"""

import msgspec
import orjson

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.validation.causes import invalid
from kubeherd.cluster.api.validation.objectmeta import IMMUTABLE


class _Revision(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")


def text_of(resource: Resource, content_type: str, body: bytes, tree: JsonObject) -> bytes:
    """The data in a request's body, if it has another text than the compact one of `tree`."""
    if resource is not kinds.CONTROLLERREVISIONS:
        return b""
    if codecs.media_type(content_type) not in ("", codecs.JSON):
        return b""
    try:
        text = bytes(msgspec.json.decode(body, type=_Revision).data)
    except msgspec.DecodeError:  # what is read more leniently is not kept to the byte
        return b""
    return b"" if text == _compact(tree) else text


def to_store(stored: JsonObject, text: bytes) -> JsonObject:
    """The object with its data as it was sent."""
    return {**stored, "data": orjson.Fragment(text)} if text else stored


def changed(resource: Resource, new: JsonObject, text: bytes, stored: bytes) -> list[Cause]:
    """The cause against an update whose data means the same but reads otherwise than in the
    `stored` JSON. `text`: what `text_of` said of the request."""
    if resource is not kinds.CONTROLLERREVISIONS:
        return []
    before = bytes(msgspec.json.decode(stored, type=_Revision).data)
    if (text or _compact(new)) == before or not before or orjson.loads(before) != new.get("data"):
        return []
    return [invalid("data", new.get("data"), IMMUTABLE)]


def _compact(tree: JsonObject) -> bytes:
    return codecs.dumps_json(tree["data"]) if "data" in tree else b""
