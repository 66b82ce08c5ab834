"""Ranges of sizes and costs, which never get larger than 64 bits.

Source: github.com/google/cel-go/checker/cost.go (SizeEstimate, CostEstimate).
"""

import math
from typing import Final

import msgspec

LIMIT: Final = 2**64 - 1


class Range(msgspec.Struct, frozen=True):
    """From the least to the most that something can be."""

    least: int
    most: int

    def __add__(self, other: "Range") -> "Range":
        return Range(min(self.least + other.least, LIMIT), min(self.most + other.most, LIMIT))

    def __mul__(self, other: "Range") -> "Range":
        return Range(min(self.least * other.least, LIMIT), min(self.most * other.most, LIMIT))

    def scaled(self, factor: float) -> "Range":
        """So many times as much, rounded up."""
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: "Range") -> "Range":
        """From the least of both to the most of both."""
        return Range(min(self.least, other.least), max(self.most, other.most))


def _scaled(number: int, factor: float) -> int:
    product = float(number) * factor
    return LIMIT if product >= 2.0**64 else math.ceil(product)


def fixed(number: int) -> Range:
    """A number that is known."""
    return Range(number, number)


ZERO: Final = fixed(0)
ONE: Final = fixed(1)
UNKNOWN: Final = Range(0, LIMIT)


class Entries(msgspec.Struct, frozen=True):
    """The sizes of what is in a list or a map: of keys (or places), and of values."""

    is_list: bool
    key: Range
    value: Range

    def union(self, other: "Entries | None") -> "Entries | None":
        """What holds for both; None if nothing is known of the other."""
        if other is None:
            return None
        return Entries(self.is_list, self.key.union(other.key), self.value.union(other.value))


class Sized(msgspec.Struct, frozen=True):
    """An operand of a call, as far as its cost goes.

    `elements` and `texts` are about the elements of a list: their size, and whether they are
    strings or bytes. `constant` is the number that a literal is.
    """

    size: Range
    is_list: bool = False
    texts: bool = False
    elements: Range = UNKNOWN
    type_name: str = ""
    constant: int | None = None
    computed: bool = True


class Estimate(msgspec.Struct, frozen=True):
    """What a call can cost without its arguments, and how large its result can be."""

    cost: Range
    size: Range | None = None
