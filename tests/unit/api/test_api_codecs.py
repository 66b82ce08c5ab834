"""Bodies: every format gives a JSON tree or a Status, whatever the bytes."""

import tracemalloc
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.errors import ApiError, BadRequest, UnsupportedMediaType
from kubeherd.cluster.api.serializer import codecs

FORMATS = (codecs.JSON, codecs.YAML, codecs.MSGPACK, codecs.PROTOBUF)


def tree_of(content_type: str, body: bytes) -> Any:
    return codecs.decode_body(content_type, body).tree


def test_every_format_gives_the_same_tree() -> None:
    tree = {"kind": "ConfigMap", "data": {"a": "1", "b": "true"}, "n": [1, None, 1.5, False]}
    assert tree_of("application/json; charset=utf-8", codecs.dumps_json(tree)) == tree
    assert tree_of(codecs.MSGPACK, codecs.dumps_msgpack(tree)) == tree
    assert tree_of(codecs.YAML, codecs.dumps_yaml(tree)) == tree
    assert tree_of("", codecs.dumps_json(tree)) == tree


def test_duplicates_are_found_when_asked_for() -> None:
    body = b'{"a":{"b":1,"b":2},"l":[{"x":1},{"x":1,"x":3}]}'
    found = codecs.decode_body(codecs.JSON, body, find_duplicates=True)
    assert found.tree == {"a": {"b": 2}, "l": [{"x": 1}, {"x": 3}]}
    assert found.strict_problems == ['duplicate field "a.b"', 'duplicate field "l[1].x"']
    assert codecs.decode_body(codecs.JSON, body).strict_problems == []
    escaped = rb'{"a": "1:2", "a": "\u003a\u003a", "b": 1}'
    found = codecs.decode_body(codecs.JSON, escaped, find_duplicates=True)
    assert found.strict_problems == ['duplicate field "a"']
    yaml = codecs.decode_body(codecs.YAML, b"a: 1\na: 2\n", find_duplicates=True)
    assert yaml.tree == {"a": 2}
    assert len(yaml.strict_problems) == 1
    assert 'key "a" already set in map' in yaml.strict_problems[0]


def test_yaml_scalars_resolve_as_in_go() -> None:
    body = (
        b"a: y\nb: 2020-01-01\nc: 0x10\nd: 017\ne: 1.5\nf: '1'\n1: x\ntrue: z\ng: ~\nh: 08\n"
        b"i: 1e3\nj: 0o17\nk: 1_000\nl: |\n  t\nx: &q {a: 1}\nw: *q\nz: {<<: *q, b: 2}\n"
    )
    assert tree_of(codecs.YAML, body) == {
        "a": True, "b": "2020-01-01", "c": 16, "d": 15, "e": 1.5, "f": "1", "1": "x", "true": "z",
        "g": None, "h": 8.0, "i": 1000.0, "j": 15, "k": 1000, "l": "t\n", "x": {"a": 1},
        "w": {"a": 1}, "z": {"a": 1, "b": 2},
    }  # fmt: skip


def test_yaml_aliases_do_not_share_parts() -> None:
    tree = tree_of(codecs.YAML, b"a: &x {k: [1]}\nb: *x\n")
    tree["a"]["k"].append(2)
    assert tree["b"] == {"k": [1]}


def test_only_a_plain_merge_key_merges() -> None:
    text = b"base: &b {a: 1, c: 2}\nplain: {<<: *b, a: 3}\nquoted: {'<<': *b}\n"
    tree = tree_of(codecs.YAML, text)
    assert tree["plain"] == {"a": 3, "c": 2}
    assert tree["quoted"] == {"<<": {"a": 1, "c": 2}}
    assert tree_of(codecs.YAML, codecs.dumps_yaml(tree["quoted"])) == tree["quoted"]


def test_yaml_output_is_sorted_and_quotes_what_would_be_read_otherwise() -> None:
    assert codecs.dumps_yaml({"b": "y", "a": [{"c": 1}], "t": "2020-01-01", "m": "x\ny\n"}) == (
        b"a:\n- c: 1\nb: 'y'\nm: |\n  x\n  y\nt: '2020-01-01'\n"
    )


def test_yaml_output_has_no_aliases() -> None:
    shared: dict[str, Any] = {}
    assert codecs.dumps_yaml({"a": shared, "b": [shared]}) == b"a: {}\nb:\n- {}\n"


