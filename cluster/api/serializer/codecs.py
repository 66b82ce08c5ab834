"""Request bodies and answers: JSON, YAML, msgpack, and Kubernetes protobuf.

Invariants: whatever the bytes, decoding ends in a tree that can be written as JSON and is at most
`MAX_DEPTH` deep, or in BadRequest or UnsupportedMediaType. Trees never share parts.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

import msgpack
import msgspec
import orjson

from kubeherd.cluster.api import bounds, goformat
from kubeherd.cluster.api.errors import BadRequest, UnsupportedMediaType
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.serializer.decodingrules import MAX_DEPTH
from kubeherd.cluster.api.serializer.gojson import syntax_error

JSON = "application/json"
YAML = "application/yaml"
MSGPACK = "application/msgpack"
PROTOBUF = "application/vnd.kubernetes.protobuf"

ACCEPTED = (JSON, YAML, PROTOBUF)
"""The media types of request bodies, as the 415 lists them; msgpack is private."""

_NO_OBJECT = (
    "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type "
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string '
    r'"json:\"kind,omitempty\"" }'
)


_ORJSON_DEPTH = 254

MAX_PROBLEMS = 100
"""How many strict problems are reported, as in Kubernetes (sigs.k8s.io/json)."""


T = TypeVar("T")


class Body(msgspec.Struct, frozen=True):
    """A decoded body; `strict_problems` are duplicate fields, if they were asked for."""

    tree: JsonObject
    strict_problems: list[str] = msgspec.field(default_factory=list)


def media_type(content_type: str) -> str:
    """The bare, lower-case media type of a Content-Type header."""
    return content_type.partition(";")[0].strip().lower()


def struct_decoder(into: type[T]) -> Callable[[str, bytes], T | None]:
    """What makes a struct of a body and its Content-Type, in JSON or msgpack without parameters;
    None for any other, and for a body that is no such struct."""
    from_json = msgspec.json.Decoder(into).decode
    decoders = {"": from_json, JSON: from_json, MSGPACK: msgspec.msgpack.Decoder(into).decode}

    def decode(content_type: str, body: bytes) -> T | None:
        decoder = decoders.get(content_type)
        if decoder is None:
            return None
        try:
            return decoder(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    return decode


def decode_body(
    content_type: str,
    body: bytes,
    *,
    find_duplicates: bool = False,
    expected: tuple[str, str] = ("", ""),
) -> Body:
    """Decode a request body; an empty `content_type` means JSON.

    BadRequest if it is malformed, no object, or nested more than 200 levels deep;
    RequestEntityTooLarge if it has more than `bounds.MAX_VALUES` values;
    UnsupportedMediaType for an unknown type.
    `find_duplicates` fills `Body.strict_problems` (``duplicate field "spec.bar"``), which costs a
    second, slower pass; without it the last duplicate wins. `expected` is the (apiVersion, kind)
    that a protobuf body is taken for if it does not say.
    """
    wanted = media_type(content_type) or JSON
    if wanted == PROTOBUF:
        return _decode_protobuf(body, *expected)
    decoder = _DECODERS.get(wanted)
    if decoder is None:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(ACCEPTED)
        )
    decoded = decoder(body, find_duplicates)
    if decoded.tree is None:  # to Go an object without fields
        return Body({})
    if not isinstance(decoded.tree, dict):
        name = _NAMES.get(type(decoded.tree), "number")
        raise BadRequest(_NO_OBJECT.replace("{}", name, 1))
    return decoded


_NAMES: dict[type, str] = {list: "array", str: "string", bool: "bool"}


def loads_json(body: bytes) -> JsonValue:
    """Any JSON value (patches may be lists); BadRequest if malformed or nested too deeply."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        why = syntax_error(body, error.msg, error.pos)
        raise BadRequest(f"couldn't get version/kind; json parse error: {why}") from None
    _check_depth(body, tree)
    return tree


def loads_patch(body: bytes) -> JsonValue:
    """Like `loads_json`, for what a client sent: RequestEntityTooLarge for too many values."""
    bounds.check_json(body)
    return loads_json(body)


