"""The watch hub: brings committed events to those who watch, and to nobody else.

Watchers are indexed by node, name, namespace or resource, whichever is narrowest, so an event
costs what its interested watchers cost. Invariants: a subscription sees every matching event after
its revision exactly once and in revision order, or ends with Expired; every queue is bounded; a
waiter that was made in the same step as its look into the history misses nothing; watchers are told
in the order in which they came.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.store.history import History, nodes_of
from kubeherd.cluster.store.state import NODE_INDEXED, EventType, Record, WatchEvent

MAX_QUEUED_EVENTS = 10_000
"""Per subscription: one that is further behind is ended with 410 and lists again."""

MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""The same, in bytes of the objects in the events: as much as the history keeps."""

RECENT_EVENTS = 1000
"""So many of the newest events keep their encodings, ..."""
RECENT_BYTES = 8 * 1024 * 1024
"""... and so many bytes of them, as JSON: a few large objects must not fill the memory."""

Predicate = Callable[[Record], bool]


class WatchFilter(msgspec.Struct, frozen=True):
    """What a watcher wants: a resource, perhaps one namespace, perhaps the pods of one node or
    objects of one name, and a predicate for the rest of its label and field selectors."""

    resource_key: str
    namespace: str = ""
    node_name: str = ""
    matches: Predicate | None = None
    name: str = ""

    def wants(self, record: Record | None) -> bool:
        """Whether this state of an object is visible through the filter."""
        if record is None or (self.namespace and record.namespace != self.namespace):
            return False
        if self.name and record.name != self.name:
            return False
        if self.node_name and record.node_name != self.node_name:
            return False
        return self.matches is None or self.matches(record)


class Delivery(msgspec.Struct, frozen=True):
    """An event as one watcher sees it: by its filter an update may be an ADDED or a DELETED
    (spec api-machinery, section 3). For a DELETED of an object that only stopped matching the
    state to show is `event.previous` with the revision of `event`."""

    type: EventType
    event: WatchEvent

    @property
    def left(self) -> bool:
        """The object still exists, it only stopped matching."""
        return self.type is EventType.DELETED and self.event.type is not EventType.DELETED


def deliver(event: WatchEvent, wanted: WatchFilter) -> Delivery | None:
    """The event through a filter, or None if its watcher sees nothing of it."""
    if event.type is EventType.DELETED:
        # what a watcher sees go is what it had seen: the state before the deletion
        visible = wanted.wants(event.previous if event.previous is not None else event.record)
        return Delivery(EventType.DELETED, event) if visible else None
    before, after = wanted.wants(event.previous), wanted.wants(event.record)
    if after:
        return Delivery(EventType.MODIFIED if before else EventType.ADDED, event)
    return Delivery(EventType.DELETED, event) if before else None


class _Limits(msgspec.Struct, frozen=True):
    """Of a queue."""

    events: int
    bytes: int


