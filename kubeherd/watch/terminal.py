"""A terminal that is drawn on line by line: only lines that have changed are written again."""

import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from typing import TextIO

_HOME_AND_CLEAR = "\x1b[H\x1b[2J"
_BEGIN = "\x1b[?1049h\x1b[?25l" + _HOME_AND_CLEAR
_END = "\x1b[?25h\x1b[?1049l"


class Canvas:
    """The lines that a terminal shows now."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown: list[str] = []
        self._size = (0, 0)

    def size(self) -> tuple[int, int]:
        """Columns and rows, now."""
        found = os.get_terminal_size(self._out.fileno())
        return max(found.columns, 20), max(found.lines, 4)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines."""
        size = self.size()
        written = []
        if size != self._size:
            self._size, self._shown = size, []
            written.append(_HOME_AND_CLEAR)
        for row, line in enumerate(lines):
            if row >= len(self._shown) or self._shown[row] != line:
                written.append(f"\x1b[{row + 1};1H{line}\x1b[K")
        if len(lines) < len(self._shown):
            written.append(f"\x1b[{len(lines) + 1};1H\x1b[J")
        self._shown = list(lines)
        if written:
            self._out.write("".join(written))
            self._out.flush()


@contextlib.contextmanager
def taken(out: TextIO) -> Iterator[Canvas]:
    """The terminal as a canvas, keys as they are pressed; as it was before when this ends."""
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(keys) if keys is not None else None
    if keys is not None:
        tty.setcbreak(keys)
    out.write(_BEGIN)
    try:
        yield Canvas(out)
    finally:
        out.write(_END)
        out.flush()
        if keys is not None and before is not None:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
