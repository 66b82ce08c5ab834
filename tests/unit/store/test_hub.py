"""The hub: every interested watcher once and in order, nobody else at all."""

import asyncio
from collections.abc import Collection

import orjson
import pytest

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.store.state import Attrs, EventType, Record, WatchEvent
from kubeherd.cluster.store.watch.deliveries import Delivery, WatchFilter
from kubeherd.cluster.store.watch.history import History
from kubeherd.cluster.store.watch.hub import RECENT_BYTES, RECENT_EVENTS, SERVED_AT_ONCE, Hub
from kubeherd.cluster.store.watch.subscription import SERVED_BYTES


def attrs_of(_resource_key: str, json: bytes) -> Attrs:
    tree = orjson.loads(json)
    return Attrs({"app": tree.get("app", "")}, {"spec.nodeName": tree.get("node", "")})


class World:
    """A history and its hub."""

    def __init__(self, max_queued_events: int = 100, max_queued_bytes: int = 1 << 20) -> None:
        self.history = History(100, 1 << 20)
        self.hub = Hub(
            self.history,
            max_queued_events=max_queued_events,
            max_queued_bytes=max_queued_bytes,
        )
        self.records: dict[tuple[str, str], Record] = {}
        self.revision = 1

    def write(self, resource: str, name: str, **tree: str) -> WatchEvent:
        self.revision += 1
        old = self.records.get((resource, name))
        record = Record(
            resource, "ns", name, self.revision, self.revision, orjson.dumps(tree), attrs_of
        )
        self.records[resource, name] = record
        event = WatchEvent(EventType.MODIFIED if old else EventType.ADDED, record, old)
        self.history.append(event)
        self.hub.publish([event])
        return event


@pytest.fixture
def world() -> World:
    return World()


def told(world: World, wanted: WatchFilter, since: int = 1) -> list[tuple[str, str]]:
    deliveries = world.hub.events_since(wanted, since)
    return [(d.type.value, d.event.record.name) for d in deliveries]


async def test_a_pod_that_moves_is_deleted_for_the_old_node_and_added_for_the_new(
    world: World,
) -> None:
    watches = {
        node: world.hub.subscribe(WatchFilter("pods", "", node), 1) for node in ("", "n1", "n2")
    }
    world.write("pods", "a")
    world.write("pods", "a", node="n1")
    world.write("pods", "a", node="n2")
    seen = {node: [d.type.value for d in watch.take()] for node, watch in watches.items()}
    assert seen == {
        "": ["ADDED", "MODIFIED", "MODIFIED"],
        "n1": ["ADDED", "DELETED"],
        "n2": ["ADDED"],
    }
    assert told(world, WatchFilter("pods", "", "n1")) == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_predicate_turns_updates_into_comings_and_goings(world: World) -> None:
    wanted = WatchFilter("pods", matches=lambda record: record.attrs.labels["app"] == "web")
    watch = world.hub.subscribe(wanted, 1)
    for app in ("db", "web", "web", "db"):
        world.write("pods", "a", app=app)
    deliveries = watch.take()
    assert [d.type.value for d in deliveries] == ["ADDED", "MODIFIED", "DELETED"]
    assert deliveries[-1].left
    assert not deliveries[0].left


async def test_an_event_asks_only_the_watchers_of_its_object(world: World) -> None:
    asked: list[str] = []

    def asked_by(name: str) -> WatchFilter:
        def matches(_record: Record) -> bool:
            asked.append(name)
            return True

        return WatchFilter("nodes", name=name, matches=matches)

    watches = [world.hub.subscribe(asked_by(f"n{index}"), 1) for index in range(5)]
    world.write("nodes", "n3")
    assert set(asked) == {"n3"}
    assert [len(watch.take()) for watch in watches] == [0, 0, 0, 1, 0]


async def test_a_subscription_begins_with_what_it_missed(world: World) -> None:
    first, second = world.write("pods", "a"), world.write("pods", "b")
    watch = world.hub.subscribe(WatchFilter("pods"), first.revision)
    third = world.write("pods", "c")
    assert [d.event for d in await watch.next()] == [second, third]


