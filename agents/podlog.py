"""The logs of fake containers as files, in the format that container runtimes write.

`DIR/<uid>/<container>.log`, lines `<RFC 3339 time> stdout F <text>`. Invariants: a file never
exceeds its bound (the older half is dropped); a failing disk never disturbs a pod.
"""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from agents.sync import LogLine
from cluster.api.timestamps import format_micro_time
from cluster.runtime.clock import Clock

MAX_BYTES: Final = 64 * 1024

_log = structlog.get_logger(__name__)


class PodLog:
    """Writes the log lines of pods below one directory."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._failing = False

    def write(self, pod_uid: str, lines: Iterable[LogLine]) -> None:
        """Append lines to the containers' files."""
        at = format_micro_time(self._clock.now())
        for line in lines:
            path = self._directory / pod_uid / f"{line.container}.log"
            try:
                _append(path, f"{at} stdout F {line.text}\n".encode())
            except OSError as error:
                if not self._failing:
                    self._failing = True
                    _log.warning("pod_log_failing", path=str(path), error=str(error))

    def remove(self, pod_uid: str) -> None:
        """The pod is gone, and its logs with it."""
        with suppress(OSError):
            shutil.rmtree(self._directory / pod_uid)


def _append(path: Path, line: bytes) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
    if size + len(line) <= MAX_BYTES:
        with path.open("ab") as file:
            file.write(line)
        return
    kept = path.read_bytes()[-MAX_BYTES // 2 :]
    path.write_bytes(kept[kept.find(b"\n") + 1 :] + line)
