"""Log lines that strangers can cause: a burst of them gives one line, not a full disk."""

from typing import Any

import structlog

from kubeherd.cluster.runtime.clock import Clock

_log = structlog.get_logger(__name__)


class Seldom:
    """One kind of warning, at most once in `every_s` nominal seconds; the next line says in
    `left_out` how many were not written in between."""

    def __init__(self, event: str, clock: Clock, every_s: float = 10.0) -> None:
        self._event = event
        self._clock = clock
        self._every_s = every_s
        self._next_s = 0.0
        self._left_out = 0

    def warn(self, **facts: Any) -> None:
        """Log the warning with these facts, or count it."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            self._left_out += 1
            return
        _log.warning(self._event, left_out=self._left_out, **facts)
        self._next_s = now_s + self._every_s
        self._left_out = 0
