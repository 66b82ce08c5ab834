"""Bring a client's JSON tree into the form in which objects are stored.

Checks types as Go's JSON decoder does (same texts), drops unknown fields, nulls and the zero
values that Kubernetes would not write back, and canonicalises quantities and times.

Two passes: the first is compiled per definition into closures, knows no paths and gives up at the
first irregularity; only then the second (`Reporter`) walks the tree with paths and words the
problem. Both change the tree in place and are idempotent, so the second may follow the first.

What is dropped (spec api-machinery, section 12; Go's ``omitempty``):
- nulls, except in maps and lists, where Go reads them as the zero value;
- empty lists and empty maps of optional fields, always;
- ``""``, ``0`` and ``false`` only for the fields that are no pointers in Kubernetes
  (`cluster.api.schemas.gostructs`). Every other explicit zero (``replicas: 0``,
  ``automountServiceAccountToken: false``) carries a meaning and stays, as do empty structs.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Field, FieldType
from kubeherd.cluster.api.schemas.scalars import canonical_form, fits
from kubeherd.cluster.api.serializer.decodingreport import Refused, Reporter
from kubeherd.cluster.api.serializer.decodingrules import (
    CONTAINERS,
    MAX_DEPTH,
    Dropped,
    drops,
    raw_problem,
)

_Decoder = Callable[[JsonValue, Dropped], JsonValue]
_T = TypeVar("_T")
_PLAIN: dict[FieldType, type] = {FieldType.STRING: str, FieldType.BOOL: bool}


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
            return Reporter(schemas.by_key(key), converting, dropped).run(tree)
        return []
    except RecursionError:
        raise ValueError(f"json: exceeded max depth of {MAX_DEPTH}") from None
    except Refused as error:
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


class _FieldDecoders(dict[str, _Decoder]):
    """The decoders of a definition's fields by their names: made when first needed, because some
    definitions contain themselves. An unknown field is irregular."""

    def __init__(self, properties: Mapping[str, Field]) -> None:
        self._properties = properties

    def __missing__(self, name: str) -> _Decoder:
        if name not in self._properties:
            raise _Irregular
        decoder = self[name] = _decoder(self._properties[name])
        return decoder


@cache
def _object_decoder(key: str) -> _Decoder:
    """The compiled decoder of a definition."""
    definition = schemas.by_key(key)
    properties = definition.properties
    plain = {name: _PLAIN[f.type] for name, f in properties.items() if f.type in _PLAIN}
    droppable = {name for name, f in properties.items() if drops(definition, name, f)}
    containers = {name for name, f in properties.items() if f.type in CONTAINERS}
    decoders = _FieldDecoders(properties)

    def decode_object(value: JsonValue, dropped: Dropped) -> JsonValue:
        if value.__class__ is not dict:
            raise _Irregular
        gone: list[str] = []
        try:
            for name, item in value.items():
                if item.__class__ is plain.get(name):
                    if item or name not in droppable:
                        continue
                elif item is None:
                    _ = decoders[name]  # irregular if there is no such field
                else:
                    decoded = decoders[name](item, dropped)
                    if decoded is not item:
                        value[name] = decoded
                    if decoded:
                        continue
                    if name in containers:
                        dropped.append((value, name, decoded))
                    if name not in droppable:
                        continue
                gone.append(name)
        finally:
            for name in gone:
                del value[name]
        return value

    return decode_object


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

    make = canonical_form(type_)
    takes_text = fits(type_, "")

    def decode_scalar(value: JsonValue, _: Dropped) -> JsonValue:
        if not (takes_text if value.__class__ is str else fits(type_, value)):
            raise _Irregular
        if make is None:
            return value
        try:
            return make(value)
        except ValueError:
            raise _Irregular from None

    return decode_scalar


def _decode_raw(value: JsonValue, _: Dropped) -> JsonValue:
    if raw_problem(value):
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
