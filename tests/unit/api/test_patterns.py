"""Patterns of strangers: what is kept of them is bounded by what they take."""

import gc

import pytest
import re2  # type: ignore[import-untyped]

from kubeherd.cluster.api.customresources import patterns

KIND = type(re2.compile("a"))


def _programs(least: int) -> int:
    """How many patterns with so many instructions exist."""
    gc.collect()
    return sum(isinstance(p, KIND) and p.programsize >= least for p in gc.get_objects())


def test_of_short_patterns_with_large_programs_few_are_kept() -> None:
    for number in range(patterns.LARGE_KEPT + 3):
        assert patterns.matches(f"^{number}\\pL{{40}}$", f"{number}{'x' * 40}")
    assert 0 < _programs(40_000) <= patterns.LARGE_KEPT


def test_ordinary_patterns_are_made_once() -> None:
    assert patterns.compiled("^[a-z0-9]{1,63}$") is patterns.compiled("^[a-z0-9]{1,63}$")
    large = "^\\pL{30}$"
    assert patterns.compiled(large) is patterns.compiled(large)


@pytest.mark.parametrize(
    ("pattern", "why"), [("(", "missing closing \\)"), ("a{1001}", "invalid repeat count")]
)
def test_what_is_no_pattern_is_refused_as_by_go(pattern: str, why: str) -> None:
    with pytest.raises(patterns.NoPattern, match=why):
        patterns.check(pattern)
