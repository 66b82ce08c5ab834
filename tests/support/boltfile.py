"""Writes files of bbolt as etcd makes them: small ones, of one bucket."""

import hashlib
import struct
from collections.abc import Sequence

from kubeherd.cluster.api.serializer.protobuf.wire import WireType, delimited, tag, varint
from kubeherd.snapshot.bbolt import MAGIC

PAGE = 4096


def bolt_file(pairs: Sequence[tuple[bytes, bytes]], *, page_size: int = PAGE) -> bytes:
    """A database whose bucket `key` has these pairs, in order, on one leaf or below a branch."""
    half = len(pairs) // 2
    leaves = [pairs] if half < 2 else [pairs[:half], pairs[half:]]
    pages = [b"", b"", b""]
    places = []
    for leaf in leaves:
        places.append(len(pages))
        body = _leaf(len(pages), [(0, key, value) for key, value in leaf], page_size)
        pages += [body, *[b""] * (len(body) // page_size - 1)]
    root = places[0]
    if len(places) > 1:
        root = len(pages)
        pages.append(
            _branch(
                root, [(leaf[0][0], at) for leaf, at in zip(leaves, places, strict=True)], page_size
            )
        )
    bucket = struct.pack("<QQ", root, 0)
    pages[2] = _leaf(2, [(1, b"key", bucket)], page_size)
    pages[0] = _meta(0, 2, len(pages), page_size)
    pages[1] = _meta(1, 3, len(pages), page_size)
    return b"".join(pages)


def with_sum(file: bytes) -> bytes:
    """As `etcdctl snapshot save` writes it."""
    return file + hashlib.sha256(file).digest()


def log_key(revision: int, *, deleted: bool = False) -> bytes:
    """The key of a log entry."""
    return revision.to_bytes(8, "big") + b"_" + bytes(8) + (b"t" if deleted else b"")


def key_value(key: bytes, value: bytes = b"", *, created: int = 0, revision: int = 0) -> bytes:
    """A mvccpb.KeyValue."""
    numbers = b"".join(
        tag(number, WireType.VARINT) + varint(one)
        for number, one in ((2, created), (3, revision))
        if one
    )
    return delimited(1, key) + numbers + (delimited(5, value) if value else b"")


def _meta(number: int, txid: int, pages: int, page_size: int) -> bytes:
    body = struct.pack("<IIIIQQQQQ", MAGIC, 2, page_size, 0, 2, 0, pages, pages, txid)
    found = 0xCBF29CE484222325
    for byte in body:
        found = ((found ^ byte) * 0x100000001B3) & (1 << 64) - 1
    head = struct.pack("<QHHI", number, 4, 0, 0)
    return (head + body + struct.pack("<Q", found)).ljust(page_size, b"\0")


def _leaf(number: int, items: Sequence[tuple[int, bytes, bytes]], page_size: int) -> bytes:
    heads, data = b"", b""
    for index, (flags, key, value) in enumerate(items):
        offset = (len(items) - index) * 16 + len(data)
        heads += struct.pack("<IIII", flags, offset, len(key), len(value))
        data += key + value
    size = 16 + len(heads) + len(data)
    count = -(-size // page_size)
    head = struct.pack("<QHHI", number, 2, len(items), count - 1)
    return (head + heads + data).ljust(count * page_size, b"\0")


def _branch(number: int, items: Sequence[tuple[bytes, int]], page_size: int) -> bytes:
    heads, data = b"", b""
    for index, (key, page) in enumerate(items):
        offset = (len(items) - index) * 16 + len(data)
        heads += struct.pack("<IIQ", offset, len(key), page)
        data += key
    head = struct.pack("<QHHI", number, 1, len(items), 0)
    return (head + heads + data).ljust(page_size, b"\0")
