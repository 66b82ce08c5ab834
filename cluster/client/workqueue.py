"""The work queue of controllers, with the semantics of client-go's rate limiting queue.

Invariants: a key waits at most once; a key that is being processed is never handed out a second
time at once, but if it was added meanwhile it is queued again by `done`. Delayed keys need no task:
whoever waits in `get` also waits for the next due time.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.metrics import Histogram, exponential, stopwatch_s
from kubeherd.cluster.runtime.rng import Rng

K = TypeVar("K", bound=Hashable)

BASE_DELAY_S = 0.005
MAX_DELAY_S = 1000.0
BUCKET_PER_S = 10.0
BUCKET_BURST = 100
JITTER = 0.1
EARLY_S = 1e-6
"""A delayed key may be handed out so much early. A loop's timers fire up to a clock tick early: who
waited for the rest again could do so for ever where time only moves when all are waiting."""
_BOUNDS_S = exponential(10e-9, 10, 10)


class QueueClosed(Exception):
    """The queue was closed and holds nothing more to do."""


class Measures(Generic[K]):
    """What a queue counts; durations are real seconds."""

    __slots__ = ("adds", "queued_s", "retries", "started_s", "waited", "worked")

    def __init__(self) -> None:
        self.adds = 0
        self.retries = 0
        self.waited = Histogram(_BOUNDS_S)
        self.worked = Histogram(_BOUNDS_S)
        self.queued_s: dict[K, float] = {}
        self.started_s: dict[K, float] = {}

    def added(self, key: K) -> None:
        self.adds += 1
        self.queued_s[key] = stopwatch_s()

    def taken(self, key: K) -> None:
        now_s = self.started_s[key] = stopwatch_s()
        self.waited.observe(now_s - self.queued_s.pop(key, now_s))

    def done(self, key: K) -> None:
        started_s = self.started_s.pop(key, None)
        if started_s is not None:
            self.worked.observe(stopwatch_s() - started_s)


class WorkQueue(Generic[K]):
    """Keys to reconcile. All delays are nominal seconds."""

    def __init__(
        self,
        clock: Clock,
        rng: Rng,
        *,
        base_delay_s: float = BASE_DELAY_S,
        max_delay_s: float = MAX_DELAY_S,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._base_delay_s = base_delay_s
        self._max_delay_s = max_delay_s
        self._queue: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._due: list[tuple[float, int, K]] = []
        self._due_at: dict[K, float] = {}
        self._sequence = 0
        self._bucket = _Bucket(BUCKET_PER_S, BUCKET_BURST)
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._closed = False
        self.measures: Measures[K] = Measures()

    def __len__(self) -> int:
        """How many keys could be handed out now."""
        self._promote_due()
        return len(self._queue)

    def add(self, key: K) -> None:
        """Queue a key, unless it waits already; one in processing is queued when it is done."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        self.measures.added(key)
        if key not in self._processing:
            self._queue.append(key)
            self._wake_one()

    def add_after(self, key: K, delay_s: float) -> None:
        """Queue a key after a delay; the earliest of several delays for a key counts."""
        if delay_s <= 0:
            self.add(key)
            return
        if self._closed:
            return
        self.measures.retries += 1
        due_s = self._clock.monotonic_s() + delay_s
        known = self._due_at.get(key)
        if known is not None and known <= due_s:
            return
        self._due_at[key] = due_s
        self._sequence += 1
        heapq.heappush(self._due, (due_s, self._sequence, key))
        self._wake_one()

    def add_rate_limited(self, key: K) -> None:
        """Queue a key after its back-off: 5 ms, doubling to 1000 s; all keys share 10 a second."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff_s = min(self._max_delay_s, self._base_delay_s * 2 ** min(failures, 64))
        delay_s = max(backoff_s, self._bucket.reserve_s(self._clock.monotonic_s()))
        self.add_after(key, self._rng.jittered(delay_s, JITTER))

    def forget(self, key: K) -> None:
        """The key succeeded: its next back-off begins anew."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, to be given back with `done`; QueueClosed when closed and empty."""
        while True:
            self._promote_due()
            if self._queue:
                key = self._queue.popleft()
                self._dirty.discard(key)
                self._processing.add(key)
                self.measures.taken(key)
                return key
            if self._closed:
                raise QueueClosed
            await self._wait()

    def done(self, key: K) -> None:
        """Processing of a key ended; queue it again if it was added meanwhile."""
        self._processing.discard(key)
        self.measures.done(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake_one()

    def close(self) -> None:
        """Take no more keys; `get` hands out what waits already, then raises QueueClosed."""
        self._closed = True
        self._due.clear()
        self._due_at.clear()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _promote_due(self) -> None:
        if not self._due:
            return
        now_s = self._clock.monotonic_s() + EARLY_S
        while self._due and self._due[0][0] <= now_s:
            due_s, _, key = heapq.heappop(self._due)
            if self._due_at.get(key) == due_s:
                del self._due_at[key]
                self.add(key)

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            if not self._due:
                await waiter
                return
            delay_s = max(0.0, self._due[0][0] - self._clock.monotonic_s())
            try:
                await self._clock.wait_for(waiter, delay_s)
            except TimeoutError:
                return
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_one(but=waiter)  # pass on the wake-up that nobody will use
            raise
        finally:
            del self._waiters[waiter]

    def _wake_one(self, but: "asyncio.Future[None] | None" = None) -> None:
        for waiter in self._waiters:
            if waiter is not but and not waiter.done():
                waiter.set_result(None)
                return


class _Bucket:
    """A token bucket that lets one reserve tokens of the future."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._updated_s = 0.0

    def reserve_s(self, now_s: float) -> float:
        """Take a token; returns how long to wait for it."""
        gained = (now_s - self._updated_s) * self._per_s
        self._tokens = min(float(self._burst), self._tokens + gained) - 1.0
        self._updated_s = now_s
        return max(0.0, -self._tokens / self._per_s)
