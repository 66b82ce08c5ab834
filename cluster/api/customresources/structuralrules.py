"""Whether a schema is structural: every field typed once, outside of allOf, anyOf, oneOf and not.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/validation.go (ValidateStructural).
"""

from collections.abc import Iterator
from enum import Enum

from kubeherd.cluster.api.customresources import patterns
from kubeherd.cluster.api.customresources.schema import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVE,
    RULES,
    Schema,
    additional,
    has_additional,
    items,
    properties,
)
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.validation.causes import forbidden, invalid, required

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


class Level(Enum):
    """Where a schema stands; the value is what a missing type is told."""

    ROOT = "must not be empty at the root"
    ITEM = "must not be empty for specified array items"
    FIELD = "must not be empty for specified object fields"


_EMPTY_INSIDE = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (PRESERVE, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (INT_OR_STRING, "must be false to be structural"),
    (LIST_KEYS, "must be empty to be structural"),
    (LIST_TYPE, "must be undefined to be structural"),
    (MAP_TYPE, "must be undefined to be structural"),
    (RULES, "must be empty to be structural"),
)
"""What no schema inside allOf, anyOf, oneOf and not may say."""


def check(schema: Schema, path: str) -> list[Cause]:
    """The causes for which a schema is not structural, sorted."""
    causes = [*_invariants(schema, Level.ROOT, path), *_complete(schema, schema, path, path)]
    return sorted(causes, key=lambda cause: (cause.field, cause.message))


def _invariants(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    inner_items, values = items(schema), additional(schema)
    if schema.get("type") == "array" and inner_items is None:
        yield required(f"{path}.items", "must be specified")
    if inner_items is not None:
        yield from _invariants(inner_items, Level.ITEM, f"{path}.items")
    for name, inner in properties(schema).items():
        yield from _invariants(inner, Level.FIELD, f"{path}.properties[{name}]")
    if has_additional(schema) and level is Level.ROOT:
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if values is not None:
        yield from _invariants(values, Level.FIELD, f"{path}.additionalProperties")
    yield from _extensions(schema, path)
    yield from _junctors(schema, path, int_or_string=bool(schema.get(INT_OR_STRING)))
    yield from _typed(schema, level, path)
    yield from _meta(schema, level, path)


def _extensions(schema: Schema, path: str) -> Iterator[Cause]:
    for name in (PRESERVE, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(name):
            detail = "must be false if x-kubernetes-int-or-string is true"
            yield invalid(f"{path}.{name}", True, detail)


def _typed(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    declared = schema.get("type") or ""
    if schema.get(EMBEDDED) and declared != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        yield (
            invalid(f"{path}.type", declared, detail)
            if declared
            else required(f"{path}.type", detail)
        )
    elif not declared and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield required(f"{path}.type", level.value)
    if schema.get(EMBEDDED) and has_additional(schema):
        detail = "must not be used if x-kubernetes-embedded-resource is set"
        yield forbidden(f"{path}.additionalProperties", detail)
    if level is Level.ROOT and declared and declared != "object":
        yield invalid(f"{path}.type", declared, "must be object at the root")


def _meta(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    is_object = level is Level.ROOT or bool(schema.get(EMBEDDED))
    declared = properties(schema)
    for name in ("kind", "apiVersion"):
        if is_object and name in declared and declared[name].get("type") != "string":
            at = f"{path}.properties[{name}].type"
            yield invalid(at, declared[name].get("type", ""), "must be string")
    metadata = declared.get("metadata")
    at = f"{path}.properties[metadata]"
    if metadata is not None and is_object and metadata.get("type") != "object":
        yield invalid(f"{at}.type", metadata.get("type", ""), "must be object")
    if metadata is not None and level is Level.ROOT:
        inside = set(properties(metadata)) - {"name", "generateName"}
        said = set(metadata) - {"type", "properties", "description", "title", "default"}
        if inside or said:
            detail = (
                "must not specify anything other than name and generateName, but metadata is "
                "implicitly specified"
            )
            yield forbidden(at, detail)
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not declared:
        detail = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        yield required(f"{path}.properties", detail)


def _junctors(schema: Schema, path: str, *, int_or_string: bool = False) -> Iterator[Cause]:
    """The schemas that only restrict; ``anyOf: [integer, string]`` may stand where it is meant."""
    if not (int_or_string and schema.get("anyOf") == _INT_OR_STRING):
        for index, inner in enumerate(schema.get("anyOf") or ()):
            yield from _restriction(inner, f"{path}.anyOf[{index}]")
    for index, inner in enumerate(schema.get("allOf") or ()):
        first = int_or_string and index == 0
        yield from _restriction(inner, f"{path}.allOf[{index}]", int_or_string=first)
    for index, inner in enumerate(schema.get("oneOf") or ()):
        yield from _restriction(inner, f"{path}.oneOf[{index}]")
    if isinstance(schema.get("not"), dict):
        yield from _restriction(schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    if pattern:
        try:
            patterns.check(pattern)
        except patterns.NoPattern as error:
            detail = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", pattern, detail)


def _restriction(schema: Schema, path: str, *, int_or_string: bool = False) -> Iterator[Cause]:
    yield from _junctors(schema, path, int_or_string=int_or_string)
    inner_items = items(schema)
    if inner_items is not None:
        yield from _restriction(inner_items, f"{path}.items")
    for name, inner in properties(schema).items():
        yield from _restriction(inner, f"{path}.properties[{name}]")
    for name, detail in _EMPTY_INSIDE:
        if schema.get(name):
            yield forbidden(f"{path}.{name}", detail)
    if "metadata" in properties(schema):
        at = f"{path}.properties[metadata]"
        yield forbidden(at, "must not be specified in a nested context")


def _complete(schema: Schema, base: Schema | None, at: str, path: str) -> Iterator[Cause]:
    """Every field that is restricted must be declared in `base`, which is at `at`."""
    for name in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(schema.get(name) or ()):
            yield from _declared(inner, base, at, f"{path}.{name}[{index}]")
    if isinstance(schema.get("not"), dict):
        yield from _declared(schema["not"], base, at, f"{path}.not")


def _declared(schema: Schema, base: Schema | None, at: str, path: str) -> Iterator[Cause]:
    if base is None:
        yield required(at, f"because it is defined in {path}")
        return
    yield from _complete(schema, base, at, path)
    inner_items = items(schema)
    if inner_items is not None:
        yield from _declared(inner_items, items(base), f"{at}.items", f"{path}.items")
    for name, inner in properties(schema).items():
        below, inside = f"{at}.properties[{name}]", f"{path}.properties[{name}]"
        yield from _declared(inner, properties(base).get(name), below, inside)
