"""How soon a plan is made again: a large workload is not planned anew for each of its pods' events.

Invariant: planning takes at most a fifth of the time, and no change waits longer than half a
second for it.
"""

from kubeherd.cluster.runtime.clock import Clock

_FACTOR = 4.0
_MAX_PAUSE_S = 0.5


class Pacing:
    """When one workload may be planned again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before_s = 0.0

    def planned(self, started_s: float) -> None:
        """A plan was begun at `started_s` (monotonic) and is made: it rests several times as
        long."""
        done_s = self._clock.monotonic_s()
        self._not_before_s = done_s + min(_MAX_PAUSE_S, _FACTOR * (done_s - started_s))

    def pause_s(self) -> float:
        """Nominal seconds until it may be planned again, below zero if it may be already."""
        return self._not_before_s - self._clock.monotonic_s()
