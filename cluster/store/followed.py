"""Stores whose every write is told to somebody: for a history of a run.

Invariants: a follower is told of each durable write once, in the order of their revisions, and
before anybody is shown it; of writes that were not kept only that they were staged. A follower of a
store that shares its objects is told of all writes, whoever made them.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.engine import Engine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.shared import SharedStore
from kubeherd.cluster.store.sharedengine import SharedEngine
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import AttrsOf, WatchEvent
from kubeherd.cluster.store.store import MAX_HISTORY_EVENTS
from kubeherd.cluster.store.transaction import Transaction


class Follower(Protocol):
    """Whoever is told. Nothing that it does may fail."""

    def staged(self, revision: int) -> None:
        """In the task of whoever writes: the write has a revision, and waits for its commit."""

    def made(self, staged: int, revision: int) -> None:
        """What was staged under one revision is durable under another; 0: it was not kept."""

    def committed(self, events: Sequence[WatchEvent]) -> None:
        """These are durable."""

    def forgotten(self) -> None:
        """All that was staged and not committed was not kept."""


class FollowedStore(LocalStore):
    """See `LocalStore`."""

    def __init__(
        self,
        engine: Engine,
        attrs_of: AttrsOf,
        follower: Follower,
        *,
        max_history_events: int = MAX_HISTORY_EVENTS,
        rng: Rng | None = None,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(
            engine, attrs_of, max_history_events=max_history_events, rng=rng, turns=turns
        )
        self._follower = follower

    def _stage(self, event: WatchEvent, ttl_s: int) -> Staged:
        staged = super()._stage(event, ttl_s)
        self._follower.staged(event.revision)
        return staged

    def _publish(self, group: Sequence[Staged]) -> None:
        self._follower.committed([staged.event for staged in group])
        super()._publish(group)

    def _roll_back(self, group: Sequence[Staged], error: Callable[[], ApiError], why: str) -> None:
        self._follower.forgotten()
        super()._roll_back(group, error, why)


class FollowedSharedStore(SharedStore):
    """See `SharedStore`."""

    def __init__(
        self,
        engine: SharedEngine,
        attrs_of: AttrsOf,
        follower: Follower,
        *,
        max_history_events: int = MAX_HISTORY_EVENTS,
        rng: Rng | None = None,
    ) -> None:
        super().__init__(engine, attrs_of, max_history_events=max_history_events, rng=rng)
        self._follower = follower

    def _stage(self, event: WatchEvent, ttl_s: int) -> Staged:
        staged = super()._stage(event, ttl_s)
        self._follower.staged(event.revision)
        return staged

    def _publish(self, events: Sequence[WatchEvent]) -> None:
        for event in events:
            staged = self._own(event)
            if staged is not None:
                self._follower.made(staged.staged_as, event.revision)
        self._follower.committed(events)
        super()._publish(events)

    def _end(self, transaction: Transaction, error: ApiError | None) -> None:
        if error is not None:
            for staged in transaction.staged:
                self._follower.made(staged.staged_as, 0)
        super()._end(transaction, error)
