"""A store that shares its objects with others, through a `SharedEngine`.

What is true is elsewhere; memory follows it (`following`). A write is staged like any other and
sent as a transaction, which is made only if what it rests on is still the newest; if not, whoever
waits for it gets `Superseded` as soon as the newer state can be seen, and decides again. Writes of
one object go one after the other, each resting on the one before; others are under way at the same
time. Invariants: what is staged becomes visible by being followed only, so the order in which
events are seen is the engine's; a write is answered when it is visible here; a write whose outcome
nobody knows is told so, and what rested on it is decided again.

The revision of a write is not known before it is made. Until then a negative number stands for it,
which no client ever sees: answers wait for the commit.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import structlog

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError, ServiceUnavailable
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import OutcomeUnknown, StoreError
from kubeherd.cluster.store.following import FollowingStore
from kubeherd.cluster.store.sharedengine import Conflict, Made, SharedEngine
from kubeherd.cluster.store.staged import Staged, Superseded
from kubeherd.cluster.store.state import AttrsOf, Record, WatchEvent
from kubeherd.cluster.store.store import (
    MAX_HISTORY_BYTES,
    MAX_HISTORY_EVENTS,
    MAX_STAGED,
    SLOW_COMMIT_S,
    HeadKey,
    refused,
)
from kubeherd.cluster.store.transaction import Transaction
from kubeherd.cluster.store.versions import with_version

if TYPE_CHECKING:
    from kubeherd.cluster.store.faulty import FaultySharedEngine
    from kubeherd.faults import Fault

MAX_UNDER_WAY = 256
"""Transactions that the engine has to carry out at a time: more only wait there."""

STOPS_WITHIN_S = 5.0
"""How long a stop waits for what is under way; real seconds."""

_log = structlog.get_logger(__name__)


class _Together:
    """See `Store.together`; one for a store, as nobody comes in between."""

    def __init__(self, store: "SharedStore") -> None:
        self._store = store
        self._depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            self._store.begin()
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._store.end(made=kind is None)


class SharedStore(FollowingStore):
    """See the module."""

    def __init__(
        self,
        engine: SharedEngine,
        attrs_of: AttrsOf,
        *,
        max_history_events: int = MAX_HISTORY_EVENTS,
        max_history_bytes: int = MAX_HISTORY_BYTES,
        rng: Rng | None = None,
    ) -> None:
        super().__init__(
            engine,
            attrs_of,
            max_history_events=max_history_events,
            max_history_bytes=max_history_bytes,
            rng=rng,
        )
        self._last_provisional = 0
        self._open: list[Transaction] = []
        self._together = _Together(self)
        self._makers: dict[HeadKey, Transaction] = {}
        self._waiting: list[Transaction] = []
        self._woken = asyncio.Event()
        self._under_way: set[Transaction] = set()
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)
        self._closing = asyncio.Event()
        self._faulty: FaultySharedEngine | None = None

    @property
    def writable(self) -> bool:
        if self._failing:
            return False
        oldest_s = min((one.began_s for one in self._under_way), default=None)
        return oldest_s is None or time.monotonic() - oldest_s < SLOW_COMMIT_S

    # --- writing ---

    def together(self) -> AbstractContextManager[None]:
        return self._together

    def rest_on(self, resource_key: str, namespace: str, name: str) -> None:
        if self._open:
            self._note(self._open[-1], (resource_key, namespace, name))

    def _next_revision(self) -> int:
        return self._last_provisional - 1

    def _stage(self, event: WatchEvent, ttl_s: int) -> Staged:
        if self._closing.is_set():
            raise ServiceUnavailable("the server is shutting down")
        if len(self._waiting) + len(self._under_way) >= MAX_STAGED:
            raise refused("the store cannot keep up with the writes, try again later")
        transaction = self._open[-1] if self._open else Transaction()
        record = event.record
        key = record.place
        if self._makers.get(key) is transaction:  # an object has one state in a transaction
            transaction = Transaction()
            self._open.append(transaction)
        self._note(transaction, key)
        staged = Staged(event, record.revision)
        self._last_provisional = record.revision
        transaction.staged.append(staged)
        transaction.ttls_s.append(ttl_s)
        self._head[key] = staged
        self._makers[key] = transaction
        if not self._open:
            self.send(transaction)
        return staged

    def _note(self, transaction: Transaction, key: HeadKey) -> None:
        if key in transaction.before:
            return
        if not key[2]:
            transaction.before[key] = None, None
            transaction.collections[key] = self.revision
            return
        maker = self._makers.get(key)
        transaction.before[key] = self.head(*key), maker
        if maker is not None:
            maker.resting.append(transaction)

    def begin(self) -> None:
        """What is staged from now on is one."""
        self._open = [Transaction()]

    def end(self, *, made: bool) -> None:
        """It is complete, or is not wanted."""
        opened, self._open = self._open, []
        for transaction in opened if made else ():
            if transaction.staged:
                self.send(transaction)
        for transaction in () if made else reversed(opened):
            for key, (_, maker) in transaction.before.items():
                if self._makers.get(key) is transaction:
                    self._forget_head(key, maker)

    def _forget_head(self, key: HeadKey, maker: "Transaction | None") -> None:
        """In this place `head` shows again what another is about to make, or what is durable."""
        del self._head[key], self._makers[key]
        if maker is not None and not maker.made.done():
            for staged in maker.staged:
                record = staged.event.record
                if record.place == key:
                    self._head[key], self._makers[key] = staged, maker

    def send(self, transaction: Transaction) -> None:
        """It is on its way from now on."""
        self._waiting.append(transaction)
        self._woken.set()

    async def _carry_out(self, transaction: Transaction) -> None:
        """Bring a transaction to its end, whatever that is."""
        error: ApiError | None = errors.OutcomeUnknown("the server stopped meanwhile")
        try:
            error = await self._make(transaction)
        finally:
            self._end(transaction, error)

    def _end(self, transaction: Transaction, error: ApiError | None) -> None:
        """Tell everybody how it ended. What rests on one that was not made ends with it, in the
        same step: nobody may decide again on what is about to vanish."""
        self._under_way.discard(transaction)
        if not transaction.made.done():
            transaction.made.set_result(0)
        for staged in transaction.staged:
            self._unstage(staged)
        for key in transaction.before:
            if self._makers.get(key) is transaction:
                del self._makers[key]
        transaction.before.clear()
        for staged in transaction.staged:
            if not staged.done:
                staged.finish(error)
        resting, transaction.resting = transaction.resting, []
        if error is not None:
            for one in resting:
                self._end(one, Superseded())

    async def _make(self, transaction: Transaction) -> ApiError | None:
        """None when it is made and can be seen."""
        for maker in [maker for _, maker in transaction.before.values() if maker is not None]:
            if not await asyncio.shield(maker.made):
                return Superseded()
        if transaction.made.done():  # ended with what it rests on, before its turn came
            return Superseded()
        try:
            async with self._places:
                outcome = await self._transact(transaction)
        except OutcomeUnknown as why:
            self._not_well(str(why))
            return errors.OutcomeUnknown(str(why))
        except StoreError as why:
            self._not_well(str(why))
            return refused(str(why))
        self._well()
        if isinstance(outcome, Conflict):
            await self._until(outcome.revision)
            return Superseded()
        transaction.made.set_result(outcome.revision)
        for staged in transaction.staged:
            staged.event = self._made(staged.event, transaction)
        await self._until(outcome.revision)
        self._measure(transaction.staged, time.monotonic() - transaction.began_s)
        return None

    async def _transact(self, transaction: Transaction) -> Made | Conflict:
        engine = self._faulty or self._engine
        return await engine.transact(*transaction.changes_and_guards())

    def _made(self, event: WatchEvent, transaction: Transaction) -> WatchEvent:
        """The event of a write that was staged, now that its revision is known."""
        record, key = event.record, event.record.place
        revision = transaction.made.result()
        json = with_version(record.json, revision)
        made = Record(*key, revision, transaction.creation(key), json, self._attrs_of)
        return WatchEvent(event.type, made, event.previous)

    # --- life ---

    def _own(self, event: WatchEvent) -> Staged | None:
        """The staged write of this store that an event shows, whether its answer has come or not;
        told by the bytes: an object has a uid and times of its own."""
        place = event.record.place
        maker = self._makers.get(place)
        while maker is not None:
            staged = maker.shown_by(event)
            if staged is not None:
                return staged
            maker = maker.before.get(place, (None, None))[1]
        return None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow(), name="store-follow")
            probing = tasks.create_task(self._probe(), name="store-probe")
            try:
                while not self._closing.is_set() or self._waiting:
                    self._woken.clear()
                    waiting, self._waiting = self._waiting, []
                    for transaction in waiting:
                        self._under_way.add(transaction)
                        transaction.task = tasks.create_task(self._carry_out(transaction))
                    if not self._waiting and not self._closing.is_set():
                        await self._woken.wait()
                await self._ended()
            finally:
                following.cancel()
                probing.cancel()
                self._newest.close()

    async def _ended(self) -> None:
        """Return when nothing is under way any more, or takes too long for a server that stops."""
        tasks = [one.task for one in self._under_way if one.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=STOPS_WITHIN_S)
        if late:
            _log.warning("store_stops_with_writes_under_way", writes=len(late))
        for task in late:
            task.cancel()

    def hurt(self, faults: Sequence["Fault"], rng: Rng) -> None:
        if self._faulty is not None:
            self._faulty.undo()
        self._faulty = None
        if faults:
            from kubeherd.cluster.store.faulty import FaultySharedEngine  # noqa: PLC0415 - off mostly

            self._faulty = FaultySharedEngine(self._engine, faults, rng)

    def stop(self) -> None:
        self._closing.set()
        self.hub.close()
        self._woken.set()