async def test_a_watcher_that_another_server_told_more_is_told_nothing_again(world: World) -> None:
    first = world.write("pods", "a")
    watch = world.hub.subscribe(WatchFilter("pods"), first.revision + 1)
    world.write("pods", "b")
    assert watch.take() == []
    third = world.write("pods", "c")
    assert [d.event for d in await watch.next()] == [third]


async def test_a_slow_watcher_is_ended_and_the_others_are_not(world: World) -> None:
    world = World(max_queued_events=3)
    slow, fast = (world.hub.subscribe(WatchFilter("pods"), 1) for _ in range(2))
    seen = []
    for index in range(4):
        world.write("pods", f"p{index}")
        seen += fast.take()
    assert len(seen) == 4
    with pytest.raises(Expired):
        await slow.next()


async def test_a_watcher_that_holds_too_many_bytes_is_ended() -> None:
    world = World(max_queued_bytes=3000)
    slow, fast = (world.hub.subscribe(WatchFilter("pods"), 1) for _ in range(2))
    for index in range(10):
        world.write("pods", f"p{index}", text="x" * 500)
        assert len(await fast.next()) == 1
    with pytest.raises(Expired):
        await slow.next()


async def test_a_waiter_wakes_for_a_match_only(world: World) -> None:
    waiting = asyncio.ensure_future(world.hub.wait(WatchFilter("pods", "", "n1"), timeout_s=5))
    await asyncio.sleep(0)
    world.write("pods", "a", node="n2")
    await asyncio.sleep(0)
    assert not waiting.done()
    event = world.write("pods", "b", node="n1")
    assert await waiting == event.revision
    assert world.hub.watchers == 0


async def test_a_waiter_whose_time_has_run_out_still_learns_of_an_event_before_it_goes_on(
    world: World,
) -> None:
    waiting = asyncio.ensure_future(world.hub.wait(WatchFilter("pods"), timeout_s=0))
    await asyncio.sleep(0)  # it waits
    await asyncio.sleep(0)  # its time runs out; it goes on in the next step only
    event = world.write("pods", "a")
    assert not waiting.done()
    assert await waiting == event.revision


async def test_a_waiter_whose_hub_closed_still_learns_of_an_event_before_it_goes_on(
    world: World,
) -> None:
    """A server that stops commits what it has after it has ended the watches."""
    waiting = asyncio.ensure_future(world.hub.wait(WatchFilter("pods"), timeout_s=5))
    await asyncio.sleep(0)
    world.hub.close()
    event = world.write("pods", "a")
    assert await waiting == event.revision


class Served:
    """A watcher that can be served on the spot, while `takes`."""

    def __init__(self, world: World) -> None:
        self.watch = world.hub.subscribe(WatchFilter("pods"), 1)
        self.takes = True
        self.at_once: list[WatchEvent] = []
        self.waiting = asyncio.ensure_future(self.watch.next(self._serve))

    def _serve(self, deliveries: Collection[Delivery]) -> bool:
        if self.takes:
            self.at_once += [delivery.event for delivery in deliveries]
        return self.takes

    async def by_its_task(self) -> list[WatchEvent]:
        """What the task gets, which waits again then."""
        told = [delivery.event for delivery in await self.waiting]
        self.waiting = asyncio.ensure_future(self.watch.next(self._serve))
        await asyncio.sleep(0)
        return told


async def test_who_waits_is_served_on_the_spot(world: World) -> None:
    watcher = Served(world)
    await asyncio.sleep(0)
    told = [world.write("pods", name) for name in "ab"]
    assert not watcher.at_once  # not while events are published
    await asyncio.sleep(0)
    assert watcher.at_once == told
    assert not watcher.waiting.done()
    watcher.takes = False
    more = [world.write("pods", name) for name in "cd"]
    assert await watcher.by_its_task() == more
    watcher.takes = True
    last = world.write("pods", "e")
    await asyncio.sleep(0)
    assert watcher.at_once == [*told, last]
    world.hub.close()
    assert await watcher.by_its_task() == []


