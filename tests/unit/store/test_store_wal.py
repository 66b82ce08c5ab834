"""SQLite's log read without SQLite, against a writer that follows the format's text."""

import random
import struct

import pytest

from kubeherd.cluster.store.sqlite import wal

PAGE = 512
SALTS = (7, 0xFFFFFFFF)


def checksum(data: bytes, before: tuple[int, int], order: str) -> tuple[int, int]:
    """https://www.sqlite.org/fileformat2.html#checksum_algorithm, as written there."""
    s0, s1 = before
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + x0 + s1) & 0xFFFFFFFF
        s1 = (s1 + x1 + s0) & 0xFFFFFFFF
    return s0, s1


class Writer:
    """Writes a log; `at` is the number of the next frame, so old frames can be written over."""

    def __init__(self, order: str = "<", salts: tuple[int, int] = SALTS) -> None:
        self.order = order
        self.salts = salts
        head = struct.pack(">6I", 0x377F0682 + (order == ">"), 3007000, PAGE, 1, *salts)
        self.sum = checksum(head, (0, 0), order)
        self.data = bytearray(head + struct.pack(">2I", *self.sum))
        self.at = 0

    def frame(self, page: int, size_pages: int, content: bytes) -> None:
        head = struct.pack(">2I", page, size_pages)
        self.sum = checksum(content, checksum(head, self.sum, self.order), self.order)
        frame = head + struct.pack(">4I", *self.salts, *self.sum) + content
        start = 32 + self.at * len(frame)
        self.data[start : start + len(frame)] = frame
        self.at += 1

    def transaction(self, *pages: int, size_pages: int = 9) -> None:
        for page in pages:
            fill = bytes([page, self.at]) * (PAGE // 2)
            self.frame(page, size_pages if page == pages[-1] else 0, fill)

    def damaged(self, frame: int, at: int = 100) -> bytes:
        data = bytearray(self.data)
        data[32 + frame * (24 + PAGE) + at] ^= 0x40
        return bytes(data)


def three_transactions(order: str = "<") -> Writer:
    """Frames 0-1, 2, 3-5."""
    writer = Writer(order)
    writer.transaction(1, 2)
    writer.transaction(2)
    writer.transaction(3, 1, 4)
    return writer


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_newest_committed_version_of_each_page_counts(order: str) -> None:
    data = bytes(three_transactions(order).data)
    found = wal.read(data, PAGE)
    assert {number: data[at + 1] for number, at in found.pages.items()} == {1: 4, 2: 2, 3: 3, 4: 5}
    assert (found.size_pages, found.broken) == (9, False)


@pytest.mark.parametrize("order", ["<", ">"])
def test_checksums_of_many_random_frames(order: str) -> None:
    rng = random.Random(3)
    writer = Writer(order)
    for number in range(200):
        writer.frame(number + 1, 200, rng.choice((rng.randbytes(PAGE), b"\xff" * PAGE)))
    assert len(wal.read(bytes(writer.data), PAGE).pages) == 200
    for frame in (0, 77, 199):
        found = wal.read(writer.damaged(frame, at=24 + rng.randrange(PAGE)), PAGE)
        assert len(found.pages) == frame
        assert found.broken is (frame < 198)


@pytest.mark.parametrize("at", [0, 7, 9, 17, 100])
@pytest.mark.parametrize("frame", [0, 1, 2, 3, 4, 5])
def test_a_broken_transaction_before_another_is_damage(frame: int, at: int) -> None:
    """The last transaction may be an unfinished one, and so may the one before it once its commit
    frame no longer says what it is: the mark has to tell."""
    found = wal.read(three_transactions().damaged(frame, at), PAGE)
    if frame < 2 or (frame == 2 and at in (0, 100)):
        assert found.broken
    if frame > 2 and at != 7:  # 7: a frame inside a transaction says that it is a commit
        assert not found.broken
    assert set(found.pages) == ({1, 2} if frame > 1 else set())


@pytest.mark.parametrize("size", range(0, 32 + 6 * (24 + PAGE), 131))
def test_a_cut_log_is_an_older_one(size: int) -> None:
    writer = three_transactions()
    found = wal.read(bytes(writer.data[:size]), PAGE)
    frames = (size - 32) // (24 + PAGE)
    assert found.size_pages == (9 if frames >= 2 else 0)
    assert not found.broken


def test_the_last_transaction_may_be_there_in_parts() -> None:
    writer = three_transactions()
    for parts in range(1, 8):
        data = bytearray(writer.data)
        for number in range(3):
            if parts >> number & 1:  # this frame never reached the disk
                start = 32 + (3 + number) * (24 + PAGE)
                data[start : start + 24 + PAGE] = bytes(24 + PAGE)
        found = wal.read(bytes(data), PAGE)
        assert set(found.pages) == {1, 2}
        assert not found.broken


def test_older_frames_behind_a_log_that_began_anew_do_not_count() -> None:
    writer = three_transactions()
    old = bytes(writer.data)
    anew = Writer(salts=(8, 99))
    assert wal.read(bytes(anew.data) + old[32:], PAGE) == wal.Wal({}, 0, broken=False)
    anew.data += old[32:]
    anew.transaction(5, 6)
    found = wal.read(bytes(anew.data), PAGE)
    assert set(found.pages) == {5, 6}
    assert not found.broken


def test_commits_that_failed_at_their_sync_leave_frames_that_are_no_damage() -> None:
    """Each is written over the one before and does not link to what is left of it."""
    writer = Writer()
    writer.transaction(1)
    start = writer.sum
    for pages in ((1, 2, 3, 4), (5, 6)):
        writer.transaction(*pages)
        writer.at, writer.sum = 1, start
    writer.frame(7, 0, bytes(PAGE))  # the machine died within the next
    found = wal.read(bytes(writer.data), PAGE)
    assert set(found.pages) == {1}
    assert not found.broken


@pytest.mark.parametrize("at", range(32))
def test_a_header_that_is_not_whole_makes_an_empty_log(at: int) -> None:
    data = three_transactions().data
    data[at] ^= 1
    assert wal.read(bytes(data), PAGE) == wal.Wal({}, 0, broken=False)


def test_a_log_of_another_page_size_belongs_to_something_else() -> None:
    assert wal.read(bytes(three_transactions().data), 1024).broken


def test_the_image_has_the_size_of_the_last_commit() -> None:
    writer = Writer()
    writer.transaction(1, 4, size_pages=4)
    writer.transaction(2, size_pages=3)
    database = bytes([9]) * (5 * PAGE)
    log = bytes(writer.data)
    image = wal.apply(database, log, wal.read(log, PAGE), PAGE)
    assert [image[start] for start in range(0, len(image), PAGE)] == [1, 2, 9]
    assert wal.apply(database, b"", wal.read(b"", PAGE), PAGE) == database
