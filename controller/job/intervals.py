"""Sets of completion indexes, as ``status.completedIndexes`` writes them (spec job-controller 4).

Invariants: intervals are ascending, disjoint and not adjacent, so that a set has one text.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple


class Interval(NamedTuple):
    """All indexes from `first` to `last`, both included."""

    first: int
    last: int


Intervals = tuple[Interval, ...]


def of(indexes: Iterable[int]) -> Intervals:
    """The set of these indexes."""
    return _joined(Interval(index, index) for index in sorted(indexes))


def merged(one: Intervals, other: Intervals) -> Intervals:
    """What is in either set."""
    return _joined(sorted((*one, *other))) if one and other else one or other


def total(intervals: Intervals) -> int:
    """How many indexes are in the set."""
    return sum(last - first + 1 for first, last in intervals)


def contains(intervals: Intervals, index: int) -> bool:
    """Whether an index is in the set."""
    at = bisect_left(intervals, index, key=lambda interval: interval.last)
    return at < len(intervals) and intervals[at].first <= index


def text(intervals: Intervals) -> str:
    """The set as text: ``1,3-5,7``; two neighbours are written with a comma."""
    return ",".join(
        str(first) if first == last else f"{first}{',' if last == first + 1 else '-'}{last}"
        for first, last in intervals
    )


def parse(written: str, completions: int) -> Intervals:
    """The set that a text names, cut off at `completions`; what is no number is passed over."""
    found: list[Interval] = []
    for part in written.split(",") if written else ():
        ends = part.split("-")
        try:
            first = int(ends[0])
            if first >= completions:
                break
            last = min(int(ends[1]), completions - 1) if len(ends) > 1 else first
        except ValueError:
            continue
        found.append(Interval(first, last))
    return _joined(found)


def overlap(one: Intervals, other: Intervals) -> int:
    """How many indexes are in both sets."""
    count = at = 0
    for first, last in one:
        while at < len(other) and other[at].last < first:
            at += 1
        for begin, end in other[at:]:
            if begin > last:
                break
            count += min(last, end) - max(first, begin) + 1
    return count


def _joined(ascending: Iterable[Interval]) -> Intervals:
    result: list[Interval] = []
    for interval in ascending:
        if result and interval.first <= result[-1].last + 1:
            if interval.last > result[-1].last:
                result[-1] = Interval(result[-1].first, interval.last)
        else:
            result.append(interval)
    return tuple(result)
