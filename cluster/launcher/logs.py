"""Reading the processes' logs (JSON lines, see `cluster.runtime.logging`)."""

import json
from pathlib import Path

_TAIL_BYTES = 16384


def last_words(path: Path) -> str:
    """The last line of a log as text for a person: what a process said before it ended.

    Of a JSON line the error (or the event) counts, of plain text the line itself. Empty if there
    is nothing to read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    try:
        entry = json.loads(last)
    except ValueError:
        return last
    if not isinstance(entry, dict):
        return last
    return str(entry.get("error") or entry.get("event") or last)
