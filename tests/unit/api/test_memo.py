"""What is remembered of texts that strangers choose, and how much of it."""

import pytest

from kubeherd.cluster.api.memo import remembered


def test_a_known_text_is_not_worked_out_again():
    asked: list[str] = []

    @remembered(entries=2, longest=3)
    def twice(text: str) -> str:
        asked.append(text)
        return text * 2

    assert [twice(text) for text in ("a", "a", "b", "a")] == ["aa", "aa", "bb", "aa"]
    assert asked == ["a", "b"]


def test_no_more_than_so_many_texts_are_kept_and_no_long_one():
    asked: list[str] = []

    @remembered(entries=2, longest=3)
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    for _ in range(2):
        assert length("long") == 4
    assert asked == ["long", "long"]
    assert [length(text) for text in ("a", "b", "c", "a", "c")] == [1] * 5
    assert asked[2:] == ["a", "b", "c", "a"]


def test_a_text_that_is_refused_is_refused_again():
    @remembered(entries=2, longest=3)
    def number(text: str) -> int:
        return int(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            number("x")
