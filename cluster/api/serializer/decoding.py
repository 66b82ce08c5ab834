"""Bring a client's JSON tree into the form in which objects are stored.

Checks types as Go's JSON decoder does (same texts), drops unknown fields, nulls and the zero
values that Kubernetes would not write back, and canonicalises quantities and times.

Two passes: the first is compiled per definition into closures, knows no paths and gives up at the
first irregularity; only then the second (`_Reporter`) walks the tree with paths and words the
problem. Both change the tree in place and are idempotent, so the second may follow the first.

What is dropped (spec api-machinery, section 12; Go's ``omitempty``):
- nulls, except in maps and lists, where Go reads them as the zero value;
- empty lists and empty maps of optional fields, always;
- ``""``, ``0`` and ``false`` only for the fields that are no pointers in Kubernetes
  (`cluster.api.schemas.gostructs`). Every other explicit zero (``replicas: 0``,
  ``automountServiceAccountToken: false``) carries a meaning and stays, as do empty structs.
"""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeAlias, TypeVar

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.goformat import cut
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Definition, Field, FieldType
from kubeherd.cluster.api.schemas.gostructs import omitted_zeros, struct_of_definition
from kubeherd.cluster.api.schemas.gotypes import field_path, go_type_of, json_type_of
from kubeherd.cluster.api.schemas.scalars import canonical, fits

MAX_DEPTH = 200
"""Nesting allowed inside values without a schema (and in bodies, see `codecs`)."""

_MAX_PROBLEMS = 100
"""How many unknown fields are reported, as in Kubernetes (sigs.k8s.io/json)."""

Dropped: TypeAlias = list[tuple[JsonObject, str, JsonValue]]
"""The empty lists and maps that a decoding has met: (what they were in, name, the empty)."""

_Decoder = Callable[[JsonValue, Dropped], JsonValue]
_T = TypeVar("_T")
_PLAIN: dict[FieldType, type] = {FieldType.STRING: str, FieldType.BOOL: bool}
_CONTAINERS = (FieldType.LIST, FieldType.MAP)
_ZERO: dict[FieldType, JsonValue] = {
    FieldType.STRING: "",
    FieldType.BOOL: False,
    FieldType.INT32: 0,
    FieldType.INT64: 0,
    FieldType.NUMBER: 0,
    FieldType.QUANTITY: "0",
    FieldType.INT_OR_STRING: 0,
    FieldType.BYTES: "",
}


class _Irregular(Exception):
    """The fast pass met something that the slow pass must word."""


def decode(
    resource: Resource,
    tree: JsonObject,
    *,
    converting: bool = False,
    dropped: Dropped | None = None,
) -> list[str]:
    """Decode an object of `resource` in place; returns the strict problems. `dropped`: what takes
    the empty lists and maps that are dropped (see `with_dropped`).

    The problems are worded ``unknown field "spec.template.spec.containers[0].foo"``.
    BadRequest if a value has the wrong type, in the words of Kubernetes.
    """
    if resource.custom is not None:
        return resource.custom.decode(tree)
    group, version, kind = resource.group, resource.version, resource.kind
    return decode_kind(group, version, kind, tree, converting=converting, dropped=dropped)


def decode_kind(
    group: str,
    version: str,
    kind: str,
    tree: JsonObject,
    *,
    converting: bool = False,
    dropped: Dropped | None = None,
) -> list[str]:
    """Like `decode`, for kinds that are no resources (Binding, Eviction, DeleteOptions).

    `converting`: as by the converter that Kubernetes uses for strategic merge patches and applies
    instead of its JSON decoder.
    """
    try:
        key = schemas.key_of(group, version, kind)
        return decode_struct(key, tree, converting=converting, dropped=dropped)
    except ValueError as error:
        raise cannot_be_handled(kind, version, str(error)) from None


def decode_struct(
    key: str, tree: JsonValue, *, converting: bool = False, dropped: Dropped | None = None
) -> list[str]:
    """Like `decode`, for a part of an object whose definition has this key.

    ValueError if a value has the wrong type, in the words of Go's decoder.
    """
    dropped = [] if dropped is None else dropped
    try:
        try:
            _object_decoder(key)(tree, dropped)
        except _Irregular:
            return _Reporter(schemas.by_key(key), converting, dropped).run(tree)
        return []
    except RecursionError:
        raise ValueError(f"json: exceeded max depth of {MAX_DEPTH}") from None
    except _Refused as error:
        raise ValueError(str(error)) from None


