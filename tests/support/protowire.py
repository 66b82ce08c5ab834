"""Protobuf written and read without the code under test: fields as (number, number or bytes)."""

from collections.abc import Iterator

MAGIC = b"k8s\x00"
Field = tuple[int, int | bytes]


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(*fields: Field) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    type_meta = message((1, api_version.encode()), (2, kind.encode()))
    return MAGIC + message((1, type_meta), (2, raw), (3, b""), (4, b""))


def fields(data: bytes) -> Iterator[Field]:
    at = 0
    while at < len(data):
        tag, at = _varint_at(data, at)
        if tag & 7 == 0:
            number, at = _varint_at(data, at)
            yield tag >> 3, number
            continue
        length = 8
        if tag & 7 == 2:
            length, at = _varint_at(data, at)
        yield tag >> 3, data[at : at + length]
        at += length


def parts(data: bytes) -> dict[int, bytes]:
    """The fields of a message that are no numbers, each the last of its number."""
    return {number: value for number, value in fields(data) if isinstance(value, bytes)}


def repeated(data: bytes, number: int) -> list[bytes]:
    """All values of a field that is no number."""
    return [value for at, value in fields(data) if at == number and isinstance(value, bytes)]


def opened(data: bytes) -> tuple[str, str, bytes]:
    """apiVersion, kind and message of a body."""
    assert data[:4] == MAGIC
    found = parts(data[4:])
    meta = parts(found[1])
    return meta[1].decode(), meta[2].decode(), found[2]


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
