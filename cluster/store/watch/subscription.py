"""A watcher's subscription at the hub: a bounded queue of the events that it has not seen yet.

Invariants: it sees every matching event once and in the order of the revisions, or ends with
Expired. While a watcher waits in `next`, events may be given to its `serve` function instead of
waking its task: all earlier events are with its client by then.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

import msgspec

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.store.watch.deliveries import Delivery, WatchFilter

SERVED_BYTES: Final = 64 * 1024
"""If objects of more bytes are queued, they are left to the watcher's task, which waits until the
client has read."""

Serve = Callable[[Collection[Delivery]], bool]
"""Sends deliveries to the client without waiting; False if it sent none, so that the task must."""


class Limits(msgspec.Struct, frozen=True):
    """The limits of a queue."""

    events: int
    bytes: int


class Subscription:
    """A watcher's bounded queue; iterate with `next` until it raises.

    It has events newer than `since`, which may be a revision that this server has not reached yet,
    if the client has it from another one (apiserver/pkg/storage/cacher/cache_watcher.go, v1.36).
    """

    def __init__(
        self,
        wanted: WatchFilter,
        since: int,
        backlog: Iterable[Delivery],
        limits: Limits,
    ) -> None:
        self.filter = wanted
        self.since = since
        self._limits = limits
        self._queue: deque[Delivery] = deque(backlog)
        self._bytes = 0
        self._wake = asyncio.Event()
        self._serve: Serve | None = None
        self._due = False
        self._error: Expired | None = None
        self._closed = False
        self._interrupted = False
        if self._queue:
            self._wake.set()

    async def next(self, serve: Serve | None = None) -> list[Delivery]:
        """All queued deliveries; waits for at least one. Empty once the hub has closed.

        While this waits, `serve` may be given the deliveries instead. Raises Expired when this
        watcher fell too far behind, and TimeoutError when it was interrupted while nothing is
        queued.
        """
        self._serve = serve
        try:
            await self._wake.wait()
        finally:
            self._serve = None
        if self._error is not None:
            raise self._error
        interrupted, self._interrupted = self._interrupted, False
        deliveries = self.take()
        if interrupted and not deliveries and not self._closed:
            raise TimeoutError
        return deliveries

    def interrupt(self) -> None:
        """End the wait of `next`."""
        self._interrupted = True
        self._rouse()

    def _rouse(self) -> None:
        """Wake the task of the watcher, which then takes what is queued."""
        self._serve = None
        self._wake.set()

    def take(self) -> list[Delivery]:
        """What is queued now; may be empty."""
        deliveries = list(self._queue)
        self._queue.clear()
        self._bytes = 0
        if not self._closed and self._error is None:
            self._wake.clear()
        return deliveries

    def offer(self, delivery: Delivery, size: int) -> bool:
        """Queue a delivery of an object of `size` bytes; if the queue is full the subscription ends
        instead. Returns whether the hub is to serve it soon; by then more may be queued."""
        if self._error is not None or delivery.event.record.revision <= self.since:
            return False
        queue = self._queue
        self._bytes += size
        if len(queue) >= self._limits.events or self._bytes > self._limits.bytes:
            behind = len(queue)
            queue.clear()
            self._error = Expired(f"too old resource version: fell behind {behind} events")
            self._rouse()
            return False
        queue.append(delivery)
        if self._serve is None:
            self._wake.set()
            return False
        due, self._due = self._due, True
        return not due

    def serve(self) -> None:
        """Give what waits to the client at once if that can be, else to the task."""
        self._due = False
        serve, queue = self._serve, self._queue
        if serve is None or not queue:  # the task has taken it, or is about to
            return
        if self._bytes <= SERVED_BYTES and serve(queue):
            queue.clear()
            self._bytes = 0
        else:
            self._rouse()

    def expire(self) -> None:
        """What comes next is not known: list again."""
        self._queue.clear()
        self._error = Expired("too old resource version: the store was read anew")
        self._rouse()

    def close(self) -> None:
        """No more events will come."""
        self._closed = True
        self._rouse()
