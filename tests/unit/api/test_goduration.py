"""Durations as Go's time.ParseDuration reads them; the table of its own test, and its errors."""

import pytest

from kubeherd.cluster.api import goduration

SECOND, MINUTE, HOUR = 10**9, 60 * 10**9, 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0), ("5s", 5 * SECOND), ("-5s", -5 * SECOND), ("+5s", 5 * SECOND), ("-0", 0),
        ("5.0s", 5 * SECOND), ("5.6s", 5600 * 10**6), ("5.s", 5 * SECOND), (".5s", SECOND // 2),
        ("1.004s", 1004 * 10**6), ("10ns", 10), ("11us", 11_000), ("12µs", 12_000),
        ("12μs", 12_000), ("13ms", 13 * 10**6), ("3h30m", 3 * HOUR + 30 * MINUTE),
        ("10.5s4m", 4 * MINUTE + 10500 * 10**6), ("39h9m14.425s", 140954425 * 10**6),
        ("0.3333333333333333333h", 20 * MINUTE - 1), ("9223372036854775807ns", 2**63 - 1),
    ],
)  # fmt: skip
def test_what_go_reads(text: str, nanos: int) -> None:
    assert goduration.nanoseconds(text) == nanos


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'time: invalid duration ""'),
        ("3", 'time: missing unit in duration "3"'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".", 'time: invalid duration "."'),
        (".s", 'time: invalid duration ".s"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("2s3", 'time: missing unit in duration "2s3"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("1.2.3s", 'time: missing unit in duration "1.2.3s"'),
        ("1h 2m", 'time: unknown unit "h " in duration "1h 2m"'),
    ],
)
def test_what_go_refuses(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="time: ") as refused:
        goduration.nanoseconds(text)
    assert str(refused.value) == problem
