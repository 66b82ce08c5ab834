"""A write on its way from the event loop to the disk, and those who wait for it."""

import asyncio

import msgspec

from kubeherd.cluster.api.errors import ApiError, Conflict
from kubeherd.cluster.store.engine import Row
from kubeherd.cluster.store.state import EventType, Record, WatchEvent


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
            self.event.type is EventType.DELETED,
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

    async def finished(self, timeout_s: float) -> Record:
        """Wait for `finish`. Raises its error; TimeoutError after `timeout_s` real seconds."""
        if not self.done:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            self.waiters.append(waiter)
            giving_up = loop.call_later(timeout_s, _give_up, waiter)
            try:
                await waiter
            finally:
                giving_up.cancel()
        if self.error is not None:
            raise self.error.with_traceback(None)
        return self.record


def _give_up(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError("the commit takes too long"))
