"""The log files of fake containers: read once, or followed until their container ends.

An agent started with ``--pod-log-dir`` keeps ``<dir>/<pod uid>/<container>.log`` and, of the
container before the last restart, ``<container>.previous.log``, at most 64 KiB each. Invariants: a
file that is open stays that of its container (the agent renames it at a restart); what a container
wrote last is shown before its log ends; nobody is followed for more than an hour.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from kubeherd.cluster.api.helpers import logtext
from kubeherd.cluster.runtime.clock import Clock

_MAX_FILE_BYTES: Final = 1024 * 1024
_FOLLOW_EVERY_S: Final = 1.0
_FOLLOW_LIMIT_S: Final = 3600.0


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What of a log is shown: PodLogOptions."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None


class LogSource(msgspec.Struct, frozen=True):
    """Where a container's lines come from."""

    file: BinaryIO | None
    told: Callable[[], list[bytes]]
    """Its lines as long as there is no file: those of now."""
    reopen: Callable[[], BinaryIO | None]
    """Looks for the file again."""
    runs: Callable[[], Awaitable[bool]]
    """Whether the same container still runs."""


def open_log(
    directory: Path | None, uid: str, container: str, *, previous: bool
) -> BinaryIO | None:
    """A container's log file, None where there is none."""
    if directory is None:
        return None
    name = f"{container}.previous.log" if previous else f"{container}.log"
    try:
        return Path(directory, uid, name).open("rb", buffering=0)
    except OSError:
        return None


async def once(source: LogSource, options: LogOptions) -> bytes:
    """What is there now; closes the file."""
    if source.file is None:
        return _rendered(source.told(), options)
    return _rendered(await asyncio.to_thread(_read_once, source.file), options)


async def followed(
    source: LogSource, options: LogOptions, clock: Clock
) -> AsyncGenerator[bytes, None]:
    """What is there, then what comes, until the container ends, the limit or an hour is reached."""
    end_s = clock.monotonic_s() + _FOLLOW_LIMIT_S
    limit = options.limit_bytes
    seen = b""
    file = source.file
    try:
        while clock.monotonic_s() < end_s:
            # The state before the lines: what the container wrote last is there when it has ended.
            runs = await source.runs()
            if file is None:
                file = await asyncio.to_thread(source.reopen)
            lines = source.told() if file is None else await asyncio.to_thread(_read, file)
            text = _rendered(logtext.after(lines, seen), options)[:limit]
            if text:
                yield text
                if limit is not None and (limit := limit - len(text)) <= 0:
                    return
            seen = lines[-1] if lines else seen
            options = LogOptions(follow=True, timestamps=options.timestamps)
            if not runs:
                return
            await clock.sleep(_FOLLOW_EVERY_S)
    finally:
        if file is not None:
            file.close()


def _read(file: BinaryIO) -> list[bytes]:
    """All raw lines of a log file; none where it cannot be read."""
    try:
        return os.pread(file.fileno(), _MAX_FILE_BYTES, 0).splitlines(keepends=True)
    except OSError:
        return []


def _read_once(file: BinaryIO) -> list[bytes]:
    with file:
        return _read(file)


def _rendered(lines: list[bytes], options: LogOptions) -> bytes:
    shown = logtext.shown(lines, since=options.since, timestamps=options.timestamps)
    if options.tail_lines is not None:
        shown = shown[len(shown) - min(options.tail_lines, len(shown)) :]
    return b"".join(shown)[: options.limit_bytes]
