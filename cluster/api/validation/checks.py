"""Checks that rules of many kinds share."""

from collections.abc import Iterable, Iterator

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.objectmeta import IMMUTABLE

NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"


def not_negative(tree: JsonObject, name: str, path: str) -> list[Cause]:
    """The number field `name`, if set, must be at least 0."""
    value = tree.get(name)
    if value is None or value >= 0:
        return []
    return [invalid(f"{path}.{name}", value, NOT_NEGATIVE)]


def positive(tree: JsonObject, name: str, path: str) -> list[Cause]:
    """The number field `name`, if set, must be above 0."""
    value = tree.get(name)
    if value is None or value > 0:
        return []
    return [invalid(f"{path}.{name}", value, POSITIVE)]


def immutable(new: JsonValue, old: JsonValue, path: str) -> list[Cause]:
    """`new` must equal `old`."""
    return [] if new == old else [invalid(path, new, IMMUTABLE)]


def one_of(value: JsonValue, supported: tuple[str, ...], path: str) -> list[Cause]:
    """`value` must be one of the strings; they are listed sorted, as Kubernetes does."""
    return [] if value in supported else [not_supported(path, value, sorted(supported))]


def count_or_percent(value: JsonValue, path: str) -> list[Cause]:
    """An int-or-string that must be a count >= 0 or a percentage."""
    if isinstance(value, str):
        return invalid_each(path, value, names.percent(value))
    if value < 0:
        return [invalid(path, value, NOT_NEGATIVE)]
    return []


def percent_at_most_100(value: JsonValue, path: str) -> list[Cause]:
    """A percentage may not be above 100%."""
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def scaled_number(value: JsonValue) -> int:
    """The number of an int-or-string, percent sign left out; 0 if it is malformed."""
    if isinstance(value, str):
        return int(value[:-1]) if not names.percent(value) else 0
    return int(value or 0)


def label_selector(selector: JsonObject | None, path: str) -> list[Cause]:
    """A LabelSelector: keys, values and the operators of its expressions."""
    causes: list[Cause] = []
    selector = selector or {}
    for key, value in selector.get("matchLabels", {}).items():
        causes += invalid_each(f"{path}.matchLabels", key, names.qualified_name(key))
        causes += invalid_each(f"{path}.matchLabels", value, names.label_value(value))
    for index, requirement in enumerate(selector.get("matchExpressions", ())):
        causes += selector_requirement(requirement, f"{path}.matchExpressions[{index}]")
    return causes


def selector_requirement(
    requirement: JsonObject, path: str, *, compares: bool = False, label_values: bool = True
) -> list[Cause]:
    """One expression of a label selector; `compares`: of a node selector, which knows Gt and Lt;
    `label_values`: whether the values must be such as labels have."""
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    causes: list[Cause] = []
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            causes.append(required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden(f"{path}.values", detail))
    elif compares and operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(required(f"{path}.values", detail))
    else:
        causes.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key", "")
    causes += invalid_each(f"{path}.key", key, names.qualified_name(key))
    for index, value in enumerate(values) if label_values else ():
        causes += invalid_each(f"{path}.values[{index}]", value, names.label_value(value))
    return causes


def unique(values: list[str], path: str) -> list[Cause]:
    """A Duplicate cause for every repeated entry of a list."""
    seen: set[str] = set()
    causes = []
    for index, value in enumerate(values):
        if value in seen:
            causes.append(duplicate(f"{path}[{index}]", value))
        seen.add(value)
    return causes


def each(items: Iterable[JsonObject] | None, path: str) -> Iterator[tuple[str, JsonObject]]:
    """(``path[0]``, item), ... of a list that may be absent."""
    for index, item in enumerate(items or ()):
        yield f"{path}[{index}]", item


def range_text(low: int, high: int) -> str:
    """``must be between 1 and 65535, inclusive``."""
    return f"must be between {low} and {high}, inclusive"


def port_number(port: int, path: str) -> list[Cause]:
    """A port from 1 to 65535."""
    if 1 <= port <= 65535:
        return []
    return [invalid(path, port, range_text(1, 65535))]
