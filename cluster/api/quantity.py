"""Resource quantities (``100m``, ``1Gi``, ``1e3``) with exact arithmetic.

A quantity is a whole number of nano units plus the suffix family in which it was written, as in
Kubernetes: finer values are rounded up (away from zero) to nano, binary ones are capped at
2^63-1. `Quantity.canonical` writes it as the API server would. Invariant: parsing a canonical
form gives an equal quantity and the same canonical form.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

from kubeherd.cluster.api.memo import remembered

NANO = 10**9
_MILLI_NANOS = 10**6
_MAX_BINARY = 2**63 - 1
_MAX_TEXT = 1000
_MAX_EXPONENT = 100
_MAX_NANOS = 10 ** (9 + _MAX_EXPONENT)
"""Larger amounts would have a canonical form that is not read back."""

_FORMAT = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {bits: suffix for suffix, bits in _BINARY.items()}

WRONG_FORMAT = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
WRONG_SUFFIX = "unable to parse quantity's suffix"
WRONG_NUMBER = "unable to parse numeric part of quantity"


class Family(Enum):
    """How a quantity was written, which decides how it is written back."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


@dataclass(frozen=True, order=True)
class Quantity:
    """A quantity; compared and hashed by its amount alone."""

    nanos: int
    family: Family = field(default=Family.DECIMAL_SI, compare=False)

    def value(self) -> int:
        """Whole units, rounded up away from zero."""
        return _divide_away(self.nanos, NANO)

    def milli_value(self) -> int:
        """Thousandths, rounded up away from zero."""
        return _divide_away(self.nanos, _MILLI_NANOS)

    def fraction(self) -> Fraction:
        """The exact amount."""
        return Fraction(self.nanos, NANO)

    def rounded_up_to_milli(self) -> "Quantity":
        """What defaulting does to the quantities of resource lists (spec api-machinery, 17)."""
        milli = self.milli_value() * _MILLI_NANOS
        return self if milli == self.nanos else Quantity(milli, self.family)

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos + other.nanos, self.family if self.nanos else other.family)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos - other.nanos, self.family if self.nanos else other.family)

    def canonical(self) -> str:
        """The one way in which the API server writes this quantity."""
        if (
            self.family is Family.BINARY_SI
            and self.nanos % NANO == 0
            and abs(self.nanos) >= 1024 * NANO
        ):
            return _canonical_binary(self.nanos // NANO)
        return _canonical_decimal(self.nanos, self.family is Family.DECIMAL_EXPONENT)

    def __str__(self) -> str:
        return self.canonical()


def _divide_away(amount: int, unit: int) -> int:
    """Division rounded away from zero."""
    return -(-amount // unit) if amount >= 0 else amount // unit


def _canonical_binary(units: int) -> str:
    bits = 0
    while units % 1024 == 0 and bits < 60:
        units //= 1024
        bits += 10
    return f"{units}{_BINARY_SUFFIX.get(bits, '')}"


def _canonical_decimal(nanos: int, as_exponent: bool) -> str:
    if nanos == 0:
        return "0"
    exponent = -9
    while nanos % 1000 == 0 and (as_exponent or exponent < 18):
        nanos //= 1000
        exponent += 3
    if not as_exponent:
        return f"{nanos}{_DECIMAL_SUFFIX[exponent]}"
    return f"{nanos}e{exponent}" if exponent else str(nanos)


def _exponents(suffix: str) -> tuple[int, int, Family]:
    """(power of ten, power of two, family) of a suffix; ValueError if it is none."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], 0, Family.DECIMAL_SI
    if suffix in _BINARY:
        return 0, _BINARY[suffix], Family.BINARY_SI
    match = _EXPONENT.fullmatch(suffix)
    if match is None or len(match[1]) > 4 or abs(int(match[1])) > _MAX_EXPONENT:
        raise ValueError(WRONG_SUFFIX)
    return int(match[1]), 0, Family.DECIMAL_EXPONENT


@remembered(entries=4096, longest=40)
def _parse(text: str) -> Quantity:
    if len(text) > _MAX_TEXT:
        raise ValueError(WRONG_NUMBER)
    match = _FORMAT.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise ValueError(WRONG_FORMAT)
    sign, whole, decimals, suffix = match[1], match[2], match[3] or "", match[4]
    ten, two, family = _exponents(suffix)
    mantissa = int(whole + decimals) << two
    ten += 9 - len(decimals)
    nanos = mantissa * 10**ten if ten >= 0 else _divide_away(mantissa, 10**-ten)
    if family is Family.BINARY_SI:
        nanos = min(nanos, _MAX_BINARY * NANO)
        if 0 < nanos < NANO:
            family = Family.DECIMAL_SI
    if nanos > _MAX_NANOS:
        raise ValueError(WRONG_NUMBER)
    return Quantity(-nanos if sign == "-" else nanos, family)


def parse(text: str | int | float) -> Quantity:
    """The quantity that a JSON string or number stands for; ValueError with Kubernetes' text."""
    if text.__class__ is str:
        return _parse(text.strip())
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise ValueError(WRONG_FORMAT)
    return _parse(str(text).strip())