class Subscription:
    """A watcher's bounded queue; iterate with `next` until it raises.

    It is for what is newer than `since`, which another server may have told before this one sees it
    (apiserver/pkg/storage/cacher/cache_watcher.go, v1.36).
    """

    def __init__(
        self,
        wanted: WatchFilter,
        since: int,
        backlog: Iterable[Delivery],
        limits: _Limits,
    ) -> None:
        self.filter = wanted
        self.since = since
        self._limits = limits
        self._queue: deque[Delivery] = deque(backlog)
        self._bytes = 0
        self._wake = asyncio.Event()
        self._error: Expired | None = None
        self._closed = False
        self._interrupted = False
        if self._queue:
            self._wake.set()

    async def next(self) -> list[Delivery]:
        """All deliveries there are, waiting for at least one; empty once the hub has closed.

        Raises Expired when this watcher fell too far behind, TimeoutError when it is interrupted
        and, in that step, nothing waits to be taken.
        """
        await self._wake.wait()
        if self._error is not None:
            raise self._error
        interrupted, self._interrupted = self._interrupted, False
        deliveries = self.take()
        if interrupted and not deliveries and not self._closed:
            raise TimeoutError
        return deliveries

    def interrupt(self) -> None:
        """Let `next` wait no longer."""
        self._interrupted = True
        self._wake.set()

    def take(self) -> list[Delivery]:
        """What waits already; may be empty."""
        deliveries = list(self._queue)
        self._queue.clear()
        self._bytes = 0
        if not self._closed and self._error is None:
            self._wake.clear()
        return deliveries

    def offer(self, delivery: Delivery) -> None:
        """Queue a delivery; beyond the bound the subscription is ended instead."""
        if self._error is not None or delivery.event.revision <= self.since:
            return
        self._bytes += len(delivery.event.record.json)
        if len(self._queue) >= self._limits.events or self._bytes > self._limits.bytes:
            behind = len(self._queue)
            self._queue.clear()
            self._error = Expired(f"too old resource version: fell behind {behind} events")
        else:
            self._queue.append(delivery)
        self._wake.set()

    def expire(self) -> None:
        """What comes next is not known: list again."""
        self._queue.clear()
        self._error = Expired("too old resource version: the store was read anew")
        self._wake.set()

    def close(self) -> None:
        """No more events will come."""
        self._closed = True
        self._wake.set()


_IndexKey = tuple[str, ...]
_M = TypeVar("_M")


def _index_key(wanted: WatchFilter) -> _IndexKey:
    if wanted.node_name:
        return (wanted.resource_key, "node", wanted.node_name)
    if wanted.name:
        return (wanted.resource_key, "name", wanted.name)
    if wanted.namespace:
        return (wanted.resource_key, "namespace", wanted.namespace)
    return (wanted.resource_key,)


def _event_keys(event: WatchEvent) -> list[_IndexKey]:
    record = event.record
    key = record.resource_key
    keys: list[_IndexKey] = [(key,), (key, "name", record.name)]
    if record.namespace:
        keys.append((key, "namespace", record.namespace))
    if key == NODE_INDEXED:
        keys.extend((key, "node", node_name) for node_name in nodes_of(event))
    return keys


