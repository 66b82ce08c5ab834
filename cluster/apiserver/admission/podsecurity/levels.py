"""Levels, versions and what a namespace's labels ask for."""

import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted

_PREFIX = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"v1\.([0-9]|[1-9][0-9]*)", re.ASCII)
LATEST = -1

_T = TypeVar("_T")


class Level(IntEnum):
    """How strict: a larger one forbids all that a smaller one does."""

    PRIVILEGED = 0
    BASELINE = 1
    RESTRICTED = 2


class Standard(msgspec.Struct, frozen=True):
    """A level as of a minor version of Kubernetes (`LATEST` for the newest)."""

    level: Level = Level.PRIVILEGED
    minor: int = LATEST

    def __str__(self) -> str:
        version = "latest" if self.minor == LATEST else f"v1.{self.minor}"
        return f"{self.level.name.lower()}:{version}"


class Policy(msgspec.Struct, frozen=True):
    """What is refused, written into the audit log, and warned of."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()


PRIVILEGED = Policy()


def policy_of(labels: Mapping[str, str]) -> tuple[Policy, list[Cause]]:
    """The policy of a namespace's labels. It is a valid one also if some labels are not: refused
    is then what the strictest level refuses, and nothing is audited or warned of."""
    if not any(key.startswith(_PREFIX) for key in labels):
        return PRIVILEGED, []
    causes: list[Cause] = []
    found = {}
    for mode in ("enforce", "audit", "warn"):
        fallback = Level.RESTRICTED if mode == "enforce" else Level.PRIVILEGED
        level = _read(labels, mode, causes, _level, Level.PRIVILEGED, fallback)
        minor = _read(labels, f"{mode}-version", causes, _minor, LATEST, LATEST)
        found[mode] = Standard(level, minor)
    policy = Policy(**found)
    broken = {cause.field for cause in causes}
    if (
        _PREFIX + "warn" not in labels
        and _PREFIX + "enforce" in labels
        and _field("enforce") not in broken
        and policy.enforce.level > policy.warn.level
    ):
        own_version = _PREFIX + "warn-version" in labels
        minor = policy.warn.minor if own_version else policy.enforce.minor
        policy = replace(policy, warn=Standard(policy.enforce.level, minor))
    return policy, causes


def _field(name: str) -> str:
    return f"metadata.labels[{_PREFIX}{name}]"


def _read(
    labels: Mapping[str, str],
    name: str,
    causes: list[Cause],
    parse: Callable[[str], _T],
    absent: _T,
    broken: _T,
) -> _T:
    value = labels.get(_PREFIX + name)
    if value is None:
        return absent
    try:
        return parse(value)
    except ValueError as error:
        text = f"Invalid value: {quoted(value)}: {error}"
        causes.append(Cause("FieldValueInvalid", text, _field(name)))
        return broken


def _level(value: str) -> Level:
    for level in Level:
        if level.name.lower() == value:
            return level
    raise ValueError("must be one of privileged, baseline, restricted")


def _minor(value: str) -> int:
    match = _VERSION.fullmatch(value)
    if match is None and value != "latest":
        raise ValueError('must be "latest" or "v1.x"')
    return int(match[1]) if match else LATEST
