"""What the API server does without being asked: expire events, forget the past, keep the system
namespaces.

Source: spec api-machinery, sections 8 (namespaces are checked every minute) and 19 (events live for
an hour after their last write); apiserver/pkg/storage/etcd3/compact.go, v1.36 (what happened can be
asked for for five minutes).
"""

from collections import deque

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.apiserver import bootstrap, served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.read.listing import CONTINUE_S
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.apiserver.write.storedform import EVENT_TTL_S
from kubeherd.cluster.runtime.clock import Clock

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
        store = self._registry.store
        expired, past = (
            self._revision_at(now_s - EVENT_TTL_S),
            self._revision_at(now_s - CONTINUE_S),
        )
        self._samples.append((now_s, store.revision))
        try:
            await store.forget(past)
            if expired and not store.expires:
                await self._expire(expired)
            await bootstrap.ensure_restored(self._registry, self._clock)
        except (errors.ServiceUnavailable, errors.OutcomeUnknown):
            return  # shutting down, disk full: the next pass tries again

    def _revision_at(self, then_s: float) -> int:
        """The newest revision that the store had then; 0 if that is not known."""
        return max(
            (revision for taken_s, revision in self._samples if taken_s <= then_s), default=0
        )

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
            await self._registry.outcomes.commit_all(kind, pending)
