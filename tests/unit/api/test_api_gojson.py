"""JSON that does not parse is refused in the words of Go's encoding/json."""

import pytest

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.serializer import codecs

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
