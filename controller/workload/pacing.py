"""How soon a plan is made again: a large workload is not planned anew for each of its pods' events.

Invariants: planning takes at most a fifth of the time; a plan that had nothing to do but wait for
pods rests a fifth of what these will need at least; no change waits longer than half a second.
"""

from kubeherd.cluster.runtime.clock import Clock

_FACTOR = 4.0
_MAX_PAUSE_S = 0.5
_AWAITED_POD_S = 0.0002
"""A fifth of what a pod costs a server that makes one after the other. The last of many pods is
seen as soon as one that is alone: the fewer are awaited, the shorter the rest."""
_MAX_AWAITING_S = 0.1


class Pacing:
    """When one workload may be planned again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before_s = 0.0

    def planned(self, started_s: float, *, awaited: int = 0) -> None:
        """A plan was begun at `started_s` (monotonic) and is made: it rests several times as
        long.

        `awaited`: so many pods are on their way, and there is nothing to do until they come; 0 for
        a plan that does something.
        """
        done_s = self._clock.monotonic_s()
        rest_s = min(_MAX_PAUSE_S, _FACTOR * (done_s - started_s))
        awaiting_s = min(_MAX_AWAITING_S, _AWAITED_POD_S * awaited)
        self._not_before_s = done_s + max(rest_s, awaiting_s)

    def pause_s(self) -> float:
        """Nominal seconds until it may be planned again, below zero if it may be already."""
        return self._not_before_s - self._clock.monotonic_s()