def with_dropped(dropped: Dropped, look: Callable[[], _T], *, printed: bool = False) -> _T:
    """What `look` sees while the empty lists and maps that were sent are back where they were, or
    only those of fields that are `printed` even when null.

    Go tells an empty one from one that is absent when it shows a value, and of the printed ones
    when it asks who owns a field; for nothing else.
    """
    back: list[tuple[JsonObject, str, bool]] = []
    for parent, name, empty in dropped:
        there = name in parent
        if parent.get(name) is None and (there or not printed):
            parent[name] = empty
            back.append((parent, name, there))
    try:
        return look()
    finally:
        for parent, name, there in back:
            if there:
                parent[name] = None
            else:
                del parent[name]


def cannot_be_handled(kind: str, version: str, problem: str) -> BadRequest:
    """The refusal of a body that does not decode."""
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {problem}')


# --- the fast pass ---


@cache
def _object_decoder(key: str) -> _Decoder:
    """The compiled decoder of a definition.

    Decoders of its fields are made when first needed, because some definitions contain themselves.
    """
    definition = schemas.by_key(key)
    properties = definition.properties
    plain = {name: _PLAIN[f.type] for name, f in properties.items() if f.type in _PLAIN}
    droppable = {name for name, f in properties.items() if _drops(definition, name, f)}
    decoders: dict[str, _Decoder] = {}

    def decode_field(value: JsonObject, name: str, dropped: Dropped) -> None:
        decoder = decoders.get(name)
        if decoder is None:
            if name not in properties:
                raise _Irregular
            decoder = decoders[name] = _decoder(properties[name])
        item = value[name]
        if item is not None:
            decoded = decoder(item, dropped)
            if decoded is not item:
                value[name] = decoded
            if not decoded and properties[name].type in _CONTAINERS:
                dropped.append((value, name, decoded))
            if decoded or name not in droppable:
                return
        del value[name]

    def decode_object(value: JsonValue, dropped: Dropped) -> JsonValue:
        if value.__class__ is not dict:
            raise _Irregular
        rest = [
            name
            for name, item in value.items()
            if item.__class__ is not plain.get(name) or (not item and name in droppable)
        ]
        for name in rest:
            decode_field(value, name, dropped)
        return value

    return decode_object


def _drops(definition: Definition, name: str, field: Field) -> bool:
    if field.required:
        return False
    if field.type in _CONTAINERS:
        return True
    return field.type in _ZERO and name in omitted_zeros(struct_of_definition(definition.key))


def _decoder(field: Field) -> _Decoder:
    if field.type is FieldType.OBJECT:
        return _object_decoder(field.definition_key)
    if field.type is FieldType.LIST:
        assert field.items is not None  # noqa: S101 - a fact of the schemas
        return _list_decoder(field.items)
    if field.type is FieldType.MAP:
        assert field.additional is not None  # noqa: S101 - a fact of the schemas
        return _map_decoder(field.additional)
    return _scalar_decoder(field.type)


def _scalar_decoder(type_: FieldType) -> _Decoder:
    if type_ is FieldType.RAW:
        return _decode_raw
    if type_ is FieldType.RAW_OBJECT:
        return _decode_raw_object
    if type_ is FieldType.SCHEMA:
        return _decode_schema

    def decode_scalar(value: JsonValue, _: Dropped) -> JsonValue:
        if not fits(type_, value):
            raise _Irregular
        try:
            return canonical(type_, value)
        except ValueError:
            raise _Irregular from None

    return decode_scalar


def _decode_raw(value: JsonValue, _: Dropped) -> JsonValue:
    if _raw_problem(value):
        raise _Irregular
    return value


def _decode_raw_object(value: JsonValue, dropped: Dropped) -> JsonValue:
    if value.__class__ is not dict:
        raise _Irregular
    return _decode_raw(value, dropped)


def _decode_schema(value: JsonValue, dropped: Dropped) -> JsonValue:
    if value.__class__ is bool:
        return value
    decode = _object_decoder(schemas.JSON_SCHEMA)
    if value.__class__ is list:
        return [decode(item, dropped) for item in value]
    return decode(value, dropped)


