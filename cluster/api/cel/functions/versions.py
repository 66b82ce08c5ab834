"""``semver('1.2.3')``: versions and their order.

Source: k8s.io/apiserver/pkg/cel/library/semverlib.go, github.com/blang/semver/v4 for what is one.
"""

import re
from typing import Any

import msgspec

from kubeherd.cluster.api.cel.checker.declarations import Functions, function, member
from kubeherd.cluster.api.cel.checker.types import BOOL, INT, SEMVER, STRING
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure, Opaque
from kubeherd.cluster.api.goformat import quoted

_PARTS = re.compile(r"[0-9A-Za-z-]+", re.ASCII)


class Version(msgspec.Struct, frozen=True):
    """A version; the build does not count in the order."""

    numbers: tuple[int, ...]
    pre: tuple[int | str, ...] = ()
    build: tuple[str, ...] = ()


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Failure(f"Invalid character(s) found in {name} number {quoted(text)}")
    if len(text) > 1 and text[0] == "0":
        raise Failure(
            f"{name[0].upper()}{name[1:]} number must not contain leading zeroes {quoted(text)}"
        )
    return int(text)


def _pre(text: str) -> int | str:
    if not text:
        raise Failure("Prerelease is empty")
    if text.isascii() and text.isdigit():
        if len(text) > 1 and text[0] == "0":
            raise Failure(
                f"Numeric PreRelease version must not contain leading zeroes {quoted(text)}"
            )
        return int(text)
    if not _PARTS.fullmatch(text):
        raise Failure(f"Invalid character(s) found in prerelease {quoted(text)}")
    return text


def _build(text: str) -> str:
    if not text:
        raise Failure("Build meta data is empty")
    if not _PARTS.fullmatch(text):
        raise Failure(f"Invalid character(s) found in build meta data {quoted(text)}")
    return text


def _parse(text: str) -> Version:
    if not text:
        raise Failure("Version string empty")
    fields = text.split(".", 2)
    if len(fields) != 3:
        raise Failure("No Major.Minor.Patch elements found")
    major, minor = _number("major", fields[0]), _number("minor", fields[1])
    rest, plus, build = fields[2].partition("+")
    patch, dash, pre = rest.partition("-")
    return Version(
        (major, minor, _number("patch", patch)),
        tuple(_pre(one) for one in pre.split(".")) if dash else (),
        tuple(_build(one) for one in build.split(".")) if plus else (),
    )


def _normalised(text: str) -> str:
    """Without a leading v and leading zeros, with the numbers that are missing."""
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[index] = stripped if stripped[:1].isdigit() else f"0{stripped}"
    if len(parts) < 3 and any(sign in parts[-1] for sign in "+-"):
        raise Failure("short version cannot contain PreRelease/Build meta data")
    return ".".join(parts + ["0"] * (3 - len(parts)))


def _semver(text: str, normalise: bool = False) -> Opaque:
    return Opaque(SEMVER, _parse(_normalised(text) if normalise else text))


def _is_semver(text: str, normalise: bool = False) -> bool:
    try:
        _semver(text, normalise)
    except Failure:
        return False
    return True


def _rank(version: Version) -> tuple[Any, ...]:
    """A sort key: a release comes after what came before it, numbers come before words."""
    pre = tuple((isinstance(one, str), one) for one in version.pre)
    return version.numbers, not version.pre, pre


def _compare(left: Opaque, right: Opaque) -> int:
    a, b = _rank(left.value), _rank(right.value)
    return (a > b) - (a < b)


LIBRARY: Functions = {
    "semver": (
        function("string_to_semver", SEMVER, _semver, STRING),
        function("string_bool_to_semver", SEMVER, _semver, STRING, BOOL),
    ),
    "isSemver": (
        function("is_semver_string", BOOL, _is_semver, STRING),
        function("is_semver_string_bool", BOOL, _is_semver, STRING, BOOL),
    ),
    "isGreaterThan": (
        member("semver_is_greater_than", BOOL, lambda a, b: _compare(a, b) > 0, SEMVER, SEMVER),
    ),
    "isLessThan": (
        member("semver_is_less_than", BOOL, lambda a, b: _compare(a, b) < 0, SEMVER, SEMVER),
    ),
    "compareTo": (member("semver_compare_to", INT, _compare, SEMVER, SEMVER),),
    "major": (member("semver_major", INT, lambda one: one.value.numbers[0], SEMVER),),
    "minor": (member("semver_minor", INT, lambda one: one.value.numbers[1], SEMVER),),
    "patch": (member("semver_patch", INT, lambda one: one.value.numbers[2], SEMVER),),
}
