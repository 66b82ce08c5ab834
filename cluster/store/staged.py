"""A write on its way from the event loop to the disk, and those who wait for it."""

import asyncio
from collections import deque

import msgspec

from kubeherd.cluster.api.errors import ApiError, Conflict
from kubeherd.cluster.store.engine import Row
from kubeherd.cluster.store.state import DELETED, Record, WatchEvent


class Superseded(Conflict):
    """Somebody else wrote what a write rests on, and it was not kept: decide again, on what can be
    seen now. To a client whose request nobody decides again it is a conflict like any other."""

    def __init__(self) -> None:
        super().__init__("the object has been modified meanwhile; please try again")


class Staged(msgspec.Struct):
    """A write that has a revision and waits for its commit; await it with `Store.committed`."""

    event: WatchEvent
    staged_as: int = 0
    """What stood for its revision until that was known, if it was not known from the start."""
    waiters: list[asyncio.Future[None]] = msgspec.field(default_factory=list)
    error: ApiError | None = None
    done: bool = False

    @property
    def revision(self) -> int:
        return self.event.record.revision

    @property
    def record(self) -> Record:
        return self.event.record

    @property
    def row(self) -> Row:
        """The write as the engine keeps it."""
        record = self.event.record
        return Row(
            record.revision,
            record.create_revision,
            self.event.type is DELETED,
            record.resource_key,
            record.namespace,
            record.name,
            record.json,
        )

    def finish(self, error: ApiError | None) -> None:
        """Tell those who wait, and those who will."""
        self.error = error
        self.done = True
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def outcome(self) -> Record:
        """What became of it, once it is done. Raises its error."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        return self.record


class Waits:
    """Waits that end after `timeout_s` real seconds at the latest, all by one timer: those that
    began first end first."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._begun: deque[tuple[float, asyncio.Future[None]]] = deque()
        """With their ends in the event loop's time; without those at the front that are over."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Future[None]:
        """To be awaited; whoever ends it sets a result. TimeoutError if nobody does."""
        loop, begun = asyncio.get_running_loop(), self._begun
        while begun and begun[0][1].done():
            begun.popleft()
        waiter: asyncio.Future[None] = loop.create_future()
        begun.append((loop.time() + self._timeout_s, waiter))
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s, self._end)
        return waiter

    def _end(self) -> None:
        loop, begun = asyncio.get_running_loop(), self._begun
        while begun and (begun[0][1].done() or begun[0][0] <= loop.time()):
            waiter = begun.popleft()[1]
            if not waiter.done():
                waiter.set_exception(TimeoutError("the commit takes too long"))
        self._timer = loop.call_at(begun[0][0], self._end) if begun else None

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