ALIAS_BOMB = b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 10))
    for letter in range(ord("b"), ord("l"))
)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (codecs.JSON, b""), (codecs.JSON, b"{"), (codecs.JSON, b"[]"), (codecs.JSON, b"1"),
        (codecs.JSON, b'{"a":NaN}'), (codecs.JSON, b'{"a":"\\ud800"}'),
        (codecs.JSON, b"\xff"), (codecs.JSON, b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"),
        (codecs.JSON, b"[" * 100_000),
        (codecs.YAML, b"- 1"), (codecs.YAML, b"{a: "),
        (codecs.YAML, b"a: .nan"),
        (codecs.YAML, b"a: *x"), (codecs.YAML, b"a: &x {b: *x}"), (codecs.YAML, b"- " * 5000),
        (codecs.YAML, b"[" * 100_000), (codecs.YAML, b"? [a]\n: b"), (codecs.YAML, ALIAS_BOMB),
        (codecs.YAML, b'a: "\\ud800"'), (codecs.YAML, b"a: 99999999999999999999999"),
        (codecs.YAML, b"\xff\xfe"), (codecs.YAML, b"<<: 1\na: b"),
        (codecs.MSGPACK, b""), (codecs.MSGPACK, b"\xc1"), (codecs.MSGPACK, b"\x91" * 5000),
        (codecs.MSGPACK, msgpack.packb({1: 2})), (codecs.MSGPACK, msgpack.packb({"a": b"x"})),
        (codecs.MSGPACK, msgpack.packb({b"a": 1})), (codecs.MSGPACK, b"\x81\xa1\xff\x01"),
        (codecs.MSGPACK, msgpack.packb({"a": msgpack.ExtType(3, b"x")})),
        (codecs.MSGPACK, msgpack.packb({"a": msgpack.Timestamp(1)})),
        (codecs.MSGPACK, b"\x81\x90\x01"), (codecs.MSGPACK, b"\xdf\xff\xff\xff\xff"),
        (codecs.PROTOBUF, b""), (codecs.PROTOBUF, b"{}"), (codecs.PROTOBUF, b"k8s\x00\xff"),
    ],
)  # fmt: skip
def test_malformed_bodies_are_bad_requests(content_type: str, body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        codecs.decode_body(content_type, body)
    assert isinstance(caught.value, BadRequest)


def test_depth_that_is_allowed() -> None:
    inner = b"[" * 198 + b"]" * 198
    assert tree_of(codecs.JSON, b'{"a":' + inner + b"}")
    with pytest.raises(BadRequest, match="max depth"):
        tree_of(codecs.JSON, b'{"a":' + b"[" * 200 + b"]" * 200 + b"}")


def test_unknown_media_type_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        codecs.decode_body("text/plain", b"{}")
    assert caught.value.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


@pytest.mark.parametrize(
    ("content_type", "body"), [(codecs.JSON, b"null"), (codecs.YAML, b""), (codecs.YAML, b"null")]
)
def test_nothing_is_an_object_without_fields(content_type: str, body: bytes) -> None:
    assert codecs.decode_body(content_type, body).tree == {}


def test_a_list_is_refused_in_the_words_of_go() -> None:
    with pytest.raises(BadRequest) as caught:
        codecs.decode_body(codecs.JSON, b"[]")
    assert caught.value.message == (
        "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value "
        r'of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string '
        r'"json:\"kind,omitempty\"" }'
    )


@settings(deadline=None)
@given(st.sampled_from(FORMATS), st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(content_type: str, body: bytes) -> None:
    for candidate in (body, b"k8s\x00" + body):
        try:
            tree = codecs.decode_body(content_type, candidate, find_duplicates=True).tree
        except ApiError as error:
            status = error.status_code
        else:
            status = 400
            orjson.dumps(tree)
        assert status in (400, 415)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=5),
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
        | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)
        | st.sampled_from(["y", "0o17", "1e3", "~", "null", "on", "0x1", "1_0", "-", "a: b", "<<"]),
        max_size=4,
    )
)  # fmt: skip
def test_yaml_reads_back_what_it_writes(tree: dict[str, Any]) -> None:
    assert tree_of(codecs.YAML, codecs.dumps_yaml(tree)) == tree


def test_bytes_to_keep_take_no_more_memory_than_they_need() -> None:
    tree = {"data": "x" * 1000}
    tracemalloc.start()
    try:
        kept = [codecs.dumps_json_to_keep(tree) for _ in range(100)]
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept[0] == codecs.dumps_json(tree)
    assert used_bytes < 150 * len(kept[0])
