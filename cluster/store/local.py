"""A store that is the only writer: stage a write at once, commit in groups.

Invariants (ARCHITECTURE.md, "Durable before visible"): a write takes the next revision when it is
staged; readers, watchers and the writer's answer see it only after its group is committed; groups
become visible in revision order; a group that cannot be committed vanishes together with everything
staged on top of it. Staging is synchronous: between `head` and `put` nothing else can write, which
makes the event loop the serialisation point. So nothing is ever superseded.

After a commit whose outcome nobody knows the store is done: what it holds in memory may not be what
the disk holds, so it takes no write more and `run` raises, and its process ends. A client that saw
the old state meanwhile saw what was true before the write; the next process shows what the disk
kept, under the same revision or none.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from sys import intern
from typing import TYPE_CHECKING

import structlog

from kubeherd.cluster.api.errors import ApiError, OutcomeUnknown, ServiceUnavailable
from kubeherd.cluster.runtime.metrics import stopwatch_s
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store import engine as engines
from kubeherd.cluster.store.engine import FIRST_REVISION, Engine, Row, StoreError
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import AttrsOf, EventType, Record, WatchEvent
from kubeherd.cluster.store.store import (
    MAX_HISTORY_BYTES,
    MAX_HISTORY_EVENTS,
    MAX_STAGED,
    PROBE_JITTER,
    PROBE_S,
    SLOW_COMMIT_S,
    HeadKey,
    Store,
    refused,
)

if TYPE_CHECKING:
    from kubeherd.cluster.store.faulty import FaultyEngine
    from kubeherd.faults import Fault

MAX_GROUP = 1_000
MAX_GROUP_BYTES = 4 * 1024 * 1024
"""Writes in one transaction at most, and about so many bytes: the event loop adds them to it."""

SHOWN_AT_ONCE = 64
"""So many writes of a group are shown in one turn of the event loop."""
SHOW_US = 40
"""What it takes to show one of them."""

_log = structlog.get_logger(__name__)


class LocalStore(Store):
    """See the module."""

    def __init__(
        self,
        engine: Engine,
        attrs_of: AttrsOf,
        *,
        max_history_events: int = MAX_HISTORY_EVENTS,
        max_history_bytes: int = MAX_HISTORY_BYTES,
        rng: Rng | None = None,
        turns: Turns | None = None,
    ) -> None:
        """`turns`: those of the process, which shows commits in them and answers requests."""
        super().__init__(
            attrs_of, max_history_events=max_history_events, max_history_bytes=max_history_bytes
        )
        self._turns = turns or Turns()
        self._engine = engine
        self._faulty: FaultyEngine | None = None
        self._staged_revision = FIRST_REVISION
        self._pending: list[Staged] = []
        self._wake = asyncio.Event()
        self._rng = rng or Rng(0)
        self._closing = False
        self._failing = False
        self._committing_since_s: float | None = None
        self._obsolete: list[int] = []  # revisions that the next transaction may forget
        self._together = _Together(self)

    @property
    def writable(self) -> bool:
        if self._failing:
            return False
        since_s = self._committing_since_s
        return since_s is None or asyncio.get_running_loop().time() - since_s < SLOW_COMMIT_S

    # --- writing ---

    def together(self) -> AbstractContextManager[None]:
        return self._together

    def _next_revision(self) -> int:
        return self._staged_revision + 1

    def _stage(self, event: WatchEvent, ttl_s: int) -> Staged:
        if self._closing:
            raise ServiceUnavailable("the server is shutting down")
        if len(self._pending) >= MAX_STAGED:
            raise refused("the store cannot keep up with the writes, try again later")
        staged = Staged(event)
        record = event.record
        key = record.place
        self._together.remember(key)
        self._staged_revision = record.revision
        self._head[key] = staged
        self._pending.append(staged)
        self._wake.set()
        return staged

    def take_back(self, count: int, before: Sequence[tuple[HeadKey, Staged | None]]) -> None:
        """Forget the last `count` that were staged: nobody has seen them but their writer. `before`
        is what `head` showed in their places, in the order in which they were staged."""
        if not count:
            return
        self._staged_revision = self._pending[-count].revision - 1
        del self._pending[-count:]
        for key, staged in reversed(before):
            if staged is None:
                del self._head[key]
            else:
                self._head[key] = staged

    # --- life ---

    async def start(self) -> None:
        self.open()

    def open(self) -> None:
        """Read everything back from the engine. Raises StoreError."""
        self._history.compacted = self._engine.open()
        self.revision = max(FIRST_REVISION, self._history.compacted)
        for row in self._engine.replay():
            self._replay(row)
        self._staged_revision = self.revision

    def _replay(self, row: Row) -> None:
        key = (intern(row.resource_key), intern(row.namespace), row.name)
        previous = self._keyspace.get(*key)
        record = Record(*key, row.revision, row.create_revision, row.value, self._attrs_of)
        if row.deleted:
            type_ = EventType.DELETED
        else:
            type_ = EventType.ADDED if previous is None else EventType.MODIFIED
        self._keyspace.load(record, deleted=row.deleted)
        if row.revision > self._history.compacted:
            self._history.append(WatchEvent(type_, record, previous))
        self.revision = max(self.revision, row.revision)

    async def run(self) -> None:
        """Commit what is staged until `stop`; the owner runs this as a task.

        Raises when a commit's outcome is unknown: the store must be read back, by a new one.
        """
        while True:
            if not await self._woken():
                await self._commit([])
            self._wake.clear()
            while self._pending:
                await self._commit(self._next_group())
            if self._closing:
                return

    async def _woken(self) -> bool:
        """Wait for something to do; False when it is time for a probe instead."""
        if not self._failing:
            return await self._wake.wait()
        try:
            async with asyncio.timeout(self._rng.jittered(PROBE_S, PROBE_JITTER)):
                return await self._wake.wait()
        except TimeoutError:
            return False

    def _next_group(self) -> Sequence[Staged]:
        size_bytes = 0
        for count, staged in enumerate(self._pending, 1):
            size_bytes += staged.record.size
            if count == MAX_GROUP or size_bytes >= MAX_GROUP_BYTES:
                break
        group, self._pending = self._pending[:count], self._pending[count:]
        return group

    async def _commit(self, group: Sequence[Staged]) -> None:
        """Bring one group to the disk and then to the readers; an empty one is a probe."""
        rows, drop = [staged.row for staged in group], self._obsolete
        started_s = stopwatch_s()
        self._committing_since_s = asyncio.get_running_loop().time()
        try:
            await (self._faulty or self._engine).commit(rows, drop, self._history.compacted)
        except engines.OutcomeUnknown as error:
            _log.error("commit_outcome_unknown", writes=len(group), error=str(error))
            self._give_up(group, str(error))
            raise
        except StoreError as error:
            why = str(error)
            if not self._failing:
                self._failing = True
                _log.error("commit_failed", writes=len(group), error=why)
            if group:
                self._roll_back(group, lambda: refused(why), why)
            return
        except Exception as error:  # a bug: it may have happened at any point of the commit
            self._give_up(group, type(error).__name__)
            raise
        finally:
            self._committing_since_s = None
        if self._failing:
            self._failing = False
            _log.info("commit_recovered")
        self._measure(group, stopwatch_s() - started_s)
        await self._publish_all(group)
        self._obsolete = self._obsolete[len(drop) :] + _superseded(self._history.compact())

    async def _publish_all(self, group: Sequence[Staged]) -> None:
        """Show a committed group, some of it in each turn of the event loop."""
        for start in range(0, len(group), SHOWN_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            some = group[start : start + SHOWN_AT_ONCE]
            self._turns.spend(SHOW_US * len(some))
            self._publish(some)

    def _publish(self, group: Sequence[Staged]) -> None:
        """Show committed writes to readers, watchers and their writers."""
        events = [staged.event for staged in group]
        for staged in group:
            self._show(staged.event)
            self._unstage(staged)
        self.hub.publish(events)
        for staged in group:
            staged.finish(None)

    def _give_up(self, group: Sequence[Staged], why: str) -> None:
        """Nobody knows whether this group is kept; what was staged on top of it never was."""
        self._closing = self._failing = True
        self._roll_back(group, lambda: OutcomeUnknown(f"the outcome is not known: {why}"), why)

    def _roll_back(self, group: Sequence[Staged], error: Callable[[], ApiError], why: str) -> None:
        """Forget this group, its waiters get what `error` makes, and refuse all that was staged on
        top of it: that has reached no disk. Revisions are not reused."""
        on_top, self._pending = self._pending, []
        self._head.clear()
        for staged in group:
            staged.finish(error())
        for staged in on_top:
            staged.finish(refused(f"not written, nor what it rests on: {why}"))

    async def forget(self, revision: int) -> None:
        self._obsolete = self._obsolete + _superseded(self._history.compact(revision))

    def hurt(self, faults: Sequence["Fault"], rng: Rng) -> None:
        if self._faulty is not None:
            self._faulty.undo()
        self._faulty = None
        if faults:
            from kubeherd.cluster.store.faulty import FaultyEngine  # noqa: PLC0415 - off mostly

            self._faulty = FaultyEngine(self._engine, faults, rng)

    def stop(self) -> None:
        """Refuse new writes, end watches; `run` returns when everything staged is committed."""
        self._closing = True
        self.hub.close()
        self._wake.set()

    async def close(self) -> None:
        """Release the engine; after `run` has returned."""
        await self._engine.close()


class _Together:
    """See `Store.together`; one for a store, as nobody comes in between."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._depth = 0
        self._before: list[tuple[HeadKey, Staged | None]] = []

    def remember(self, key: HeadKey) -> None:
        """Something is staged in this place."""
        if self._depth:
            self._before.append((key, self._store.staged(*key)))

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        before, self._before = self._before, []
        if kind is not None:
            self._store.take_back(len(before), before)


def _superseded(events: Sequence[WatchEvent]) -> list[int]:
    """Revisions that nobody can ask for once these events left the history."""
    revisions = []
    for event in events:
        if event.previous is not None:
            revisions.append(event.previous.revision)
        if event.type is EventType.DELETED:
            revisions.append(event.revision)
    return revisions
