"""A large heap is moved onto huge pages.

A server of 5,000 nodes uses objects all over 200 MB, a few of each page of 4 KiB, and the processor
looks up most of these pages anew. On pages of 2 MiB heartbeats take it a twelfth less time. By
itself Linux gives these to programs that ask for them (`madvise`, the usual setting), which Python
does not; but what has been allocated can be moved (MADV_COLLAPSE, Linux 6.1).

Invariants: only where nearly all of 2 MiB is in use, so memory grows by a sixteenth at most; one
piece in a step of the event loop, which takes it some milliseconds, with pauses in between; a heap
that is small is left alone, and so is one elsewhere.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

HUGE_BYTES: Final = 2 * 1024 * 1024
LARGE_BYTES: Final = 128 * 1024 * 1024
"""A process with less memory is left alone."""
PAUSE_S: Final = 0.05
_PAGE_BYTES: Final = 4096
_PAGES: Final = HUGE_BYTES // _PAGE_BYTES
_FULL: Final = _PAGES - _PAGES // 16
_ENTRY_BYTES: Final = 8
_OWN: Final = 0x81
"""In the last byte of an entry of /proc/self/pagemap: the page is in memory, and this process's
alone. What a fork shares with its parent would be there twice when it is moved."""
_MADV_COLLAPSE: Final = 25
_HEAP: Final = ("", "[heap]")
_PROC: Final = Path("/proc/self")


def places(maps: str) -> Iterator[int]:
    """The addresses of all pieces of 2 MiB that a heap may hold, by what /proc/self/maps says."""
    for line in maps.splitlines():
        bounds, rights, _, _, _, *name = line.split(maxsplit=5)
        if rights == "rw-p" and "".join(name) in _HEAP:
            begin, end = (int(text, 16) for text in bounds.split("-"))
            first = -(-begin // HUGE_BYTES) * HUGE_BYTES
            yield from range(first, end - HUGE_BYTES + 1, HUGE_BYTES)


def is_full(entries: bytes) -> bool:
    """Whether nearly all pages of 2 MiB are in memory and this process's alone, by their entries in
    /proc/self/pagemap."""
    return sum(last & _OWN == _OWN for last in entries[_ENTRY_BYTES - 1 :: _ENTRY_BYTES]) >= _FULL


async def use_if_large() -> None:
    """Move this process's heap onto huge pages, if it is large and that can be done."""
    if sys.platform != "linux" or os.sysconf("SC_PAGESIZE") != _PAGE_BYTES:
        return
    with suppress(OSError):
        resident = int((_PROC / "statm").read_text().split()[1]) * _PAGE_BYTES
        if resident >= LARGE_BYTES:
            with (_PROC / "pagemap").open("rb", buffering=0) as pagemap:
                await _move((_PROC / "maps").read_text(), pagemap.fileno())


async def _move(maps: str, pagemap: int) -> None:
    madvise = ctypes.CDLL(None).madvise
    size, advice = ctypes.c_size_t(HUGE_BYTES), ctypes.c_int(_MADV_COLLAPSE)
    for address in places(maps):
        entries = os.pread(pagemap, _PAGES * _ENTRY_BYTES, address // _PAGE_BYTES * _ENTRY_BYTES)
        if is_full(entries):
            madvise(ctypes.c_void_p(address), size, advice)  # where it cannot be, it is as it was
            await asyncio.sleep(PAUSE_S)
