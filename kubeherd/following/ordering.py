"""Events of many watches, put in the order of their revisions. Pure.

Each watch tells in order, but one may be behind another. An event is given out when every watch is
past its revision, as its events and bookmarks tell, or when it has waited for long: a collection in
which nothing happens may have no bookmark for a minute.
"""

import heapq
from collections.abc import Iterator
from typing import Final

from kubeherd.history import Write

WAIT_S: Final = 2.0
MAX_WAITING: Final = 100_000


class Ordering:
    """Takes writes as they come and gives them out in order; one waits for the others for `wait_s`
    at most."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._passed: dict[str, int] = {}
        self._waiting: list[tuple[int, int, Write]] = []
        self._number = 0
        self._newest = 0
        self.late = 0
        """Writes that came when a newer one had been given out."""

    def passed(self, resource: str, revision: int) -> None:
        """A watch has told all up to this revision."""
        self._passed[resource] = max(self._passed.get(resource, 0), revision)

    def dropped(self, resource: str) -> None:
        """A resource is not watched any more."""
        self._passed.pop(resource, None)

    def add(self, write: Write) -> None:
        """An event of a watch."""
        self._number += 1
        heapq.heappush(self._waiting, (write.revision, self._number, write))
        self.passed(write.resource, write.revision)

    def ready(self, now: float) -> Iterator[Write]:
        """What can be given out; `now` is by the clock of the writes."""
        safe = min(self._passed.values(), default=0)
        while self._waiting:
            revision, _, write = self._waiting[0]
            full = len(self._waiting) > MAX_WAITING
            if revision > safe and write.at > now - self._wait_s and not full:
                return
            heapq.heappop(self._waiting)
            self.late += revision < self._newest
            self._newest = max(self._newest, revision)
            yield write

    def rest(self) -> Iterator[Write]:
        """All that is left."""
        return self.ready(float("inf"))
