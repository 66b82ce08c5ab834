"""The logs of fake containers as files, in the format that container runtimes write.

`DIR/<uid>/<container>.log` and, of the container before the last restart,
`DIR/<uid>/<container>.previous.log`, lines `<RFC 3339 time> stdout F <text>`. Invariants: a file
never exceeds its bound (the older half is dropped); a failing disk never disturbs a pod. Plain
system calls instead of pathlib: with hundreds of pods that start at once, paths cost more than all
else.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from kubeherd.agents.pods.sync import LogKind, LogLine
from kubeherd.cluster.api.timestamps import format_micro_time
from kubeherd.cluster.runtime.clock import Clock

MAX_BYTES: Final = 64 * 1024
_APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW

_log = structlog.get_logger(__name__)


class PodLog:
    """Writes the log lines of pods below one directory."""

    def __init__(self, directory: Path, clock: Clock, *, notes: bool = True) -> None:
        """Without `notes` only output is written: with a thousand pods at once a file for each
        would cost more than the pods."""
        self._directory = directory
        self._notes = notes
        self._clock = clock
        self._failing = False

    def write(self, pod_uid: str, lines: Iterable[LogLine]) -> None:
        """Append lines to the containers' files."""
        at = format_micro_time(self._clock.now())
        for line in lines:
            if line.kind is LogKind.NOTE and not self._notes:
                continue
            path = f"{self._directory}/{pod_uid}/{line.container}.log"
            try:
                if line.kind is LogKind.BEGIN:
                    _set_aside(path)
                    continue
                _append(path, f"{at} stdout F {line.text}\n".encode())
            except OSError as error:
                if not self._failing:
                    self._failing = True
                    _log.warning("pod_log_failing", path=path, error=str(error))

    def remove(self, pod_uid: str) -> None:
        """The pod is gone, and its logs with it."""
        directory = f"{self._directory}/{pod_uid}"
        with suppress(OSError):
            for name in os.listdir(directory):  # noqa: PTH208 - a hot path, see the module
                os.unlink(f"{directory}/{name}")  # noqa: PTH108
            os.rmdir(directory)  # noqa: PTH106


def _set_aside(path: str) -> None:
    previous = f"{path.removesuffix('.log')}.previous.log"
    with suppress(FileNotFoundError):
        try:
            os.replace(path, previous)  # noqa: PTH105
        except FileNotFoundError:
            os.unlink(previous)  # noqa: PTH108


def _append(path: str, line: bytes) -> None:
    try:
        file = os.open(path, _APPEND, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
        file = os.open(path, _APPEND, 0o600)
    try:
        size = os.fstat(file).st_size
        if size + len(line) > MAX_BYTES:
            kept = os.pread(file, MAX_BYTES // 2, size - MAX_BYTES // 2)
            os.ftruncate(file, 0)
            os.write(file, kept[kept.find(b"\n") + 1 :])
        os.write(file, line)
    finally:
        os.close(file)