class Hub:
    """Subscriptions and long-poll waiters over one history."""

    def __init__(
        self,
        history: History,
        *,
        max_queued_events: int = MAX_QUEUED_EVENTS,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self._history = history
        self._limits = _Limits(max_queued_events, max_queued_bytes)
        self._subscriptions: dict[_IndexKey, dict[Subscription, None]] = {}
        self._waiters: dict[_IndexKey, dict[_Waiter, None]] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._recent: deque[WatchEvent] = deque()
        self._recent_bytes = 0
        self._closed = False

    def events_since(self, wanted: WatchFilter, revision: int, limit: int = 0) -> list[Delivery]:
        """Deliveries newer than `revision`, oldest first, at most `limit` (0: all), and with the
        last one those of its revision.

        Raises Expired when the history does not reach back that far.
        """
        deliveries: list[Delivery] = []
        for event in self._history.since(wanted.resource_key, wanted.node_name, revision):
            if 0 < limit <= len(deliveries) and event.revision > deliveries[-1].event.revision:
                break
            delivery = deliver(event, wanted)
            if delivery is not None:
                deliveries.append(delivery)
        return deliveries

    def listen(self, resource_key: str, listener: Callable[[], None]) -> None:
        """Call this in the step in which something that happened to a resource is shown, for as
        long as the hub lives. It does not raise."""
        self._listeners.setdefault(resource_key, []).append(listener)

    def subscribe(self, wanted: WatchFilter, since_revision: int) -> Subscription:
        """All matching events after `since_revision`, past and future. Raises Expired."""
        backlog = self.events_since(wanted, since_revision)
        subscription = Subscription(wanted, since_revision, backlog, self._limits)
        if self._closed:
            subscription.close()
        else:
            self._subscriptions.setdefault(_index_key(wanted), {})[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscription; unknown ones are ignored."""
        _discard(self._subscriptions, _index_key(subscription.filter), subscription)

    def changed(self, resource_key: str, since_revision: int) -> bool:
        """Whether something may have happened to a resource since a revision: surely not if False,
        perhaps if the history does not reach back that far."""
        return self._history.changed(resource_key, since_revision)

    async def wait(
        self,
        *wanted: WatchFilter,
        timeout_s: float,
        happened: "asyncio.Future[None] | None" = None,
    ) -> int:
        """The revision of the next event that one of `wanted` sees; 0 after `timeout_s` real
        seconds or when the hub closes. Looks at future events only: call it in the same step as
        `events_since`, before anything is awaited, and then ask for what is newer than the
        revision before the one returned: an older one may be compacted by then. Who passes
        `happened` can end the wait by its result."""
        if self._closed:
            return 0
        loop = asyncio.get_running_loop()
        if happened is None:
            happened = loop.create_future()
        waiters = {_Waiter(one, happened): _index_key(one) for one in wanted}
        for waiter, key in waiters.items():
            self._waiters.setdefault(key, {})[waiter] = None
        timer = loop.call_later(timeout_s, end_wait, happened)
        try:
            await happened
        finally:
            timer.cancel()
            for waiter, key in waiters.items():
                _discard(self._waiters, key, waiter)
        # Not what ended the wait: an event may have come after the time ran out or the hub closed,
        # and before this task went on; the caller would answer with a revision that is past it.
        return min((waiter.revision for waiter in waiters if waiter.revision), default=0)

    def publish(self, events: Sequence[WatchEvent]) -> None:
        """Hand out one committed group, in revision order."""
        for event in events:
            self._remember(event)
            for listener in self._listeners.get(event.record.resource_key, ()):
                listener()
            for key in _event_keys(event):
                for subscription in tuple(self._subscriptions.get(key, ())):
                    delivery = deliver(event, subscription.filter)
                    if delivery is not None:
                        subscription.offer(delivery)
                for waiter in tuple(self._waiters.get(key, ())):
                    waiter.look_at(event)

    def _remember(self, event: WatchEvent) -> None:
        """Let a new event keep its encodings, and the oldest of the new ones no longer."""
        event.keep_encodings()
        recent = self._recent
        recent.append(event)
        self._recent_bytes += len(event.record.json)
        while len(recent) > RECENT_EVENTS or self._recent_bytes > RECENT_BYTES:
            oldest = recent.popleft()
            self._recent_bytes -= len(oldest.record.json)
            oldest.forget_encodings()

    def close(self) -> None:
        """End all subscriptions and waits; later ones end at once."""
        self._closed = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.close()
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.give_up()

    def expire(self) -> None:
        """End all subscriptions and waits with 410: what happened is not known. Later ones are as
        ever."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener()
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.expire()
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.give_up()

    def end(self, resource_key: str) -> None:
        """End the subscriptions and waits for one resource: it is no longer what it was."""
        for key, subscriptions in self._subscriptions.items():
            if key[0] == resource_key:
                for subscription in subscriptions:
                    subscription.close()
        for key, waiters in self._waiters.items():
            if key[0] == resource_key:
                for waiter in waiters:
                    waiter.give_up()

    @property
    def watchers(self) -> int:
        """How many subscriptions and waiters there are."""
        return sum(map(len, self._subscriptions.values())) + sum(map(len, self._waiters.values()))


class _Waiter:
    __slots__ = ("filter", "future", "revision")

    def __init__(self, wanted: WatchFilter, happened: asyncio.Future[None]) -> None:
        self.filter = wanted
        self.revision = 0
        self.future = happened

    def look_at(self, event: WatchEvent) -> None:
        if self.revision or deliver(event, self.filter) is None:
            return
        self.revision = event.revision
        end_wait(self.future)

    def give_up(self) -> None:
        end_wait(self.future)


def end_wait(happened: "asyncio.Future[None]") -> None:
    """End a wait that was given this future; harmless if it has ended."""
    if not happened.done():
        happened.set_result(None)


def _discard(index: dict[_IndexKey, dict[_M, None]], key: _IndexKey, member: _M) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(member, None)
        if not members:
            del index[key]
