"""Sets of completion indexes: upstream's tables of indexed_job_utils_test.go."""

import pytest

from kubeherd.controller.job import intervals
from kubeherd.controller.job.intervals import Interval, Intervals


def spans(*pairs: tuple[int, int]) -> Intervals:
    return tuple(Interval(*pair) for pair in pairs)


@pytest.mark.parametrize(
    ("before", "new", "completions", "expected"),
    [
        ("", {1}, 2, "1"),
        ("", {5, 10}, 11, "5,10"),
        ("", {2, 3, 5, 6, 7}, 8, "2,3,5-7"),
        ("", {0, 2, 3, 4, 5}, 6, "0,2-5"),
        ("0-5,8-10", (), 8, "0-5"),
        ("0-5,8-10", (), 10, "0-5,8,9"),
        ("0,4,5,10-12", {2, 7, 8}, 13, "0,2,4,5,7,8,10-12"),
        ("3,4,6", {2, 7, 8}, 9, "2-4,6-8"),
        ("2,7,8", {3, 4, 6}, 9, "2-4,6-8"),
        ("2-7", {0, 3, 5, 9}, 10, "0,2-7,9"),
        ("0,1-foo,bar", {3}, 4, "0,3"),
    ],
)
def test_completed_indexes_grow(
    before: str, new: set[int], completions: int, expected: str
) -> None:
    merged = intervals.merged(intervals.parse(before, completions), intervals.of(new))
    assert intervals.text(merged) == expected


@pytest.mark.parametrize(
    ("known", "index", "expected"),
    [
        ((), 4, False),
        (((2, 4), (5, 7)), 1, False),
        (((2, 4), (6, 8)), 9, False),
        (((2, 4), (6, 8)), 5, False),
        (((2, 4), (6, 8)), 2, True),
        (((2, 4), (6, 8)), 8, True),
    ],
)
def test_an_index_is_found(known: tuple[tuple[int, int], ...], index: int, expected: bool) -> None:
    assert intervals.contains(spans(*known), index) is expected


def test_neighbours_are_one_interval() -> None:
    assert intervals.parse("1,2,3-5,7", 100) == spans((1, 5), (7, 7))
    assert intervals.total(spans((1, 5), (7, 7))) == 6


def test_the_overlap_counts_indexes_in_both() -> None:
    assert intervals.overlap(spans((0, 3), (6, 9)), spans((1, 10))) == 7
    assert intervals.overlap(spans((1, 3)), spans((5, 7))) == 0
