"""How well colours can be told apart: contrast as WCAG 2.2 counts it, and the distance of two
colours for people who do not see all of them.

Sources: WCAG 2.2 (relative luminance, contrast ratio); CIE 1976 L*a*b* under D65; the matrices of
Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
Deficiency" (2009), for a severity of 1.
"""

from collections.abc import Sequence
from math import dist
from typing import Final

Triple = tuple[float, float, float]

SIGHT: Final[dict[str, Sequence[Triple]]] = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
_XYZ: Final = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE: Final = (0.95047, 1.0, 1.08883)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def distance(one: str, other: str, sight: str = "all colours") -> float:
    """How far apart two colours are to somebody with this sight; 2.3 is just noticeable."""
    return dist(_lab(_seen(one, sight)), _lab(_seen(other, sight)))


def _linear(colour: str) -> Triple:
    """``#rrggbb`` or ``#rgb``, without its gamma."""
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * one for one in digits)
    values = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return red, green, blue


def _luminance(colour: str) -> float:
    return _times(_XYZ, _linear(colour))[1]


def _seen(colour: str, sight: str) -> Triple:
    red, green, blue = (min(max(v, 0.0), 1.0) for v in _times(SIGHT[sight], _linear(colour)))
    return red, green, blue


def _lab(linear: Triple) -> Triple:
    xyz = _times(_XYZ, linear)
    x, y, z = (_root(value / white) for value, white in zip(xyz, _WHITE, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _root(value: float) -> float:
    return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116


def _times(matrix: Sequence[Triple], vector: Triple) -> Triple:
    x, y, z = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return x, y, z
