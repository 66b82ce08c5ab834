"""The columns of a custom resource: ``additionalPrinterColumns``, or its age.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor.
"""

from datetime import datetime
from weakref import WeakKeyDictionary

from kubeherd.cluster.api.customresources import jsonpath
from kubeherd.cluster.api.customresources.kind import CustomKind
from kubeherd.cluster.api.goformat import plain
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.apiserver.tables.columns import (
    NAME,
    UNKNOWN,
    Cell,
    Column,
    Printer,
    name_of,
    since,
)

_AGE: JsonObject = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": "When the object was created, RFC 3339",
}


_printers: WeakKeyDictionary[CustomKind, Printer] = WeakKeyDictionary()
"""As long as the definitions: theirs are trees of up to megabytes."""


def printer(custom: CustomKind) -> Printer:
    """The printer of one version of a definition."""
    made = _printers.get(custom)
    if made is None:
        made = _printers[custom] = _made(custom)
    return made


def _made(custom: CustomKind) -> Printer:
    columns = custom.columns or (_AGE,)

    def row(tree: JsonObject, now: datetime) -> list[Cell]:
        return [name_of(tree), *(_cell(column, tree, now) for column in columns)]

    return Printer((NAME, *map(_header, columns)), row)


def _header(column: JsonObject) -> Column:
    path = column["jsonPath"]
    text = f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        name=column["name"],
        type=column["type"],
        format=column.get("format", ""),
        description=column.get("description") or text,
        priority=column.get("priority", 0),
    )


def _cell(column: JsonObject, tree: JsonObject, now: datetime) -> Cell:
    try:
        found = jsonpath.find(column["jsonPath"], tree)
    except ValueError:
        return None
    if not found:
        return None
    if column["type"] == "string":
        return found[0] if isinstance(found[0], str) else plain(found[0])
    return _typed(column["type"], found[0], now)


def _typed(type_: str, value: JsonValue, now: datetime) -> Cell:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if type_ == "integer":
        return int(value) if is_number else None
    if type_ == "number":
        return value if is_number else None
    if type_ == "boolean":
        return value if isinstance(value, bool) else None
    if not isinstance(value, str):
        return None
    age = since(value, now)
    return "<invalid>" if value and age == UNKNOWN else age
