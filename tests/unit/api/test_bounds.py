"""How many values a body may have, in every encoding, counted before it is decoded."""

import json

import msgpack
import pytest

from kubeherd.cluster.api import bounds
from kubeherd.cluster.api.bounds import MAX_VALUES
from kubeherd.cluster.api.errors import BadRequest, RequestEntityTooLarge
from kubeherd.cluster.api.serializer import codecs

JSON, YAML, MSGPACK = codecs.JSON, codecs.YAML, codecs.MSGPACK
_ROOM = MAX_VALUES - 10


def _protobuf(count: int) -> bytes:
    raw = b"\x12\x00" * count  # so many empty containers of nothing
    head = b"\n\x0c\n\x02v1\x12\x06Secret\x12"
    length = bytes((len(raw) & 127 | 128, len(raw) >> 7 & 127 | 128, len(raw) >> 14))
    return b"k8s\x00" + head + length + raw


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"a":[' + b"1," * MAX_VALUES + b"1]}"),
        (JSON, b'{"a":[' + b"[]," * MAX_VALUES + b"1]}"),
        (JSON, b'{"a":[' + b"[[{}]]," * (MAX_VALUES // 2) + b"1]}"),
        (JSON, json.dumps({f"k{n}": 1 for n in range(MAX_VALUES + 1)}).encode()),
        (JSON, b"[" * (MAX_VALUES + 1)),
        (YAML, b"a: [" + b"1," * (2 * MAX_VALUES) + b"1]"),
        (MSGPACK, msgpack.packb({"a": [1] * (MAX_VALUES + 1)})),
        (MSGPACK, msgpack.packb({"a": [[[], []]] * MAX_VALUES})),
        (codecs.PROTOBUF, _protobuf(MAX_VALUES + 1)),
    ],
)
def test_too_many_values_are_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(RequestEntityTooLarge, match="values in a body"):
        codecs.decode_body(content_type, body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"a":[' + b"1," * _ROOM + b"1]}"),
        (JSON, json.dumps({"a": "[,{" * MAX_VALUES}).encode()),
        (JSON, json.dumps({"a": '\\"[,{' * MAX_VALUES, "b": ["x,"] * 100}).encode()),
        (YAML, b"a: '" + b"[,{" * MAX_VALUES + b"'"),
        (MSGPACK, msgpack.packb({"a": [1] * _ROOM})),
        (MSGPACK, msgpack.packb({"a": "é" * MAX_VALUES})),
    ],
)
def test_what_only_looks_like_values_is_no_value(content_type: str, body: bytes) -> None:
    assert "a" in codecs.decode_body(content_type, body).tree


def test_a_patch_is_bounded_like_a_body() -> None:
    with pytest.raises(RequestEntityTooLarge):
        codecs.loads_patch(b"[" + b"[]," * MAX_VALUES + b"1]")


def test_an_unfinished_string_hides_what_follows() -> None:
    bounds.check_json(b'{"' + b'\\"[' * MAX_VALUES)
    with pytest.raises(BadRequest):
        codecs.decode_body(JSON, b'{"' + b'\\"[' * MAX_VALUES)


def test_an_unfinished_string_ends_in_a_backslash() -> None:
    bounds.check_json(b'{"' + b"[" * MAX_VALUES + b"\\")
