"""The ends of a command's streams: pipes, or one pseudo-terminal for all of them.

Invariant: leaving the context closes every descriptor that is still open here.
"""

import fcntl
import os
import pty
import struct
import termios
from subprocess import DEVNULL
from typing import Final

from kubeherd.cluster.apiserver.streams.session import Streams

END_OF_INPUT: Final = b"\x04"
"""What is typed to end the input of a program on a terminal."""
_MAX_CELLS: Final = 0xFFFF


class Ends:
    """`stdin`, `stdout` and `stderr` are the server's ends, non-blocking, None where there is
    none; `theirs` are the process's, closed here by `handed_over`."""

    def __init__(self) -> None:
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        self.theirs: list[int] = [DEVNULL, DEVNULL, DEVNULL]
        self.terminal: str = ""
        """The path of the terminal, if it is one."""
        self._ours: list[int] = []

    def __enter__(self) -> "Ends":
        return self

    def __exit__(self, *_: object) -> None:
        self.handed_over()
        while self._ours:
            os.close(self._ours.pop())
        self.stdin = self.stdout = self.stderr = None

    def handed_over(self) -> None:
        """The process has its ends, or will never want them."""
        for descriptor in {one for one in self.theirs if one >= 0}:
            os.close(descriptor)
        self.theirs = [DEVNULL, DEVNULL, DEVNULL]

    def own(self, descriptor: int) -> int:
        """Take over a descriptor as the server's."""
        os.set_blocking(descriptor, False)
        self._ours.append(descriptor)
        return descriptor

    def end_input(self) -> None:
        """There will be no more input; a terminal has to be told by typing."""
        if self.stdin is not None and not self.terminal:
            self._ours.remove(self.stdin)
            os.close(self.stdin)
            self.stdin = None

    def resize(self, columns: int, rows: int) -> None:
        """The client's window has this size now."""
        fits = 0 < columns <= _MAX_CELLS and 0 < rows <= _MAX_CELLS
        if self.terminal and self._ours and fits:
            size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self._ours[0], termios.TIOCSWINSZ, size)


def pipes(streams: Streams) -> Ends:
    """A pipe for each stream that is wanted."""
    ends = Ends()
    if streams.stdin:
        ends.theirs[0], ours = os.pipe()
        ends.stdin = ends.own(ours)
    if streams.stdout:
        ours, ends.theirs[1] = os.pipe()
        ends.stdout = ends.own(ours)
    if streams.stderr:
        ours, ends.theirs[2] = os.pipe()
        ends.stderr = ends.own(ours)
    return ends


def terminal(streams: Streams) -> Ends:
    """A pseudo-terminal, which the process opens by its path; what it shows has to be read."""
    ends = Ends()
    ours, theirs = pty.openpty()
    ends.stdout = ends.own(ours)
    ends.theirs = [theirs, theirs, theirs]
    ends.terminal = os.ttyname(theirs)
    if streams.stdin:
        ends.stdin = ours
    return ends
