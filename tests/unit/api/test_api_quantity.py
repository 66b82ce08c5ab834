"""Quantities against exact fractions, and their canonical forms."""

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api import quantity

SUFFIXES = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12),
    "P": Fraction(10**15), "E": Fraction(10**18), "Ki": Fraction(2**10), "Mi": Fraction(2**20),
    "Gi": Fraction(2**30), "Ti": Fraction(2**40), "e3": Fraction(1000), "E-2": Fraction(1, 100),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0.1", "100m"), ("1024Mi", "1Gi"), ("1e3", "1e3"), ("1000", "1k"), ("100m", "100m"),
        ("0", "0"), ("1500", "1500"), ("1.5Gi", "1536Mi"), ("0.5Ki", "512"), ("1Ei", "1Ei"),
        ("12E6", "12e6"), (".5", "500m"), ("5.", "5"), ("-1", "-1"), ("100000k", "100M"),
        ("0.0001n", "1n"), ("1.0000000001", "1000000001n"), ("0.5Mi", "512Ki"), ("100Ki", "100Ki"),
        ("1000Ki", "1000Ki"), ("128974848", "128974848"), (5, "5"), (0.5, "500m"), (1e16, "10e15"),
        ("99999999Ei", "9223372036854775807"), (" 1 ", "1"), ("+1", "1"), ("0Gi", "0"),
        ("0.1Ki", "102400m"), ("1.5m", "1500u"),
    ],
)  # fmt: skip
def test_a_quantity_has_one_canonical_form(text: str | int | float, canonical: str) -> None:
    assert quantity.parse(text).canonical() == canonical


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", quantity.WRONG_FORMAT), ("x", quantity.WRONG_FORMAT), ("1.2.3", quantity.WRONG_FORMAT),
        ("--1", quantity.WRONG_FORMAT), ("1 Gi", quantity.WRONG_FORMAT),
        (".", quantity.WRONG_FORMAT),
        ("1e", quantity.WRONG_SUFFIX), ("1Kii", quantity.WRONG_SUFFIX),
        ("1e999999999", quantity.WRONG_SUFFIX), ("9" * 5000, quantity.WRONG_NUMBER),
        (True, quantity.WRONG_FORMAT), (None, quantity.WRONG_FORMAT), ([], quantity.WRONG_FORMAT),
        (float("nan"), quantity.WRONG_FORMAT), ("१", quantity.WRONG_FORMAT),
    ],
)  # fmt: skip
def test_refused_with_the_words_of_kubernetes(text: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        quantity.parse(text)


@settings(deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(0, 999999), st.sampled_from(sorted(SUFFIXES)))
def test_amount_is_exact_to_a_nano_and_rounded_away_from_zero(
    whole: int, decimals: int, suffix: str
) -> None:
    text = f"{whole}.{decimals:06}{suffix}"
    sign = -1 if text.startswith("-") else 1
    exact = (abs(whole) + Fraction(decimals, 10**6)) * SUFFIXES[suffix]
    if suffix.endswith("i"):
        exact = min(exact, Fraction(2**63 - 1))
    exact *= sign
    parsed = quantity.parse(text)
    difference = abs(parsed.fraction()) - abs(exact)
    assert 0 <= difference < Fraction(1, quantity.NANO)
    assert parsed.value() == _away(parsed.fraction())
    assert parsed.milli_value() == _away(parsed.fraction() * 1000)


def _away(amount: Fraction) -> int:
    return -((-amount) // 1) if amount >= 0 else int(amount // 1)


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.sampled_from(list(quantity.Family)))
def test_canonical_form_is_a_fixed_point(nanos: int, family: quantity.Family) -> None:
    first = quantity.Quantity(nanos, family)
    again = quantity.parse(first.canonical())
    if abs(nanos) <= (2**63 - 1) * quantity.NANO:
        assert again == first
    assert again.canonical() == quantity.parse(again.canonical()).canonical()


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
def test_order_and_sums_are_those_of_the_amounts(left: int, right: int) -> None:
    a, b = quantity.Quantity(left), quantity.Quantity(right)
    assert (a < b) == (left < right)
    assert (a + b).nanos == left + right
    assert (a - b).nanos == left - right


def test_equal_amounts_are_equal_however_written() -> None:
    assert quantity.parse("1Gi") == quantity.parse("1073741824") == quantity.parse("1048576Ki")


def test_round_up_to_milli() -> None:
    assert quantity.parse("100u").rounded_up_to_milli().canonical() == "1m"
    assert quantity.parse("1").rounded_up_to_milli().canonical() == "1"
