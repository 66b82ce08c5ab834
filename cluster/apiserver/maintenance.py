"""What the API server does without being asked: expire events, keep the system namespaces.

Source: spec api-machinery, sections 8 (namespaces are checked every minute) and 19 (events live for
an hour after their last write).
"""

from collections import deque

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.apiserver import bootstrap, served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.runtime.clock import Clock

EVENT_TTL_S = 3600.0
INTERVAL_S = 60.0
_BATCH = 200
_SAMPLES = int(EVENT_TTL_S / INTERVAL_S) + 2


class Maintenance:
    """One pass a minute. Ages are told by revisions: an event whose revision the store had already
    passed an hour ago is an hour old, so no event needs decoding. After a restart the count
    begins anew."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)

    async def run(self) -> None:
        """Forever; the owner cancels it."""
        while True:
            await self.one_pass()
            await self._clock.sleep(INTERVAL_S)

    async def one_pass(self) -> None:
        """Expire what is due and restore what is missing."""
        now_s = self._clock.monotonic_s()
        cutoff = 0
        for taken_s, revision in self._samples:
            if now_s - taken_s >= EVENT_TTL_S:
                cutoff = revision
        self._samples.append((now_s, self._registry.store.revision))
        try:
            if cutoff:
                await self._expire(cutoff)
            await bootstrap.ensure_restored(self._registry, self._clock)
        except (errors.ServiceUnavailable, errors.OutcomeUnknown):
            return  # shutting down, disk full: the next pass tries again

    async def _expire(self, cutoff: int) -> None:
        kind = served.of(kinds.EVENTS)
        due = [r for r in self._registry.store.list(kind.key) if r.revision <= cutoff]
        for start in range(0, len(due), _BATCH):
            ctx = RequestContext(user=SERVER, now=self._clock.now(), asked=True)
            pending = [
                self._registry.stage_delete(kind, r.namespace, r.name, DeleteOptions(), ctx)
                for r in due[start : start + _BATCH]
                if self._registry.store.head(kind.key, r.namespace, r.name) is r
            ]
            await self._registry.commit_all(kind, pending)