def _raw_problem(value: JsonValue, left: int = MAX_DEPTH) -> str:
    """What is wrong with a value without a schema: too deep, or NaN (msgpack can write it)."""
    children: Iterable[JsonValue]
    if value.__class__ is dict:
        children = value.values()
    elif value.__class__ is list:
        children = value
    elif value.__class__ is float and not math.isfinite(value):
        return f"json: unsupported value: {value}"
    else:
        return ""
    if left == 0:
        return f"json: exceeded max depth of {MAX_DEPTH}"
    return next(filter(None, (_raw_problem(child, left - 1) for child in children)), "")


def _list_decoder(item_field: Field) -> _Decoder:
    plain = _PLAIN.get(item_field.type)
    decoder = _decoder(item_field) if plain is None else None

    def decode_list(value: JsonValue, dropped: Dropped) -> JsonValue:
        if value.__class__ is not list:
            raise _Irregular
        for index, item in enumerate(value):
            if plain is not None:
                if item.__class__ is not plain:
                    raise _Irregular
            elif decoder is not None:
                decoded = decoder(item, dropped)
                if decoded is not item:
                    value[index] = decoded
        return value

    return decode_list


def _map_decoder(value_field: Field) -> _Decoder:
    plain = _PLAIN.get(value_field.type)
    decoder = _decoder(value_field) if plain is None else None

    def decode_map(value: JsonValue, dropped: Dropped) -> JsonValue:
        if value.__class__ is not dict:
            raise _Irregular
        for key, item in value.items():
            if plain is not None:
                if item.__class__ is not plain:
                    raise _Irregular
            elif decoder is not None:
                decoded = decoder(item, dropped)
                if decoded is not item:
                    value[key] = decoded
        return value

    return decode_map


# --- the slow pass ---


class _Refused(Exception):
    """A value of the wrong type; the text is that of Go's decoder."""


