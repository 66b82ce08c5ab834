"""Protobuf's wire format: numbers, fields, and what is wrong with them in the words of Go.

Source: the code that gogo/protobuf generates (generated.pb.go of k8s.io/api v1.36). Reading is
bounded: a `Scanner` counts fields, also those that nobody knows.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum

from kubeherd.cluster.api.bounds import MAX_VALUES, TooManyValues

_END = "unexpected EOF"
_UINT64 = 2**64 - 1
_LENGTHS = tuple(bytes((number,)) for number in range(0x80))


class Malformed(Exception):
    """The bytes are no message of the expected shape; the text is that of Go."""


class WireType(IntEnum):
    """How the value of a field is written."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    START_GROUP = 3
    END_GROUP = 4
    FIXED32 = 5


_VARINT, _FIXED64, _BYTES = WireType.VARINT, WireType.FIXED64, WireType.BYTES
_FIXED = {WireType.FIXED64: 8, WireType.FIXED32: 4}

Expected = Mapping[int, tuple[str, WireType]]
"""The fields of a message: number -> (Go name, wire type)."""
Wire = int | bytes
"""A value as it is on the wire: a number, or bytes."""


def varint(number: int) -> bytes:
    """A number from -2**63 to 2**64 - 1; negative ones take ten bytes, as in Go."""
    if 0 <= number < 0x80:
        return _LENGTHS[number]
    number &= _UINT64
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number: int, wire_type: WireType) -> bytes:
    """What stands before the value of a field."""
    return varint(number << 3 | wire_type)


def delimited(number: int, value: bytes) -> bytes:
    """A field that holds bytes, text or a message."""
    return tag(number, WireType.BYTES) + varint(len(value)) + value


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned number at a position and the position behind it."""
    if at < len(data) and (byte := data[at]) < 0x80:
        return byte, at + 1
    value = shift = 0
    while shift < 64:
        if at >= len(data):
            raise Malformed(_END)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, at
        shift += 7
    raise Malformed("proto: integer overflow")


def signed(number: int, bits: int) -> int:
    """The two's complement of the lowest bits."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


class Scanner:
    """Takes messages apart; all that are read with one may have `MAX_VALUES` fields together."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def fields(self, message: str, expected: Expected, data: bytes) -> Iterator[tuple[int, Wire]]:
        """(number, value) of each expected field, in the order of the bytes; others are skipped.

        A list of numbers may also come packed, as bytes: then `expected` has a negated number.
        """
        at, end = 0, len(data)
        while at < end:
            self.count()
            start, key = at, data[at]
            if key < 0x80:
                at += 1
            else:
                key, at = read_varint(data, at)
            number, wire_type = key >> 3, key & 7
            known = expected.get(number)
            if known is None:
                _check_tag(message, key)
                at = _after(data, start)
                continue
            if wire_type != known[1] and not (wire_type == _BYTES and -number in expected):
                _check_tag(message, key)
                raise Malformed(f"proto: wrong wireType = {wire_type} for field {known[0]}")
            value: Wire
            if wire_type == _VARINT:
                value, at = read_varint(data, at)
            else:
                value, at = _content(data, at, wire_type)
            yield number, value

    def count(self) -> None:
        """One field more; TooManyValues."""
        self._left -= 1
        if self._left < 0:
            raise TooManyValues


def _check_tag(message: str, key: int) -> None:
    """Malformed for a tag that no field can have."""
    if key & 7 == WireType.END_GROUP:
        raise Malformed(f"proto: {message}: wiretype end group for non-group")
    number = signed(key >> 3, 32)
    if number <= 0:
        raise Malformed(f"proto: {message}: illegal tag {number} (wire type {key})")


def _content(data: bytes, at: int, wire_type: int) -> tuple[bytes, int]:
    """The bytes of a field that is no number, and the position behind them."""
    length = 8
    if wire_type == _BYTES:
        length, at = read_varint(data, at)
        if length >> 63:
            raise Malformed("proto: negative length found during unmarshaling")
    if length > len(data) - at:
        raise Malformed(_END)
    return data[at : at + length], at + length


def _after(data: bytes, at: int) -> int:
    """The position behind an unknown field, which may be a group of fields."""
    depth = 0
    while True:
        key, at = read_varint(data, at)
        wire_type = key & 7
        if wire_type == WireType.VARINT:
            _, at = read_varint(data, at)
        elif wire_type == WireType.BYTES:
            _, at = _content(data, at, wire_type)
        elif wire_type == WireType.START_GROUP:
            depth += 1
        elif wire_type == WireType.END_GROUP:
            if depth == 0:
                raise Malformed("proto: unexpected end of group")
            depth -= 1
        elif wire_type in _FIXED:
            at += _FIXED[WireType(wire_type)]
        else:
            raise Malformed(f"proto: illegal wireType {wire_type}")
        if at > len(data):
            raise Malformed(_END)
        if depth == 0:
            return at
