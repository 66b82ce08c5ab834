"""What a command shows in a terminal, as an SVG."""

import asyncio
import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rich.console import Console
from rich.text import Text

_PLACED = re.compile(r"\x1b\[(\d+);1H(.*?)(?=\x1b\[\d+;1H|\x1b\[H|\x1b\[\?|$)", re.DOTALL)
_ENDINGS = re.compile(r"\x1b\[[KJ]")
_FONT_FACE = re.compile(r"@font-face {.*?}", re.DOTALL)
"""rich's pictures load fonts from the web: whoever looks at them has his own."""


class Terminal:
    """What a command has written to a terminal."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self._written = bytearray()

    def read(self, descriptor: int) -> None:
        """Take what has come."""
        self._written += os.read(descriptor, 65536)

    def picture(self, title: str) -> str:
        """The screen as it is now, as an SVG."""
        console = Console(record=True, width=self.columns, file=io.StringIO(), force_terminal=True)
        for line in screen(self._written.decode(errors="replace")):
            console.print(Text.from_ansi(line), no_wrap=True, crop=True)
        return _FONT_FACE.sub("", console.export_svg(title=title))


def screen(output: str) -> list[str]:
    """The lines on a terminal after this output: each begins with its place."""
    lines: dict[int, str] = {}
    for place, text in _PLACED.findall(output):
        row = int(place)
        lines[row] = _ENDINGS.sub("", text).rstrip("\r\n")
        if text.endswith("\x1b[J"):
            lines = {at: line for at, line in lines.items() if at < row}
    return [lines.get(row, "") for row in range(1, max(lines, default=0) + 1)]


@asynccontextmanager
async def on_a_terminal(
    command: Sequence[str], columns: int = 120, rows: int = 34
) -> AsyncIterator[Terminal]:
    """A command that draws line by line (`kubeherd watch`), while its screen is wanted."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=inner, stdout=inner, stderr=inner, env=os.environ | {"TERM": "xterm"}
    )
    os.close(inner)
    terminal, loop = Terminal(columns, rows), asyncio.get_running_loop()
    loop.add_reader(outer, terminal.read, outer)
    try:
        yield terminal
    finally:
        loop.remove_reader(outer)
        process.kill()
        await process.wait()
        os.close(outer)