class _Reporter:
    """Walks a tree with paths: drops and reports unknown fields, words the first wrong type.

    Two paths are kept, as in Kubernetes: `path` with list indexes for unknown fields, `names`
    without them for type errors, which also name the innermost Go struct.
    """

    def __init__(self, definition: Definition, converting: bool, dropped: Dropped) -> None:
        self.definition = definition
        self.problems: list[str] = []
        self._converting = converting
        self._dropped = dropped
        self._mismatch = ""

    def _problem(self, text: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(text)

    def run(self, tree: JsonValue) -> list[str]:
        """The strict problems. As in Go a value that reads itself (a quantity, a time) is refused
        at once, one of the wrong type when everything has been read."""
        root = Field(FieldType.OBJECT, definition_key=self.definition.key)
        self._value(tree, root, "", "", "")
        if self._mismatch:
            raise _Refused(self._mismatch)
        return self.problems

    def _value(
        self, value: JsonValue, field: Field, path: str, names: str, struct: str
    ) -> JsonValue:
        if field.type is FieldType.OBJECT:
            return self._object(value, field, path, names, struct)
        if field.type is FieldType.SCHEMA:
            return self._schema(value, path, names, struct)
        if field.type is FieldType.LIST and value.__class__ is list and field.items is not None:
            for index, item in enumerate(value):
                value[index] = (
                    _zero(field.items)
                    if item is None
                    else self._value(item, field.items, f"{path}[{index}]", names, struct)
                )
            return value
        if field.type is FieldType.MAP and value.__class__ is dict and field.additional is not None:
            for key, item in value.items():
                value[key] = (
                    _zero(field.additional)
                    if item is None
                    else self._value(item, field.additional, cut(f"{path}.{key}"), names, struct)
                )
            return value
        return self._scalar(value, field, names, struct)

    def _schema(self, value: JsonValue, path: str, names: str, struct: str) -> JsonValue:
        inner = Field(FieldType.OBJECT, definition_key=schemas.JSON_SCHEMA)
        if value.__class__ is list:
            return [
                self._value(item, inner, f"{path}[{index}]", names, struct)
                for index, item in enumerate(value)
            ]
        if value.__class__ in (bool, dict):
            return (
                value if value.__class__ is bool else self._value(value, inner, path, names, struct)
            )
        raise _Refused("boolean or JSON schema expected")

    def _object(
        self, value: JsonValue, field: Field, path: str, names: str, struct: str
    ) -> JsonValue:
        definition = field.definition
        assert definition is not None  # noqa: S101 - object fields always have one
        if value.__class__ is not dict:
            return self._refused(value, field, names, struct)
        for name in list(value):
            item = value[name]
            inner = definition.properties.get(name)
            inner_path = cut(f"{path}.{name}" if path else name)
            if inner is None:
                self._problem(f'unknown field "{inner_path}"')
                del value[name]
                continue
            if item is not None:
                shown = field_path(definition.go_type, name)
                inner_names = cut(f"{names}.{shown}" if names else shown)
                item = self._value(item, inner, inner_path, inner_names, definition.go_type)
                value[name] = item
            if item is not None and not item and inner.type in _CONTAINERS:
                self._dropped.append((value, name, item))
            if item is None or (not item and _drops(definition, name, inner)):
                del value[name]
        return value

    def _scalar(self, value: JsonValue, field: Field, names: str, struct: str) -> JsonValue:
        if field.type in (FieldType.RAW, FieldType.RAW_OBJECT):
            problem = _raw_problem(value)
            if problem:
                raise _Refused(problem)
            if field.type is FieldType.RAW or value.__class__ is dict:
                return value
        elif fits(field.type, value):
            try:
                return canonical(field.type, value)
            except ValueError as error:
                inner = self._converting and field.type is FieldType.BYTES
                raise _Refused(
                    f"error decoding from json: {error}" if inner else str(error)
                ) from None
        if field.type is FieldType.INT32 and self._converting and value.__class__ is int:
            return (value + _INT32) % (2 * _INT32) - _INT32  # Go's converter cuts bits off
        if field.type in _READ_THEMSELVES:
            raise _Refused(_mismatch(value, field, names, struct))
        return self._refused(value, field, names, struct)

    def _refused(self, value: JsonValue, field: Field, names: str, struct: str) -> JsonValue:
        """Remember that a value has the wrong type; what is returned nobody will see."""
        if self._converting:
            raise _Refused(_unconvertible(value, field))
        self._mismatch = self._mismatch or _mismatch(value, field, names, struct)
        return value


_INT32 = 2**31
_INTEGERS = frozenset({FieldType.INT32, FieldType.INT64, FieldType.INT_OR_STRING})
_READ_THEMSELVES = frozenset({
    FieldType.TIME, FieldType.MICRO_TIME, FieldType.INT_OR_STRING, FieldType.QUANTITY,
})  # fmt: skip
_READ_AS = {
    FieldType.TIME: "string", FieldType.MICRO_TIME: "string", FieldType.INT_OR_STRING: "int32",
}  # fmt: skip
"""What types that read themselves ask Go's decoder for."""
_RESTORED = {
    FieldType.OBJECT: "struct from:", FieldType.LIST: "slice from", FieldType.MAP: "map from",
}  # fmt: skip
_KINDS = {
    FieldType.STRING: "string",
    FieldType.BYTES: "slice",
    FieldType.BOOL: "bool",
    FieldType.INT32: "int32",
    FieldType.INT64: "int64",
    FieldType.NUMBER: "float64",
}
_GO_KINDS = {
    dict: "map",
    list: "slice",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
}


def _unconvertible(value: JsonValue, field: Field) -> str:
    """The text of k8s.io/apimachinery, runtime/converter.go (fromUnstructured)."""
    given = _GO_KINDS[type(value)]
    if field.type in _RESTORED:
        return f"cannot restore {_RESTORED[field.type]} {given}"
    if field.type is FieldType.STRING and given == "int64":
        return "cannot convert int64 to string"
    return f"unrecognized type: {_KINDS.get(field.type, 'interface')}"


def _mismatch(value: JsonValue, field: Field, names: str, struct: str) -> str:
    """Go's text for a value of the wrong type (golden case selector-mismatch)."""
    shown = json_type_of(value)
    if shown == "number" and field.type in _INTEGERS:
        shown = f"number {value}"  # a number, but not one that fits the type
    text = f"json: cannot unmarshal {shown} into Go "
    if not struct:
        return f"{text}value of type {go_type_of(field, '', '')}"
    go_type = _READ_AS.get(field.type) or go_type_of(field, struct, names.rpartition(".")[2])
    return f"{text}struct field {struct}.{names} of type {go_type}"


def _zero(field: Field) -> JsonValue:
    """What Go makes of a null inside a list or a map."""
    if field.type in (FieldType.OBJECT, FieldType.MAP):
        return {}
    return [] if field.type is FieldType.LIST else _ZERO.get(field.type)
