"""Which encoding and shape of an answer a client wants (spec api-machinery, 15 and 16).

Clauses of the Accept header are tried by quality and then in the order in which the client lists
them; one that asks for what its media type cannot give is passed over
(k8s.io/apiserver/pkg/endpoints/handlers/negotiation v1.36).
"""

import gzip
from collections.abc import Collection, Mapping, Sequence
from enum import Enum

import msgspec

from kubeherd.cluster.api.errors import NotAcceptable
from kubeherd.cluster.api.goformat import is_true
from kubeherd.cluster.api.memo import remembered

_COMPRESS_ABOVE_BYTES = 128 * 1024
_BROWSERS = ("curl", "Wget", "Mozilla/5.0")


class Media(Enum):
    """An encoding of answers; the value is its Content-Type."""

    JSON = "application/json"
    YAML = "application/yaml"
    PROTOBUF = "application/vnd.kubernetes.protobuf"
    MSGPACK = "application/msgpack"


class Shape(Enum):
    """What the client wants to see of an object or list."""

    OBJECT = ""
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"
    PARTIAL_LIST = "PartialObjectMetadataList"


class Negotiated(msgspec.Struct, frozen=True):
    """The form of an answer; `table_version` is set for tables only."""

    media: Media = Media.JSON
    shape: Shape = Shape.OBJECT
    table_version: str = "v1"


class Clause(msgspec.Struct, frozen=True):
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
_TRANSFORM = ("as", "g", "v")
_INSERTION_SORT = 12
"""Up to so many elements Go sorts by insertion."""
_STREAMED = (Media.JSON, Media.PROTOBUF, Media.MSGPACK)


@remembered(entries=64, longest=256)
def clauses(accept: str) -> tuple[Clause, ...]:
    """The media ranges of an Accept header, best first; ``*/*`` if it is empty."""
    found = []
    for part in accept.split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        if media_type:
            pairs = (p.partition("=") for p in parameters if p)
            found.append(
                Clause(media_type.lower(), tuple((k.strip(), v.strip()) for k, _, v in pairs))
            )
    return tuple(_best_first(found)) or (Clause("*/*"),)


def _best_first(found: list[Clause]) -> list[Clause]:
    """Clauses as goautoneg sorts them. What precedes what is no order in the mathematical sense,
    so for short lists, nearly all, the outcome is that of Go's insertion sort."""
    if len(found) > _INSERTION_SORT:
        return sorted(found, key=_quality, reverse=True)
    for start in range(1, len(found)):
        at = start
        while at and _precedes(found[at], found[at - 1]):
            found[at - 1], found[at] = found[at], found[at - 1]
            at -= 1
    return found


def _precedes(one: Clause, other: Clause) -> bool:
    """By quality, else what is named before a wildcard."""
    if _quality(one) > _quality(other):
        return True
    wild, other_wild = one.media_type.count("*"), other.media_type.count("*")
    return wild < other_wild


def _quality(clause: Clause) -> float:
    """How much the client wants a clause; one that says nothing readable is wanted most."""
    try:
        return float(clause.parameter("q") or 1)
    except ValueError:
        return 0.0


@remembered(entries=64, longest=256)
def negotiate(accept: str) -> Negotiated:
    """The first clause of `accept` that the server can answer; NotAcceptable (406) if none."""
    return _negotiated(accept, _SHAPES)


@remembered(entries=64, longest=256)
def negotiate_without_tables(accept: str) -> Negotiated:
    """The same for what is only answered and never stored: no table shows it."""
    return _negotiated(accept, _SHAPES - {Shape.TABLE.value})


def _negotiated(accept: str, shapes: Collection[str]) -> Negotiated:
    for clause in clauses(accept):
        media = _media(clause)
        if media is None:
            continue
        wanted, group, version = map(clause.parameter, _TRANSFORM)
        if not (wanted or group or version):
            return Negotiated(media)
        if group != "meta.k8s.io" or version not in _VERSIONS or wanted not in shapes:
            continue
        if wanted == Shape.TABLE.value and media is Media.PROTOBUF:
            continue  # protobuf has no message for it
        return Negotiated(media, Shape(wanted), version)
    raise not_acceptable()


_SHAPES = {shape.value for shape in Shape if shape is not Shape.OBJECT}


def untransformed(accept: str) -> Media | None:
    """The encoding of what comes in one shape only: errors, discovery; None if the client takes
    no such thing."""
    for clause in clauses(accept):
        media = _media(clause)
        if media is not None and not any(map(clause.parameter, _TRANSFORM)):
            return media
    return None


def transformed(accept: str, group: str, version: str, kind: str) -> Media | None:
    """The encoding of a shape that the client asks for by name in any clause, or None."""
    for clause in clauses(accept):
        media = _media(clause)
        if media is not None and (kind, group, version) == tuple(map(clause.parameter, _TRANSFORM)):
            return media
    return None


def _media(clause: Clause) -> Media | None:
    """The encoding that a clause asks for, if the server has it and it can be streamed if asked."""
    media = _MEDIA.get(clause.media_type)
    stream = clause.parameter("stream")
    if clause.parameter("sv") or (stream and (stream != "watch" or media not in _STREAMED)):
        return None
    return media


def not_acceptable(*, stream: bool = False) -> NotAcceptable:
    """406 in the words of Kubernetes; `stream` for a watch."""
    media = (Media.JSON, Media.PROTOBUF) if stream else (Media.JSON, Media.YAML, Media.PROTOBUF)
    accepted = ", ".join(m.value + ";stream=watch" * stream for m in media)
    return NotAcceptable(f"only the following media types are accepted: {accepted}")


def accepts(accept: str, content_type: str) -> bool:
    """Whether an Accept header takes the one type in which something can be had."""
    return any(clause.media_type in (content_type, "*/*") for clause in clauses(accept))


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


def wants_pretty(query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """Whether JSON is to be indented: asked for, or the client is one that a person reads."""
    asked = query.get("pretty")
    if asked:
        return is_true(asked)
    return headers.get("user-agent", "").startswith(_BROWSERS)


def wants_gzip(headers: Mapping[str, str]) -> bool:
    """Whether the client takes compressed answers."""
    return "gzip" in headers.get("accept-encoding", "")


def compressed(body: bytes, headers: Mapping[str, str]) -> bytes | None:
    """The gzip form of a large body if the client takes it, else None."""
    if len(body) < _COMPRESS_ABOVE_BYTES or not wants_gzip(headers):
        return None
    return gzip.compress(body, compresslevel=1, mtime=0)
