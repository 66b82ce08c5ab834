"""What a table printer consists of, and the small formats that many printers share.

A printer makes the cells of one row from an object's JSON tree; it never fails on members that are
absent. Cells are strings, numbers or booleans.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from kubeherd.cluster.api import duration
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.timestamps import parse_time

NONE: Final = "<none>"
UNKNOWN: Final = "<unknown>"
UNSET: Final = "<unset>"
_MAX_SHOWN = 3

Cell = str | int | float | bool | None
Row = Callable[[JsonObject, datetime], list[Cell]]


class Column(msgspec.Struct, frozen=True):
    """One column; `wide` columns are shown by ``-o wide`` only (priority 1)."""

    name: str
    type: str = "string"
    wide: bool = False
    format: str = ""
    priority: int = 0
    description: str = ""
    """Columns of custom resources say both of their own (built-in ones: `descriptions`, `wide`)."""

    def to_json(self, description: str) -> JsonObject:
        """A TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": description,
            "priority": self.priority or int(self.wide),
        }


class Printer(msgspec.Struct, frozen=True):
    """The columns of a kind and how to fill them."""

    columns: tuple[Column, ...]
    row: Row


NAME = Column("Name", format="name")
AGE = Column("Age")
CREATED_AT = Column("Created At", "date")
CONTAINERS = Column("Containers", wide=True)
IMAGES = Column("Images", wide=True)
SELECTOR = Column("Selector", wide=True)


def member(tree: JsonObject, *path: str) -> JsonObject:
    """The object at `path`; {} where anything is absent."""
    value: JsonValue = tree
    for name in path:
        value = value.get(name)
        if not isinstance(value, dict):
            return {}
    return value  # type: ignore[no-any-return]


def items(tree: JsonObject, name: str) -> list[JsonValue]:
    """The list called `name`; empty if absent."""
    value = tree.get(name)
    return value if isinstance(value, list) else []


def name_of(tree: JsonObject) -> str:
    """metadata.name."""
    return str(member(tree, "metadata").get("name") or "")


def since(timestamp: JsonValue, now: datetime) -> str:
    """The age of a timestamp; ``<unknown>`` if there is none."""
    if not isinstance(timestamp, str) or not timestamp:
        return UNKNOWN
    try:
        moment = parse_time(timestamp)
    except ValueError:
        return UNKNOWN
    return duration.human((now - moment).total_seconds())


def age(tree: JsonObject, now: datetime) -> str:
    """The age of an object."""
    return since(member(tree, "metadata").get("creationTimestamp"), now)


def deleting(tree: JsonObject) -> bool:
    """Whether deletion has begun."""
    return bool(member(tree, "metadata").get("deletionTimestamp"))


def format_labels(labels: Mapping[str, str] | None) -> str:
    """``k=v,k=v`` sorted, or ``<none>``."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


_OPERATORS = {"In": "in", "NotIn": "notin"}


def format_selector(selector: JsonObject | None) -> str:
    """A LabelSelector in the text form of selectors, or ``<none>``."""
    found = {key: f"{key}={value}" for key, value in member(selector or {}, "matchLabels").items()}
    parts = sorted(found.items())
    for expression in items(selector or {}, "matchExpressions"):
        key, operator = expression.get("key", ""), expression.get("operator")
        if operator in _OPERATORS:
            values = ",".join(sorted(expression.get("values") or ()))
            parts.append((key, f"{key} {_OPERATORS[operator]} ({values})"))
        else:
            parts.append((key, key if operator == "Exists" else f"!{key}"))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0])) or NONE


def containers(spec: JsonObject) -> tuple[str, str]:
    """The names and the images of a pod spec's containers, comma-joined."""
    found = items(spec, "containers")
    return (
        ",".join(container.get("name", "") for container in found),
        ",".join(container.get("image", "") for container in found),
    )


def condition(tree: JsonObject, kind: str) -> JsonObject:
    """The condition of this type in status; {} if there is none."""
    for found in items(member(tree, "status"), "conditions"):
        if found.get("type") == kind:
            return found  # type: ignore[no-any-return]
    return {}


def shortened(texts: Iterable[str]) -> str:
    """At most three items, then how many more there are; ``<none>`` for none."""
    found = list(texts)
    shown = ",".join(found[:_MAX_SHOWN])
    if len(found) > _MAX_SHOWN:
        return f"{shown} + {len(found) - _MAX_SHOWN} more..."
    return shown or NONE


def flag(value: JsonValue) -> str:
    """``True``, ``False``, or ``<unset>``."""
    return UNSET if value is None else str(bool(value))