def _decode_json(body: bytes, find_duplicates: bool) -> Body:
    tree = loads_patch(body)
    return Body(tree, duplicates_in(body, tree) if find_duplicates else [])


def duplicates_in(body: bytes, tree: JsonValue) -> list[str]:
    """The strict problems of repeated keys in `body`, from which `tree` was decoded."""
    return [] if keeps_every_field(body, tree) else duplicate_fields(body)


def keeps_every_field(body: bytes, tree: JsonValue) -> bool:
    """Whether `tree`, decoded from `body`, certainly lost no field to a duplicate.

    Each field is a colon and so is each colon in a string, unless it is written as an escape: if
    the tree, written again, has as many colons as the body, then nothing of the body is missing.
    """
    return b"\\u003" not in body and body.count(b":") == orjson.dumps(tree).count(b":")


def _decode_yaml(body: bytes, find_duplicates: bool) -> Body:
    from kubeherd.cluster.api.serializer import yamlcodec  # noqa: PLC0415 - seldom used, and slow to load

    try:
        tree, duplicates = yamlcodec.load(body, max_depth=MAX_DEPTH)
    except bounds.TooManyValues as error:
        raise error.refusal() from None
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return Body(_as_json(tree, "YAML"), duplicates if find_duplicates else [])


def _decode_msgpack(body: bytes, find_duplicates: bool) -> Body:
    try:
        if len(body) <= bounds.MAX_VALUES:
            tree = msgspec.msgpack.decode(body)
        else:  # twice as slow, but it can be stopped
            hooks = bounds.msgpack_hooks(body)
            tree = msgpack.unpackb(body, raw=False, strict_map_key=True, **hooks)
    except bounds.TooManyValues as error:
        raise error.refusal() from None
    except (
        ValueError, TypeError, msgpack.UnpackException, msgspec.DecodeError, RecursionError,
    ) as error:  # fmt: skip
        reason = str(error) or type(error).__name__
        raise BadRequest(f"couldn't decode the msgpack body: {reason}") from None
    bounds.check_tree(body, tree)
    return Body(_as_json(tree, "msgpack"))


def _decode_protobuf(body: bytes, api_version: str, kind: str) -> Body:
    from kubeherd.cluster.api.serializer.protobuf import bodies  # noqa: PLC0415 - seldom used

    return Body(_as_json(bodies.decode(body, api_version, kind), "protobuf"))


def dumps_protobuf(tree: JsonObject) -> bytes:
    """The protobuf body of an object with kind and apiVersion; NotAcceptable if it has none."""
    from kubeherd.cluster.api.serializer.protobuf import bodies  # noqa: PLC0415 - seldom used

    return bodies.encode(tree)


_DECODERS: dict[str, Callable[[bytes, bool], Body]] = {
    JSON: _decode_json,
    YAML: _decode_yaml,
    "application/x-yaml": _decode_yaml,
    "text/yaml": _decode_yaml,
    MSGPACK: _decode_msgpack,
    "application/x-msgpack": _decode_msgpack,
}


def _as_json(tree: JsonValue, source: str) -> JsonValue:
    """The same tree, proven to be JSON: no byte strings, times, foreign keys, lone surrogates."""
    try:
        encoded = orjson.dumps(tree, option=orjson.OPT_PASSTHROUGH_DATETIME)
        if _may_be_too_deep(encoded):
            orjson.dumps(_padded(tree), option=orjson.OPT_PASSTHROUGH_DATETIME)
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise BadRequest(f"the {source} body cannot be represented as JSON: {error}") from None
    return tree


def _check_depth(encoded: bytes, tree: JsonValue) -> None:
    if not _may_be_too_deep(encoded):
        return
    try:
        orjson.dumps(_padded(tree))
    except orjson.JSONEncodeError:
        raise BadRequest(f"json: exceeded max depth of {MAX_DEPTH}") from None


def _may_be_too_deep(encoded: bytes) -> bool:
    """Nothing is deeper than it has brackets."""
    return encoded.count(b"{") + encoded.count(b"[") > MAX_DEPTH


