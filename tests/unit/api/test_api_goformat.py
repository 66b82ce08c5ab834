"""Values in error texts, as Go prints them."""

from typing import Any

import pytest

from kubeherd.cluster.api import goformat


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("a", '"a"'), ('a"\n\\', r'"a\"\n\\"'), ("\x01é", '"\\x01é"'), (1, "1"), (True, "true"),
        (None, "null"), ({"a": ["b"]}, '{"a":["b"]}'), ("\u200b", r'"\u200b"'),
        ('a"b', r'"a\"b"'), ("a\\b", r'"a\\b"'),
    ],
)  # fmt: skip
def test_values_look_as_go_prints_them(item: Any, text: str) -> None:
    assert goformat.value(item) == text


def test_plain_maps_are_sorted_and_nil_is_named() -> None:
    tree = {"spec": {"b": 30, "a": None}, "m": {"x": "y z"}, "l": [1, True]}
    assert goformat.plain(tree) == "map[l:[1 true] m:map[x:y z] spec:map[a:<nil> b:30]]"


def test_a_string_slice_looks_as_go_prints_it() -> None:
    assert goformat.string_slice(["a", "b"]) == '[]string{"a", "b"}'
