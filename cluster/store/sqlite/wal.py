"""SQLite's write-ahead log, read without SQLite: what of it counts, and whether some of it broke.

SQLite itself takes the log up to the first frame that is not whole and forgets the rest without a
word, which is right after a power cut and loses acknowledged writes after damage. Pure: bytes in,
a value out. Source: https://www.sqlite.org/fileformat2.html, section 4.

The log is a header of 32 bytes, then frames: a header of 24 bytes (page number; size of the
database in pages if the frame ends a transaction, else 0; two salts; two checksums) and a page.
A frame's checksum goes on from that of the frame before. When everything was copied into the
database the log is begun anew from the top, with new salts, over the old frames.

A crash can leave: no log, an empty one, a header that is not whole (nothing was committed under
it yet), frames of older salts behind the newest ones, and behind the last commit the frames of one
transaction in any state, because they reach the disk in any order. It can not leave a broken
transaction with a later one behind it: each is synced before the next is begun. So a frame that
goes on from the checksum of a commit frame which does not count itself is proof of damage. (That
it goes on from it matters: a commit that failed at its sync leaves frames too, but what is written
over them next does not link to their rest.) Whether the *last* transactions are missing cannot be
told from here; see `mark`.
"""

import mmap
import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24

_MAGIC = 0x377F0682  # + 1: checksums take words as big-endian
_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_LANE_BYTES = 8
_LANE_SUM = (1 << 32) - 1
_WORDS_BETWEEN_MASKS = 16
"""A checksum step at most triples a lane: 32 bits of room last for 20 steps."""


class Wal(msgspec.Struct, frozen=True):
    """What counts in a log: pages of committed transactions, the newest version of each."""

    pages: dict[int, int]
    """Page number -> where in the log the page begins."""
    size_pages: int
    """Size of the database after the last commit; 0 if there is none in the log."""
    broken: bool
    """Committed transactions lie behind a frame that is not whole: no crash does that."""


class _Frame(NamedTuple):
    page: int
    size_pages: int
    salt1: int
    salt2: int
    checksum1: int
    checksum2: int


_NOTHING = Wal({}, 0, broken=False)


Buffer = bytes | mmap.mmap


def read(data: Buffer, page_size: int) -> Wal:
    """The log's content for a database of this page size.

    A header that is not whole makes it an empty log, as for SQLite; a whole one of another page
    size cannot belong to the database: broken.
    """
    if len(data) < HEADER_BYTES:
        return _NOTHING
    magic, _version, log_page_size, _sequence, *salts, check1, check2 = _HEADER.unpack_from(data)
    if magic & ~1 != _MAGIC:
        return _NOTHING
    big_endian = bool(magic & 1)
    header_sum = _checksums(data[:FRAME_HEADER_BYTES], [(0, 0)], big_endian)
    if header_sum != [(check1, check2)]:
        return _NOTHING
    if log_page_size != page_size:
        return Wal({}, 0, broken=True)
    stride = FRAME_HEADER_BYTES + page_size
    frames = _current(data, stride, salts)
    linked = _linked(data, stride, frames, (check1, check2), big_endian)
    whole = linked.index(False) if False in linked else len(linked)
    counted = max((i + 1 for i in range(whole) if frames[i].size_pages), default=0)
    first = HEADER_BYTES + FRAME_HEADER_BYTES
    return Wal(
        {frames[index].page: first + index * stride for index in range(counted)},
        frames[counted - 1].size_pages if counted else 0,
        broken=any(frames[i].size_pages and linked[i + 1] for i in range(counted, len(frames) - 1)),
    )


def apply(database: Buffer, log: Buffer, wal: Wal, page_size: int) -> bytearray:
    """The database file as it is once what counts of its log is copied into it."""
    image = bytearray(database)
    if wal.size_pages:
        size = wal.size_pages * page_size
        del image[size:]
        image.extend(bytes(size - len(image)))
    for number, at in wal.pages.items():
        if number <= wal.size_pages:
            image[(number - 1) * page_size : number * page_size] = log[at : at + page_size]
    return image


def _current(data: Buffer, stride: int, salts: Sequence[int]) -> list[_Frame]:
    """Frame headers up to the last one with these salts: what is behind is older."""
    count = (len(data) - HEADER_BYTES) // stride
    frames = [
        _Frame._make(_FRAME_HEADER.unpack_from(data, HEADER_BYTES + index * stride))
        for index in range(count)
    ]
    while frames and [frames[-1].salt1, frames[-1].salt2] != salts:
        frames.pop()
    return frames


def _linked(
    data: Buffer,
    stride: int,
    frames: Sequence[_Frame],
    header_sum: tuple[int, int],
    big_endian: bool,
) -> list[bool]:
    """Of each frame, whether it is whole and goes on from the checksum stored in the one before."""
    if not frames:
        return []
    stored = [header_sum, *((frame.checksum1, frame.checksum2) for frame in frames)]
    words = data[HEADER_BYTES : HEADER_BYTES + len(frames) * stride]
    sums = _checksums(words, stored[:-1], big_endian, skip=range(8, FRAME_HEADER_BYTES))
    salts = frames[-1].salt1, frames[-1].salt2
    return [
        found == expected and frame.page != 0 and (frame.salt1, frame.salt2) == salts
        for found, expected, frame in zip(sums, stored[1:], frames, strict=True)
    ]


def _checksums(
    data: bytes,
    before: Sequence[tuple[int, int]],
    big_endian: bool,
    skip: range = range(0),
) -> list[tuple[int, int]]:
    """SQLite's checksum of each of `len(before)` equal blocks, each going on from its `before`.

    The blocks are summed side by side, each in a lane of 64 bits of one large integer: a loop over
    the words of a 16 MB log would take half a second, this takes a twentieth (bytes of a block in
    `skip` do not count).
    """
    count = len(before)
    if big_endian:
        data = _swapped(data)
    pairs = memoryview(data).cast("Q")  # two words each, so a lane's halves
    stride = len(pairs) // count
    low = int.from_bytes(_LANE_SUM.to_bytes(_LANE_BYTES, "little") * count, "little")
    sum1 = _to_lanes([first for first, _ in before])
    sum2 = _to_lanes([second for _, second in before])
    for step in range(stride):
        if step * _LANE_BYTES in skip:
            continue
        lanes = int.from_bytes(pairs[step::stride].tobytes(), "little")
        sum1 += (lanes & low) + sum2
        sum2 += (lanes >> 32 & low) + sum1
        if step % _WORDS_BETWEEN_MASKS == 0:
            sum1 &= low
            sum2 &= low
    return list(zip(_from_lanes(sum1 & low, count), _from_lanes(sum2 & low, count), strict=True))


def _to_lanes(values: Sequence[int]) -> int:
    return int.from_bytes(struct.pack(f"<{len(values)}Q", *values), "little")


def _from_lanes(lanes: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}Q", lanes.to_bytes(count * _LANE_BYTES, "little"))


def _swapped(data: bytes) -> bytes:
    words = len(data) // 4
    return struct.pack(f"<{words}I", *struct.unpack(f">{words}I", data))
