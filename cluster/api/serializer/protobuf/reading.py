"""Messages to JSON trees, in the form that Go's JSON encoder would give the same struct.

Each struct is compiled once into what to do with each field number. Zeros of fields that are no
pointers are left out where Go omits them and are put in where Go writes them, whether or not they
were on the wire. Unknown fields are skipped; a message that comes in parts is merged, as in Go.
"""

import base64
import struct as binary
from collections.abc import Callable
from functools import cache

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.cluster.api.schemas.gostructs import GoField
from kubeherd.cluster.api.serializer.protobuf import special
from kubeherd.cluster.api.serializer.protobuf.wire import (
    Expected,
    Scanner,
    Wire,
    WireType,
    read_varint,
    signed,
)

_Convert = Callable[["Reader", Wire], JsonValue]
_Take = Callable[["Reader", JsonObject, Wire], None]
_NUMBERS: dict[str, Callable[[int], JsonValue]] = {
    "bool": bool,
    "int32": lambda number: signed(number, 32),
    "int64": lambda number: signed(number, 64),
}
_EXACT_INTEGERS = 2**53
"""Below it every whole double is written as an integer in JSON."""
_ZEROS: dict[str, JsonValue] = {"string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0}


class Reader:
    """Reads the messages of one body, which together may have `bounds.MAX_VALUES` fields."""

    def __init__(self) -> None:
        self.scanner = Scanner()

    def read(self, struct: str, data: bytes) -> JsonObject:
        """The tree of a struct's message. Malformed, TooManyValues, RecursionError."""
        tree: JsonObject = {}
        self.merge(struct, data, tree)
        return tree

    def merge(self, struct: str, data: bytes, tree: JsonObject) -> None:
        """Read a message into a tree that may hold an earlier part of it."""
        plan = _plan(struct)
        for number, wire in self.scanner.fields(plan.name, plan.expected, data):
            plan.take[number](self, tree, wire)
        for name, zero in plan.zeros:
            if name not in tree:
                tree[name] = zero
        for name, inner in plan.always:
            if not name:
                self.merge(inner, b"", tree)
            elif name not in tree and (value := self.value(inner, b"")) is not None:
                tree[name] = value

    def value(self, type_: str, wire: Wire) -> JsonValue:
        """The JSON value of anything but a plain number; None is null."""
        return _converter(type_)(self, wire)


class _Plan(msgspec.Struct, frozen=True):
    """What to do with the fields of one struct."""

    name: str
    expected: Expected
    take: dict[int, _Take]
    zeros: tuple[tuple[str, JsonValue], ...]
    """Scalars that Go's JSON always has."""
    always: tuple[tuple[str, str], ...]
    """Structs that are no pointers, by name ("" if embedded) and type."""


@cache
def _plan(struct: str) -> _Plan:
    fields = [field for field in gostructs.fields(struct) if field.number]
    own = [f for f in fields if not (f.pointer or f.repeated or f.is_map)]
    expected = {f.number: (f.go_name, _wire_type(f)) for f in fields}
    expected |= {-f.number: (f.go_name, WireType.BYTES) for f in fields if _is_packable(f)}
    return _Plan(
        name=struct.rpartition(".")[2],
        expected=expected,
        take={f.number: _taker(f) for f in fields},
        zeros=tuple((f.name, _ZEROS[f.type]) for f in own if f.type in _ZEROS and not f.omitempty),
        always=tuple(
            (f.name, f.type)
            for f in own
            if gostructs.is_struct(f.type) and not gostructs.items_of(f.type)
        ),
    )


def _wire_type(field: GoField) -> WireType:
    if field.is_map or field.type not in _ZEROS or field.type == "string":
        return WireType.BYTES
    return WireType.FIXED64 if field.type == "float64" else WireType.VARINT


def _is_packable(field: GoField) -> bool:
    return field.repeated and field.type in _NUMBERS


def _taker(field: GoField) -> _Take:
    if field.is_map:
        return _map_taker(field)
    if field.repeated:
        return _list_taker(field)
    if not field.name:
        return lambda reader, tree, wire: reader.merge(field.type, _bytes(wire), tree)
    if field.type in _ZEROS or field.type == "bytes":
        return _scalar_taker(field)
    return _message_taker(field)


def _scalar_taker(field: GoField) -> _Take:
    convert, name = _converter(field.type), field.name
    droppable = field.omitempty and not field.pointer

    def take(reader: Reader, tree: JsonObject, wire: Wire) -> None:
        value = convert(reader, wire)
        if droppable and not value:
            tree.pop(name, None)
        else:
            tree[name] = value

    return take


def _message_taker(field: GoField) -> _Take:
    type_, name = field.type, field.name
    if type_ in special.READERS or gostructs.items_of(type_):
        convert = _converter(type_)

        def take(reader: Reader, tree: JsonObject, wire: Wire) -> None:
            value = convert(reader, wire)
            if value is None:
                tree.pop(name, None)
            else:
                tree[name] = value

        return take

    def merge(reader: Reader, tree: JsonObject, wire: Wire) -> None:
        reader.merge(type_, _bytes(wire), tree.setdefault(name, {}))

    return merge


def _list_taker(field: GoField) -> _Take:
    convert, name = _converter(field.type), field.name
    if not _is_packable(field):
        return lambda reader, tree, wire: tree.setdefault(name, []).append(convert(reader, wire))

    def take(reader: Reader, tree: JsonObject, wire: Wire) -> None:
        items = tree.setdefault(name, [])
        if isinstance(wire, int):
            items.append(convert(reader, wire))
            return
        at = 0
        while at < len(wire):
            reader.scanner.count()
            number, at = read_varint(wire, at)
            items.append(convert(reader, number))

    return take


_ENTRY: Expected = {1: ("Key", WireType.BYTES), 2: ("Value", WireType.BYTES)}


def _map_taker(field: GoField) -> _Take:
    convert, name = _converter(field.type), field.name

    def take(reader: Reader, tree: JsonObject, wire: Wire) -> None:
        parts = dict(reader.scanner.fields("Entry", _ENTRY, _bytes(wire)))
        key = _bytes(parts.get(1, b"")).decode(errors="replace")
        tree.setdefault(name, {})[key] = convert(reader, parts.get(2, b""))

    return take


def _bytes(wire: Wire) -> bytes:
    assert isinstance(wire, bytes)  # noqa: S101 - the scanner has compared wire types
    return wire


def _int(wire: Wire) -> int:
    assert isinstance(wire, int)  # noqa: S101 - the scanner has compared wire types
    return wire


@cache
def _converter(type_: str) -> _Convert:
    """From the wire to JSON, for a scalar, a special type, a named list or a struct."""
    if type_ in _NUMBERS:
        number = _NUMBERS[type_]
        return lambda _, wire: number(_int(wire))
    if type_ in special.READERS:
        read = special.READERS[type_]
        return lambda reader, wire: read(reader, _bytes(wire))
    items = gostructs.items_of(type_)
    if items:
        return lambda reader, wire: _named_list(reader, items, wire)
    return _SCALARS.get(type_) or (lambda reader, wire: reader.read(type_, _bytes(wire)))


_SCALARS: dict[str, _Convert] = {
    "string": lambda _, wire: _bytes(wire).decode(errors="replace"),
    "bytes": lambda _, wire: base64.b64encode(_bytes(wire)).decode(),
    "float64": lambda _, wire: _float(_bytes(wire)),
}


def _float(data: bytes) -> int | float:
    number: float = binary.unpack("<d", data)[0]
    exact = number.is_integer() and abs(number) <= _EXACT_INTEGERS
    return int(number) if exact else number


def _named_list(reader: Reader, items: str, wire: Wire) -> list[JsonValue]:
    expected: Expected = {1: ("Items", WireType.BYTES)}
    found = reader.scanner.fields("Items", expected, _bytes(wire))
    return [reader.value(items, item) for _, item in found]