async def test_who_is_about_to_be_served_is_interrupted_and_misses_nothing(world: World) -> None:
    watcher = Served(world)
    await asyncio.sleep(0)
    event = world.write("pods", "a")
    watcher.watch.interrupt()
    assert await watcher.by_its_task() == [event]
    assert not watcher.at_once
    event = world.write("pods", "b")
    await asyncio.sleep(0)
    assert watcher.at_once == [event]
    watcher.waiting.cancel()


async def test_much_is_for_the_task_of_a_watcher_which_can_wait(world: World) -> None:
    watcher = Served(world)
    await asyncio.sleep(0)
    events = [world.write("pods", name, text="x" * (SERVED_BYTES // 2)) for name in "ab"]
    assert await watcher.by_its_task() == events
    assert not watcher.at_once
    watcher.waiting.cancel()


async def test_many_watchers_are_served_in_several_turns(world: World) -> None:
    watchers = [Served(world) for _ in range(SERVED_AT_ONCE + 1)]
    await asyncio.sleep(0)
    event = world.write("pods", "a")
    await asyncio.sleep(0)
    assert sum(len(watcher.at_once) for watcher in watchers) == SERVED_AT_ONCE
    await asyncio.sleep(0)
    assert all(watcher.at_once == [event] for watcher in watchers)
    for watcher in watchers:
        watcher.waiting.cancel()


async def test_a_wait_is_interrupted_only_if_nothing_happened(world: World) -> None:
    watch = world.hub.subscribe(WatchFilter("pods"), 1)
    watch.interrupt()
    with pytest.raises(TimeoutError):
        await watch.next()
    watch.interrupt()
    event = world.write("pods", "a")
    assert [d.event for d in await watch.next()] == [event]
    waiting = asyncio.ensure_future(watch.next())  # the interruption has been used up
    await asyncio.sleep(0)
    assert not waiting.done()
    watch.interrupt()
    world.hub.close()
    assert await waiting == []


async def test_a_cancelled_waiter_is_forgotten(world: World) -> None:
    waiting = asyncio.ensure_future(world.hub.wait(WatchFilter("pods"), timeout_s=5))
    await asyncio.sleep(0)
    assert world.hub.watchers == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert world.hub.watchers == 0


async def test_closing_ends_everyone(world: World) -> None:
    watch = world.hub.subscribe(WatchFilter("pods"), 1)
    waiting = asyncio.ensure_future(world.hub.wait(WatchFilter("pods"), timeout_s=5))
    await asyncio.sleep(0)
    world.hub.close()
    assert await watch.next() == []
    assert await waiting == 0
    assert await world.hub.subscribe(WatchFilter("pods"), 1).next() == []


class Made:
    """Encodes, and counts how often."""

    times = 0

    def __call__(self) -> bytes:
        self.times += 1
        return b"x"


async def test_an_event_is_encoded_once_and_the_encoding_is_let_go_when_it_is_old(
    world: World,
) -> None:
    event = world.write("pods", "a")
    made = Made()
    for _ in range(3):
        event.encoded(event.type, "json", made)
    assert made.times == 1
    for index in range(RECENT_EVENTS):
        world.write("nodes", f"n{index}")
    event.encoded(event.type, "json", made)
    assert made.times == 2


async def test_large_events_do_not_keep_each_others_encodings(world: World) -> None:
    made = Made()

    def encode(event: WatchEvent) -> None:
        event.encoded(event.type, "json", made)

    large = "x" * (RECENT_BYTES // 4)
    first = world.write("configmaps", "a", data=large)
    for _ in range(2):
        encode(first)
    assert made.times == 1
    last = first
    for index in range(4):
        last = world.write("configmaps", f"b{index}", data=large)
    for _ in range(2):
        encode(first)
        encode(last)
    assert made.times == 4  # the old one each time, the new one once


async def test_events_that_nobody_was_told_of_keep_no_encodings(world: World) -> None:
    """The history that is read back at a start."""
    event = WatchEvent(EventType.ADDED, world.write("pods", "a").record, None)
    made = Made()
    for _ in range(2):
        event.encoded(event.type, "json", made)
    assert made.times == 2
