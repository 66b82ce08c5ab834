"""What of a process is moved onto huge pages."""

import mmap
import sys

import pytest

from kubeherd.cluster.runtime import hugepages

MIB = 1024 * 1024
MAPS = """\
00200000-00800000 rw-p 00000000 00:00 0                                  [heap]
00a00000-00b00000 rw-p 00000000 00:00 0
00d00000-01200000 rw-p 00000000 00:00 0
02000000-02400000 ---p 00000000 00:00 0
03000000-03400000 rw-p 00000000 08:01 1234                               /usr/lib/a name.so
04000000-04400000 rw-s 00000000 00:00 0
05000000-05400000 rw-p 00000000 00:00 0                                  [stack]
"""


def test_places_are_whole_pieces_of_memory_that_belongs_to_no_file():
    found = [address // MIB for address in hugepages.places(MAPS)]
    assert found == [2, 4, 6, 14, 16]


@pytest.mark.parametrize("other", [b"\x00", b"\x01", b"\x80"], ids=["none", "gone", "shared"])
@pytest.mark.parametrize(("own", "full"), [(512, True), (480, True), (479, False), (0, False)])
def test_a_piece_is_full_if_nearly_all_of_its_pages_are_there_and_not_shared(
    own: int, full: bool, other: bytes
):
    entries = b"\0" * 7 + b"\x81", b"\xff" * 7 + other
    assert hugepages.is_full(entries[0] * own + entries[1] * (512 - own)) is full


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing happens")
async def test_what_is_moved_stays_what_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hugepages, "LARGE_BYTES", 0)
    monkeypatch.setattr(hugepages, "PAUSE_S", 0)
    with mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        content = bytes(range(256)) * (8 * MIB // 256)
        memory[:] = content
        await hugepages.use_if_large()
        assert memory[:] == content
