"""A file of bbolt, the database under etcd, read only. Pure.

A file is pages of one size; a page has a header (id, flags, count, overflow: how many pages follow
that belong to it) and elements. Pages 0 and 1 are meta pages, written in turn; the valid one with
the higher transaction is the newest. It names the root of a B+ tree whose leaves hold keys with
values, or with other buckets; a small bucket is a page inside its value. All numbers are
little-endian. Source: go.etcd.io/bbolt v1.4, internal/common (page.go, meta.go, bucket.go).
"""

import mmap
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

Buffer = bytes | mmap.mmap

_PAGE: Final = struct.Struct("<QHHI")
_META: Final = struct.Struct("<IIIIQQQQQ")
_BRANCH: Final = struct.Struct("<IIQ")
_LEAF: Final = struct.Struct("<IIII")
_BUCKET: Final = struct.Struct("<QQ")
_CHECKSUM: Final = struct.Struct("<Q")
_BRANCH_PAGE, _LEAF_PAGE = 0x01, 0x02
_IS_BUCKET: Final = 0x01
MAGIC: Final = 0xED0CDAED
_VERSION: Final = 2
_PAGE_SIZES: Final = tuple(1 << bits for bits in range(9, 17))


class Damaged(Exception):
    """Why a file cannot be read, on one line."""


class _Meta(msgspec.Struct, frozen=True):
    page_size: int
    root: int
    pages: int
    """All pages of the file have lower numbers."""
    txid: int


def is_bbolt(head: bytes) -> bool:
    """Whether a file that begins like this is one of bbolt."""
    at = _PAGE.size
    return len(head) >= at + 4 and int.from_bytes(head[at : at + 4], "little") == MAGIC


class Database:
    """The newest state in a file."""

    def __init__(self, data: Buffer) -> None:
        """Damaged if neither of its meta pages is valid, or it is shorter than they say."""
        self._data = data
        metas = [found for size in _PAGE_SIZES for at in (0, size) if (found := self._meta(at))]
        if not metas:
            raise Damaged("its first pages are not valid")
        newest = max(metas, key=lambda meta: meta.txid)
        self._page_size = newest.page_size
        self._root = newest.root
        if len(data) < newest.pages * newest.page_size:
            raise Damaged("it was cut short")

    def bucket(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a bucket of the top, in the order of keys. Damaged if it cannot be
        read, or there is none."""
        for flags, key, value in self._elements(self._root, set()):
            if key == name and flags & _IS_BUCKET:
                root, _ = self._unpacked(_BUCKET, value, 0)
                inline = value[_BUCKET.size :]
                found = self._elements(root, set()) if root else self._inline(inline)
                return ((key, value) for _, key, value in found)
        raise Damaged(f"it has no bucket {name.decode(errors='replace')}")

    def _meta(self, at: int) -> _Meta | None:
        begin, end = at + _PAGE.size, at + _PAGE.size + _META.size
        body, stored = self._data[begin:end], self._data[end : end + _CHECKSUM.size]
        if len(stored) < _CHECKSUM.size:
            return None
        magic, version, page_size, _, root, _, _, pages, txid = _META.unpack(body)
        if magic != MAGIC or version != _VERSION or page_size not in _PAGE_SIZES:
            return None
        if _fnv1a(body) != _CHECKSUM.unpack(stored)[0]:
            return None
        return _Meta(page_size, root, pages, txid)

    def _elements(self, page: int, seen: set[int]) -> Iterator[tuple[int, bytes, bytes]]:
        """(flags, key, value) of all leaves below a page; `seen`: the pages that were read."""
        begin = page * self._page_size
        if page in seen:
            raise Damaged(f"page {page} is in its tree twice")
        if begin + _PAGE.size > len(self._data):
            raise Damaged(f"page {page} is not in it")
        seen.add(page)
        number, flags, count, overflow = _PAGE.unpack(self._data[begin : begin + _PAGE.size])
        if number != page:
            raise Damaged(f"page {page} is not where it should be")
        whole = self._data[begin : begin + (overflow + 1) * self._page_size]
        if len(whole) != (overflow + 1) * self._page_size:
            raise Damaged(f"page {page} is cut short")
        if flags & _LEAF_PAGE:
            yield from self._inline(whole)
        elif flags & _BRANCH_PAGE:
            for index in range(count):
                at = _PAGE.size + index * _BRANCH.size
                _, _, below = self._unpacked(_BRANCH, whole, at)
                yield from self._elements(below, seen)
        else:
            raise Damaged(f"page {page} is no part of a tree")

    def _inline(self, page: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """(flags, key, value) of a leaf page."""
        _, _, count, _ = self._unpacked(_PAGE, page, 0)
        for index in range(count):
            at = _PAGE.size + index * _LEAF.size
            flags, offset, key_size, value_size = self._unpacked(_LEAF, page, at)
            begin = at + offset
            end = begin + key_size + value_size
            if end > len(page):
                raise Damaged("an element reaches out of its page")
            yield flags, page[begin : begin + key_size], page[begin + key_size : end]

    @staticmethod
    def _unpacked(form: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
        if at + form.size > len(data):
            raise Damaged("an element reaches out of its page")
        return form.unpack_from(data, at)


def _fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = ((found ^ byte) * 0x100000001B3) & (1 << 64) - 1
    return found