def _padded(tree: JsonValue) -> JsonValue:
    """The tree inside so many lists that orjson, which writes 254 levels, refuses depth 201.

    Its encoder is the fastest way to measure depth; a walk in Python costs ten times as much.
    """
    for _ in range(_ORJSON_DEPTH - MAX_DEPTH):
        tree = [tree]
    return tree


class _Pairs(dict[str, JsonValue]):
    """An object that remembers which of its keys came more than once."""

    duplicates: tuple[str, ...] = ()


def duplicate_fields(body: bytes) -> list[str]:
    """``duplicate field "spec.bar"`` for every key that a JSON object repeats."""
    found = False

    def collect(pairs: list[tuple[str, JsonValue]]) -> _Pairs:
        nonlocal found
        tree = _Pairs(pairs)
        if len(tree) != len(pairs):
            found = True
            times = Counter(name for name, _ in pairs)
            tree.duplicates = tuple(name for name, count in times.items() if count > 1)
        return tree

    tree = json.loads(body, object_pairs_hook=collect, parse_int=str)
    return list(islice(_duplicate_paths(tree, ()), MAX_PROBLEMS)) if found else []


def _duplicate_paths(tree: JsonValue, path: tuple[str, ...]) -> Iterator[str]:
    """The problems below `path`, which is joined only where there is one to tell."""
    if isinstance(tree, list):
        for index, item in enumerate(tree):
            if isinstance(item, dict | list):
                yield from _duplicate_paths(item, (*path, f"[{index}]"))
    if not isinstance(tree, _Pairs):
        return
    if tree.duplicates:
        prefix = goformat.cut("".join(path))
        for name in tree.duplicates:
            shown = goformat.cut(f"{prefix}.{name}" if prefix else name)
            yield f'duplicate field "{shown.removeprefix(".")}"'
    for name, item in tree.items():
        if isinstance(item, dict | list):
            yield from _duplicate_paths(item, (*path, f".{name}"))


def in_document_order(body: bytes, duplicates: list[str], unknown: list[str]) -> list[str]:
    """The strict problems of a body in the order in which a reader of the JSON meets them: unknown
    fields where they stand, repeated ones where they stand again."""
    if not duplicates or not unknown or duplicates[0].startswith("yaml:"):
        return duplicates + unknown
    first: dict[str, int] = {}
    again: dict[str, int] = {}
    pairs = json.loads(body, object_pairs_hook=_InOrder, parse_int=str)
    for at, path in enumerate(_paths(pairs, "")):
        if path in first:
            again.setdefault(path, at)
        first.setdefault(path, at)

    def place(problem: str) -> int:
        kind, _, shown = problem.partition(' field "')
        places = again if kind == "duplicate" else first
        return places.get(shown.removesuffix('"'), len(first))

    return sorted(duplicates + unknown, key=place)


class _InOrder(list[tuple[str, JsonValue]]):
    """The members of an object as they were written."""


def _paths(tree: JsonValue, path: str) -> Iterator[str]:
    """The path of every field below `path`, in the order of the document."""
    if isinstance(tree, _InOrder):
        for name, item in tree:
            below = goformat.cut(f"{path}.{name}" if path else name)
            yield below
            yield from _paths(item, below)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _paths(item, f"{path}[{index}]")


def dumps_json(tree: JsonValue, *, pretty: bool = False) -> bytes:
    """Compact JSON bytes, or indented by two spaces with a final newline."""
    if pretty:
        return orjson.dumps(tree, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return orjson.dumps(tree)


def dumps_json_to_keep(tree: JsonValue) -> bytes:
    """Compact JSON bytes that take no more memory than they have bytes.

    What orjson returns lies in a buffer several times its size for as long as it lives.
    """
    return bytes(memoryview(orjson.dumps(tree)))


def dumps_msgpack(tree: JsonValue) -> bytes:
    """msgpack bytes of a JSON tree."""
    return msgspec.msgpack.encode(tree)


def dumps_yaml(tree: JsonValue) -> bytes:
    """YAML as kubectl prints it: sorted keys, block style, no line wrapping."""
    from kubeherd.cluster.api.serializer import yamlcodec  # noqa: PLC0415 - seldom used, and slow to load

    return yamlcodec.dump(tree)
