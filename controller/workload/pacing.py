"""How soon a workload is planned again: a large one not for each event of one of its pods.

Invariants: planning takes at most a fifth of the time; after a plan that can only wait for pods,
the pause is about a fifth of the time that these pods need; no pause is longer than half a second.
"""

from kubeherd.cluster.runtime.clock import Clock

_FACTOR = 4.0
_MAX_PAUSE_S = 0.5
_AWAITED_POD_S = 0.0002
"""The pause for each pod that is awaited: a fifth of the time in which a server makes one. The
fewer are awaited the shorter the pause, so the last of many is noticed as soon as a single one."""
_MAX_AWAITING_S = 0.1


class Pacing:
    """When one workload may be planned again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before_s = 0.0

    def planned(self, started_s: float, *, awaited: int = 0) -> None:
        """A plan that was begun at `started_s` (monotonic) is ready: the pause is several times as
        long as it took.

        `awaited`: if all that the plan can do is to wait for pods, their number; else 0.
        """
        done_s = self._clock.monotonic_s()
        rest_s = min(_MAX_PAUSE_S, _FACTOR * (done_s - started_s))
        awaiting_s = min(_MAX_AWAITING_S, _AWAITED_POD_S * awaited)
        self._not_before_s = done_s + max(rest_s, awaiting_s)

    def pause_s(self) -> float:
        """Nominal seconds until it may be planned again, below zero if it may be already."""
        return self._not_before_s - self._clock.monotonic_s()
