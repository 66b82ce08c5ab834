"""One heap for all threads, where the C library is glibc.

It gives each thread a heap of its own, which keeps what it once had: a thread that makes an earlier
moment of a thousand nodes would hold 4 MB for the next one.
"""

import contextlib
import ctypes
from typing import Final

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of mallopt(3)."""


def one_heap() -> None:
    """Before there are threads."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
