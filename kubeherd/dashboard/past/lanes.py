"""A herd over time as a few numbers, whatever its size: what the strip below the herd draws. Pure.

About one sample a second; of more than fit every other old one is left out.
"""

from collections import deque
from typing import Final

import msgspec

from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Health, Look

MAX_SAMPLES: Final = 1200
MAX_MARKS: Final = 500
_EVERY_S: Final = 1.0
_MARKED: Final = frozenset({"fault", "leader", "violation", "step"})


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A herd at one moment; the last three are sums over its workloads."""

    at: float
    nodes: int
    ready: int
    pods: int
    pods_ready: int
    faults: int
    desired: int
    updated: int
    unavailable: int


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A line of news."""

    at: float
    what: str
    about: str
    text: str


class Lanes(msgspec.Struct, frozen=True):
    """What the page gets."""

    samples: list[Sample]
    marks: list[Mark]


class Recorder:
    """Looks at one herd after the other as time goes by."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self._moved = -1
        self._told = 0

    def look(self, herd: Herd, at: float) -> None:
        """What there is at a moment; most of the time it has just been looked at."""
        last = self._samples[-1].at if self._samples else float("-inf")
        if at - last < _EVERY_S or herd.moved == self._moved:
            return
        self._moved = herd.moved
        self._mark(herd)
        self._samples.append(sample(herd, at))
        if len(self._samples) > MAX_SAMPLES:
            half = len(self._samples) // 2
            self._samples[:half] = self._samples[:half:2]

    def anew(self) -> None:
        """The next herd is another one."""
        self._told, self._moved = 0, -1

    def lanes(self) -> Lanes:
        """All there is."""
        return Lanes(list(self._samples), list(self._marks))

    def _mark(self, herd: Herd) -> None:
        fresh = min(herd.told - self._told, len(herd.news))
        self._told = herd.told
        for news in list(herd.news)[len(herd.news) - fresh :]:
            if news.what in _MARKED:
                self._marks.append(Mark(news.at, news.what, news.about, news.text))


def sample(herd: Herd, at: float) -> Sample:
    """A herd in numbers."""
    pods = list(herd.pods())
    parts = {of for one in herd.rollouts.values() for of in one.owners - {one.key}}
    workloads = [one for one in herd.rollouts.values() if one.key not in parts]
    return Sample(
        at,
        len(herd.nodes),
        sum(one.health is Health.READY for one in herd.nodes.values()),
        len(pods),
        sum(one.look is Look.READY for one in pods),
        len(herd.faults),
        sum(one.desired for one in workloads),
        sum(one.updated for one in workloads),
        sum(one.unavailable for one in workloads),
    )
