"""Which encoding and shape of an answer a client wants (spec api-machinery, 15 and 16).

Clauses of the Accept header are tried in the order in which the client lists them, as kubectl and
client-go expect; quality values are ignored, none of the known clients uses them.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from kubeherd.cluster.api.errors import NotAcceptable
from kubeherd.cluster.api.memo import remembered

_COMPRESS_ABOVE_BYTES = 128 * 1024
_BROWSERS = ("curl", "Wget", "Mozilla/5.0")


class Media(Enum):
    """An encoding of answers; the value is its Content-Type."""

    JSON = "application/json"
    YAML = "application/yaml"
    MSGPACK = "application/msgpack"


class Shape(Enum):
    """What the client wants to see of an object or list."""

    OBJECT = ""
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"
    PARTIAL_LIST = "PartialObjectMetadataList"


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The form of an answer; `table_version` is set for tables only."""

    media: Media = Media.JSON
    shape: Shape = Shape.OBJECT
    table_version: str = "v1"


@dataclass(frozen=True, slots=True)
class Clause:
    """One media range of an Accept header: its type and its parameters."""

    media_type: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """The parameter's value, or ""."""
        return dict(self.parameters).get(name, "")


_MEDIA = {media.value: media for media in Media} | {"*/*": Media.JSON}
OBJECT_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
LIST_TYPES = (
    *OBJECT_TYPES,
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
)
"""What objects and collections come in, as the 406 of Kubernetes' router lists it."""
_VERSIONS = ("v1", "v1beta1")


@remembered(entries=64, longest=256)
def clauses(accept: str) -> tuple[Clause, ...]:
    """The media ranges of an Accept header, in order; ``*/*`` if it is empty."""
    found = []
    for part in accept.split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        if media_type:
            pairs = (p.partition("=") for p in parameters if p)
            found.append(
                Clause(media_type.lower(), tuple((k.strip(), v.strip()) for k, _, v in pairs))
            )
    return tuple(found) or (Clause("*/*"),)


@remembered(entries=64, longest=256)
def negotiate(accept: str) -> Negotiated:
    """The first clause of `accept` that the server can answer; NotAcceptable (406) if none."""
    for clause in clauses(accept):
        media = _MEDIA.get(clause.media_type)
        if media is None:
            continue
        wanted = clause.parameter("as")
        if not wanted:
            return Negotiated(media)
        version = clause.parameter("v")
        if clause.parameter("g") != "meta.k8s.io" or version not in _VERSIONS:
            continue
        if wanted in Shape._value2member_map_:
            return Negotiated(media, Shape(wanted), version)
    raise not_acceptable()


@remembered(entries=64, longest=256)
def is_produced(accept: str) -> bool:
    """Whether `accept` names any media type in which objects come, whatever its parameters."""
    known = {*_MEDIA, *OBJECT_TYPES}
    return any(clause.media_type in known for clause in clauses(accept))


def unavailable(produced: Sequence[str]) -> NotAcceptable:
    """406 of Kubernetes' router, for a request whose every media type is foreign to the path."""
    return NotAcceptable(
        f"406: Not Acceptable\n\nAvailable representations: {', '.join(produced)}", details={}
    )


def not_acceptable() -> NotAcceptable:
    """406 in the words of Kubernetes."""
    return NotAcceptable(
        "only the following media types are accepted: application/json, application/yaml,"
        " application/vnd.kubernetes.protobuf"
    )


def wants_pretty(query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """Whether JSON is to be indented: asked for, or the client is one that a person reads."""
    asked = query.get("pretty")
    if asked is not None:
        return asked not in ("0", "false")
    return headers.get("user-agent", "").startswith(_BROWSERS)


def wants_gzip(headers: Mapping[str, str]) -> bool:
    """Whether the client takes compressed answers."""
    return "gzip" in headers.get("accept-encoding", "")


def compressed(body: bytes, headers: Mapping[str, str]) -> bytes | None:
    """The gzip form of a large body if the client takes it, else None."""
    if len(body) < _COMPRESS_ABOVE_BYTES or not wants_gzip(headers):
        return None
    return gzip.compress(body, compresslevel=1, mtime=0)
