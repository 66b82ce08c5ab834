"""Whether an applied tree has the types of its schema, in the words of structured-merge-diff.

Source: sigs.k8s.io/structured-merge-diff v6, typed/validate.go and helpers.go. Kubernetes looks at
what was sent, before it decodes it: unknown fields are refused whatever ``fieldValidation`` says.
Where that library walks Go's maps in random order this follows the order of the document.
"""

from collections.abc import Iterator

import orjson

from kubeherd.cluster.api.errors import PlainError
from kubeherd.cluster.api.goformat import cut, plain, quoted
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields.fieldtypes import key_defaults
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

_MAX_PROBLEMS = 100
_STRINGS = (FieldType.STRING, FieldType.BYTES)
_NUMBERS = (FieldType.INT32, FieldType.INT64, FieldType.NUMBER)
_ANY_SCALAR = (FieldType.QUANTITY, FieldType.INT_OR_STRING, FieldType.TIME, FieldType.MICRO_TIME)
_GO_TYPES: dict[type, str] = {str: "string", bool: "bool", list: "[]interface {}"}


def check(resource: Resource, tree: JsonObject) -> None:
    """PlainError if `tree`, as it was sent, is no object of the resource's kind."""
    if shown := problem(resource, tree):
        raise PlainError(f"failed to create typed patch object ({named(resource, tree)}): {shown}")


def problem(resource: Resource, tree: JsonObject) -> str:
    """Why `tree` is no object of the resource's kind, "" if it is one."""
    problems = []
    for found in _problems(_type_of(resource), tree, ""):
        problems.append(cut(found))
        if len(problems) == _MAX_PROBLEMS:
            break
    return "\n  ".join(["errors:", *problems]) if len(problems) > 1 else "".join(problems)


def _type_of(resource: Resource) -> Field:
    if resource.custom is not None:
        return resource.custom.typed
    key = schemas.key_of(resource.group, resource.version, resource.kind)
    return Field(FieldType.OBJECT, definition_key=key)


def named(resource: Resource, tree: JsonObject) -> str:
    """How messages name an applied object: ``ns/name; apps/v1, Kind=DaemonSet``."""
    meta = tree.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    group_version = f"{resource.group}/{resource.version}"
    namespace, name = meta.get("namespace") or "", meta.get("name") or ""
    return f"{namespace}/{name}; {group_version}, Kind={resource.kind}"


def _problems(field: Field, value: JsonValue, path: str) -> Iterator[str]:
    if value is None or field.type in (FieldType.RAW, FieldType.RAW_OBJECT):
        return
    if field.type is FieldType.LIST:
        yield from _list_problems(field, value, path)
    elif field.type in (FieldType.OBJECT, FieldType.MAP):
        yield from _map_problems(field, value, path)
    else:
        problem = _scalar_problem(field.type, value)
        if problem:
            yield f"{path}: {problem}"


def _scalar_problem(type_: FieldType, value: JsonValue) -> str:
    if type_ in _STRINGS and not isinstance(value, str):
        return f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
    if type_ is FieldType.BOOL and not isinstance(value, bool):
        return f"expected boolean, got {_shown(value)}"
    if type_ in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
        name = _GO_TYPES.get(type(value), "map[string]interface {}")
        return f"expected numeric (int or float), got {name}"
    if type_ in _ANY_SCALAR and isinstance(value, dict | list):
        return f"expected any scalar, got {_shown(value)}"
    return ""


def _map_problems(field: Field, value: JsonValue, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected map, got {_shown(value)}"
        return
    for name, member in value.items():
        inner = field.additional if field.type is FieldType.MAP else field.properties.get(name)
        if inner is None:
            yield f"{path}.{name}: field not declared in schema"
            return
        yield from _problems(inner, member, f"{path}.{name}")


def _list_problems(field: Field, value: JsonValue, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got {_shown(value)}"
        return
    assert field.items is not None  # noqa: S101 - a fact of the schemas
    seen: set[str] = set()
    for index, item in enumerate(value):
        element = f"[{index}]"
        if field.list_type in ("map", "set"):
            problem = _element_problem(field, item)
            if problem:
                yield f"{path}: element {index}: {problem}"
                return
            element = _element(field, item)
            if element in seen:
                yield f"{path}: duplicate entries for key {element}"
            seen.add(element)
        yield from _problems(field.items, item, path + element)


def _element_problem(field: Field, item: JsonValue) -> str:
    """Why an element of an associative list has no identity, or ""."""
    if field.list_type == "map":
        if item is None:
            return "associative list with keys may not have a null element"
        if not isinstance(item, dict):
            return "associative list with keys may not have non-map elements"
        if not any(key in item or key in key_defaults(field) for key in field.list_map_keys):
            keys = " ".join(map(quoted, field.list_map_keys))
            return (
                f"associative list with keys has an element that omits all key fields [{keys}] "
                "(and doesn't have default values for any key fields)"
            )
        return ""
    if isinstance(item, dict):
        return "associative list without keys has an element that's a map type"
    if isinstance(item, list):
        return "not supported: associative list with lists as elements"
    if item is None:
        return "associative list without keys has an element that's an explicit null"
    return ""


def _element(field: Field, item: JsonValue) -> str:
    """The path element of an element: ``[name="a"]``, ``[="x"]``."""
    if field.list_type == "set":
        return f"[={orjson.dumps(item).decode()}]"
    found = {**key_defaults(field), **{k: item[k] for k in field.list_map_keys if k in item}}
    return "[" + ",".join(f"{k}={orjson.dumps(found[k]).decode()}" for k in sorted(found)) + "]"


def _shown(value: JsonValue) -> str:
    """Go's ``%v`` of a value in that library's wrapper."""
    return f"&{{{plain(value)}}}"


def _go_syntax(value: JsonValue) -> str:
    """Go's ``%#v`` of a decoded JSON value."""
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{quoted(key)}:{_go_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_go_syntax, value)) + "}"
    return str(value)
