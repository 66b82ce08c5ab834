"""The watch hub: brings committed events to the watchers that want them.

Watchers are looked up (`interests`), so the cost of an event depends on the watchers that want it
only. Invariants: a subscription sees every matching event after its revision exactly once and in
revision order, or ends with Expired; every queue is bounded; who reads the history and begins to
wait in the same step misses nothing; watchers of the same events are told in the order in which
they subscribed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from kubeherd.cluster.store.state import WatchEvent
from kubeherd.cluster.store.watch.deliveries import Delivery, WatchFilter, deliver
from kubeherd.cluster.store.watch.history import History
from kubeherd.cluster.store.watch.interests import Interests
from kubeherd.cluster.store.watch.subscription import Limits, Subscription

MAX_QUEUED_EVENTS = 10_000
"""Per subscription: a watcher that is further behind gets a 410, and lists again."""

MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""The same, in bytes of the objects in the events: as much as the history keeps."""

SERVED_AT_ONCE = 128
"""The number of watchers served in one turn of the event loop: one or two milliseconds."""

RECENT_EVENTS = 1000
"""So many of the newest events keep their encodings, ..."""
RECENT_BYTES = 8 * 1024 * 1024
"""... and so many bytes of them, as JSON: a few large objects must not fill the memory."""


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
        self._limits = Limits(max_queued_events, max_queued_bytes)
        self._subscriptions = Interests[Subscription]()
        self._waiters = Interests[_Waiter]()
        self._due: deque[Subscription] = deque()
        self._serving = False
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
        newer = self._history.since(wanted.resource_key, wanted.node_name, revision, wanted.nodes)
        for event in newer:
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
            self._subscriptions.add(wanted, subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscription; unknown ones are ignored."""
        self._subscriptions.discard(subscription.filter, subscription)

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
        waiters = [_Waiter(one, happened) for one in wanted]
        for waiter in waiters:
            self._waiters.add(waiter.filter, waiter)
        timer = loop.call_later(timeout_s, end_wait, happened)
        try:
            await happened
        finally:
            timer.cancel()
            for waiter in waiters:
                self._waiters.discard(waiter.filter, waiter)
        # Not what ended the wait: an event may have come after the time ran out or the hub closed,
        # and before this task went on; the caller would answer with a revision that is past it.
        return min((waiter.revision for waiter in waiters if waiter.revision), default=0)

    def publish(self, events: Sequence[WatchEvent]) -> None:
        """Hand out one committed group, in revision order."""
        for event in events:
            self._remember(event)
            for listener in self._listeners.get(event.record.resource_key, ()):
                listener()
            for subscriptions in self._subscriptions.of(event):
                self._offer(event, subscriptions)
            for waiters in self._waiters.of(event):
                for waiter in waiters:
                    waiter.look_at(event)
        self._serve_soon()

    def _offer(self, event: WatchEvent, subscriptions: Iterable[Subscription]) -> None:
        """Queue an event for those of one place; who has no predicate sees what the others see."""
        common: Delivery | None = None
        asked, size = False, event.record.size
        for subscription in subscriptions:
            wanted = subscription.filter
            if wanted.matches is not None:
                delivery = deliver(event, wanted)
            else:
                if not asked:
                    asked, common = True, deliver(event, wanted)
                delivery = common
            if delivery is not None and subscription.offer(delivery, size):
                self._due.append(subscription)

    def _serve_soon(self) -> None:
        if self._due and not self._serving:
            self._serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """Serve some of those whose turn it is: others want to be answered in between."""
        for _ in range(min(len(self._due), SERVED_AT_ONCE)):
            self._due.popleft().serve()
        self._serving = False
        self._serve_soon()

    def _remember(self, event: WatchEvent) -> None:
        """Let a new event keep its encodings, and the oldest of the new ones no longer."""
        event.keep_encodings()
        recent = self._recent
        recent.append(event)
        self._recent_bytes += event.record.size
        while len(recent) > RECENT_EVENTS or self._recent_bytes > RECENT_BYTES:
            oldest = recent.popleft()
            self._recent_bytes -= oldest.record.size
            oldest.forget_encodings()

    def close(self) -> None:
        """End all subscriptions and waits; later ones end at once."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
        for waiter in self._waiters:
            waiter.give_up()

    def expire(self) -> None:
        """End all subscriptions and waits with 410: what happened is not known. Later ones are as
        ever."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener()
        for subscription in self._subscriptions:
            subscription.expire()
        for waiter in self._waiters:
            waiter.give_up()

    def end(self, resource_key: str) -> None:
        """End the subscriptions and waits for one resource: it is no longer what it was."""
        for subscription in self._subscriptions.of_resource(resource_key):
            subscription.close()
        for waiter in self._waiters.of_resource(resource_key):
            waiter.give_up()

    @property
    def watchers(self) -> int:
        """How many subscriptions and waiters there are."""
        return len(self._subscriptions) + len(self._waiters)


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
