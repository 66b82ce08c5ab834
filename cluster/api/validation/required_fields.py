"""``Required value`` for fields that a schema requires, for kinds without rules of their own.

Compiled once per definition; absent optional parts are not entered. A required string may not be
empty, other required fields must be there. Status is not judged: it is the server's own.
"""

from collections.abc import Callable
from functools import cache

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Field, FieldType
from kubeherd.cluster.api.validation.causes import required

_Check = Callable[[JsonObject, str], list[Cause]]


def check(resource: Resource, tree: JsonObject) -> list[Cause]:
    """The causes for missing required fields outside metadata and status."""
    key = schemas.key_of(resource.group, resource.version, resource.kind)
    return _checker(key)(tree, "")


@cache
def _checker(key: str) -> _Check:
    definition = schemas.by_key(key)
    missing = tuple((name, _empty(definition.properties[name])) for name in definition.required)
    inner = tuple(
        (name, field)
        for name, field in definition.properties.items()
        if name not in ("metadata", "status") and _target(field)
    )

    def check_object(tree: JsonObject, path: str) -> list[Cause]:
        prefix = f"{path}." if path else ""
        causes = [required(prefix + name) for name, empty in missing if tree.get(name) in empty]
        for name, field in inner:
            value = tree.get(name)
            if value is not None:
                causes += _inner(field, value, prefix + name)
        return causes

    return check_object


def _empty(field: Field) -> tuple[object, ...]:
    return ("", None) if field.type is FieldType.STRING else (None,)


def _target(field: Field) -> str:
    return (field.items or field.additional or field).definition_key


def _inner(field: Field, value: object, path: str) -> list[Cause]:
    checker = _checker(_target(field))
    if isinstance(value, list):
        return [
            cause for index, item in enumerate(value) for cause in checker(item, f"{path}[{index}]")
        ]
    if not isinstance(value, dict):
        return []
    if field.type is FieldType.OBJECT:
        return checker(value, path)
    return [cause for key, item in value.items() for cause in checker(item, f"{path}[{key}]")]
