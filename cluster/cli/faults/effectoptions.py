"""The parameters of each kind of fault as options of its command, made from its fields.

A field's unit is part of its name, and not of the option's: `latency_s` is ``--latency``, and takes
``200ms`` as well as ``0.2``. What a field means stands in `MEANINGS`.
"""

import contextlib
import enum
import typing
from typing import Any, Final

import click
import msgspec
from msgspec import inspect

from kubeherd.cluster.api import goduration, quantity
from kubeherd.faults import Effect, FaultKind

EFFECTS: Final[dict[FaultKind, type[Effect]]] = {
    FaultKind(str(effect.__struct_config__.tag)): effect for effect in typing.get_args(Effect)
}
"""The struct of each kind."""

MEANINGS: Final = {
    "after_s": "So long after it began.",
    "all": "Also of lists that ask for the newest state.",
    "bandwidth_bytes_per_s": "Bytes per second, as 64Ki or 1M.  [default: unlimited]",
    "code": "HTTP status of the answers.",
    "delay_s": "By so much.",
    "direction": "What is lost: both, only the requests, or only the answers.",
    "drift": "By so many seconds more with each second.",
    "events": "So many at most.",
    "exit_code": "Of the containers.",
    "graceful": "SIGTERM, or SIGKILL.",
    "jitter_s": "The latency varies by so much.",
    "latency_s": "Time that a message takes each way, or a request waits.",
    "moment": "Whether the request is carried out before.",
    "names": "NAMESPACE/NAME of a pod; repeatable.  [default: all]",
    "namespace": "Of the pods.  [default: all]",
    "offset_s": "By so much; may be negative.",
    "period_s": "Flap: cut off for a share of each such period.",
    "probability": "Of each to be hit, as 0.1 or 10%.",
    "resources": "As in RBAC: pods, pods/status, daemonsets.apps; repeatable.  [default: all]",
    "retry_after_s": "Seconds, in the header Retry-After.",
    "revisions": "So many revisions ago.",
    "rolling": "One after the other, each when the one before serves again.",
    "selector": "Labels of the pods.  [default: all]",
    "share": "Of each period, as 0.5 or 50%.",
    "verbs": "As in RBAC: get, list, watch, create, ...; repeatable.  [default: all]",
}
"""What each field is, for the help of a command; a test says that none is missing."""

_NAMES = {
    "verbs": "--verb",
    "resources": "--resource",
    "names": "--pod",
    "selector": "--pod-selector",
    "bandwidth_bytes_per_s": "--bandwidth",
}
_QUANTITIES = ("bandwidth_bytes_per_s",)
_SHARES = ("probability", "share")


def duration(text: str) -> float:
    """Seconds: a number, or as Go writes it (``200ms``, ``1m30s``)."""
    with contextlib.suppress(ValueError):
        return float(text)
    try:
        return goduration.nanoseconds(text) / 1e9
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a duration, as 200ms, 1.5 or 2m") from None


def share(text: str) -> float:
    """A part of one: ``0.1`` or ``10%``."""
    shown = str(text)
    try:
        return float(shown[:-1]) / 100 if shown.endswith("%") else float(shown)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a share, as 0.1 or 10%") from None


def size(text: str) -> int:
    """A number of bytes, as a quantity of Kubernetes."""
    try:
        return quantity.parse(str(text)).nanos // 10**9
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a number of bytes, as 64Ki or 1M") from None


def option_name(field: str) -> str:
    """The option of a field."""
    return _NAMES.get(field) or f"--{field.removesuffix('_s').replace('_', '-')}"


def options(effect: type[Effect]) -> list[click.Option]:
    """An option for each field; `made` takes their values."""
    return [_option(field) for field in _fields(effect)]


def made(effect: type[Effect], values: dict[str, Any]) -> Effect:
    """The effect with these values of its options; click.UsageError if it takes no such value."""
    words = {
        field.name: tuple(word for text in values[field.name] for word in text.split(",") if word)
        for field in _fields(effect)
        if isinstance(field.type, inspect.VarTupleType)
    }
    try:
        return msgspec.convert(
            {"kind": str(effect.__struct_config__.tag), **values, **words}, effect
        )
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at ")
        name = path.strip("`$.").partition("[")[0]
        raise click.UsageError(f"{option_name(name)}: {why}" if name else why) from None


def _fields(effect: type[Effect]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(effect)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - all effects are
    return info.fields


def _option(field: inspect.Field) -> click.Option:
    name, kind = option_name(field.name), field.type
    shared: dict[str, Any] = {
        "help": MEANINGS[field.name],
        "required": field.required,
        "show_default": bool(field.default) and not field.required,
    }
    if isinstance(kind, inspect.BoolType):
        off = f"/--no-{name[2:]}" if field.default else ""
        return click.Option(
            [f"{name}{off}", field.name], default=field.default, is_flag=True, **shared
        )
    if isinstance(kind, inspect.VarTupleType):
        return click.Option([name, field.name], multiple=True, **shared)
    if not field.required:
        default = field.default
        shared["default"] = default.value if isinstance(default, enum.Enum) else default
    return click.Option([name, field.name], type=_type(field), **shared)


def _type(field: inspect.Field) -> Any:
    """What reads the option's text: one of click's types, or a function."""
    kind = field.type
    if isinstance(kind, inspect.EnumType):
        return click.Choice([str(one.value) for one in kind.cls])
    if field.name in _QUANTITIES:
        return size
    if isinstance(kind, inspect.IntType):
        return click.IntRange(kind.ge, kind.le)
    if field.name in _SHARES:
        return share
    if isinstance(kind, inspect.FloatType):
        return duration if field.name.endswith("_s") else float
    return str
