"""Own writes that the caches have not seen yet: what replaces the expectations of Kubernetes.

A sync must not decide from a cache older than the last write of the sync before, or it would create
a pod twice. Every write's resourceVersion is noted; the next sync of that workload first waits
until the reflectors have reached it. Invariant: waiting ends after 5 minutes, when an expectation
of Kubernetes would expire.
"""

from contextlib import suppress
from typing import Any

import msgspec
import structlog

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.runtime.clock import Clock

EXPECTATIONS_TIMEOUT_S = 300.0
OPAQUE_REVISION_WAIT_S = 1.0
CHECK_INTERVAL_S = 5.0

_log = structlog.get_logger(__name__)


class _Wanted(msgspec.Struct, frozen=True):
    """A revision to wait for, and where the reflector was when it was noted.

    A reflector that went back behind that point follows another history (a server with an empty
    store): the revision will never come.
    """

    revision: int
    noted_at: int


class Written:
    """The newest own revision per reflector, of one workload."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wanted: dict[Reflector[Any], _Wanted] = {}
        self._opaque = False

    def note(self, reflector: Reflector[Any], resource_version: str) -> None:
        """Remember a write. A resourceVersion that is no number can only be waited for in time."""
        if not resource_version.isdigit():
            self._opaque = True
            return
        known = self._wanted.get(reflector)
        revision = int(resource_version)
        if known is None or known.revision < revision:
            self._wanted[reflector] = _Wanted(revision, reflector.revision)

    def unseen(self) -> list[Resource]:
        """Of which resources a write is noted that the cache does not show yet."""
        return [
            reflector.resource
            for reflector, wanted in self._wanted.items()
            if _is_behind(reflector, wanted)
        ]

    async def wait_seen(self) -> None:
        """Wait until the caches show all noted writes.

        After `EXPECTATIONS_TIMEOUT_S` nothing is noted any more: an expectation that expired is one
        no longer.
        """
        if not await self.settled(EXPECTATIONS_TIMEOUT_S):
            revisions = [wanted.revision for wanted in self._wanted.values()]
            _log.warning("own_writes_not_seen", revisions=revisions)
            self._wanted.clear()

    async def settled(self, timeout_s: float) -> bool:
        """Wait for the same, but not as long; False if some are not seen yet: they stay noted."""
        if self._opaque:
            await self._clock.sleep(OPAQUE_REVISION_WAIT_S)
            self._opaque = False
        deadline_s = self._clock.monotonic_s() + timeout_s
        for reflector, wanted in list(self._wanted.items()):
            if not await self._wait(reflector, wanted, deadline_s):
                return False
            del self._wanted[reflector]
        return True

    async def _wait(self, reflector: Reflector[Any], wanted: _Wanted, deadline_s: float) -> bool:
        while _is_behind(reflector, wanted):
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                return False
            with suppress(TimeoutError):
                await reflector.seen(wanted.revision, min(left_s, CHECK_INTERVAL_S))
        return True


def _is_behind(reflector: Reflector[Any], wanted: _Wanted) -> bool:
    return wanted.noted_at <= reflector.revision < wanted.revision
