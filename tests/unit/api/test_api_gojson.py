"""JSON that does not parse is refused in the words of Go's encoding/json."""

import json

import pytest

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.serializer import codecs, gojson

PREFIX = "couldn't get version/kind; json parse error: "


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        (b'{"k":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"{'k':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"k" 1}', "invalid character '1' after object key"),
        (b'{"k":1 "l":2}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"k":1, }', "invalid character '}' looking for beginning of object key string"),
        (b'{"k":1}x', "invalid character 'x' after top-level value"),
        (b'"\x01"', "invalid character '\\x01' in string literal"),
        ('{"\u00e9":1}\u00e9'.encode(), "invalid character '\u00e9' after top-level value"),
    ],
)
def test_syntax_errors(body: bytes, why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        codecs.loads_json(body)
    assert refused.value.message == PREFIX + why


@pytest.mark.parametrize("body", [b'{"k":01}', b'"\xff"', b'"\\ud800"', b"tru", b"1e999"])
def test_other_errors_keep_their_own_words(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        codecs.loads_json(body)
    assert len(refused.value.message) > len(PREFIX)


def test_members_stand_in_the_order_of_the_struct() -> None:
    tree = {
        "spec": {
            "nodeSelector": {"b": "1", "a": "2"},
            "containers": [{"image": "i", "env": [{"value": "v", "name": "n"}], "name": "c"}],
        },
        "bogus": 1,
        "metadata": {"labels": {"b": "1", "a": "2"}, "name": "p"},
        "kind": "Pod",
    }
    ordered = gojson.in_struct_order(tree, "core.v1.Pod")
    assert json.dumps(ordered, separators=(",", ":")) == (
        '{"kind":"Pod","metadata":{"name":"p","labels":{"a":"2","b":"1"}},"spec":{"containers":'
        '[{"name":"c","image":"i","env":[{"name":"n","value":"v"}]}],'
        '"nodeSelector":{"a":"2","b":"1"}},"bogus":1}'
    )
