"""The ends of files: of a log, which may be long."""

from pathlib import Path
from typing import Final

import msgspec

MAX_BYTES: Final = 4 * 1024 * 1024


class Tail(msgspec.Struct, frozen=True):
    """The newest lines; `truncated`: there are more before."""

    lines: list[str]
    truncated: bool


def tail(path: Path, lines: int, max_bytes: int = MAX_BYTES) -> Tail:
    """The last lines of a file, as many as are in its last `max_bytes`. OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        begin = max(0, size - max_bytes)
        file.seek(begin)
        data = file.read(max_bytes)
    found = data.decode(errors="replace").splitlines()
    whole = found[1:] if begin else found  # the first may be half a line
    return Tail(whole[-lines:], begin > 0 or len(whole) > lines)
