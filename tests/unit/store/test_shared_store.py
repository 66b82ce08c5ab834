"""A store that shares its objects: what one writes the others see; nothing rests on the past."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import orjson
import pytest
from memoryengine import Shared

from kubeherd.cluster.api.errors import Expired, OutcomeUnknown, ServiceUnavailable
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store import following
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.shared import SharedStore
from kubeherd.cluster.store.sharedengine import Change, Progress
from kubeherd.cluster.store.staged import Staged, Superseded
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import Store, running
from kubeherd.cluster.store.watch.deliveries import WatchFilter
from kubeherd.simulation import virtualtime


def attrs_of(_: str, json: bytes) -> Attrs:
    return Attrs(orjson.loads(json)["metadata"].get("labels", {}))


def put(store: Store, name: str, resource: str = "pods", **spec: object) -> Staged:
    def json_for(revision: int) -> bytes:
        meta = {"name": name, "uid": "u", "resourceVersion": str(revision)}
        return orjson.dumps({"metadata": meta, "spec": spec})

    return store.put(resource, "ns", name, json_for)


def delete(store: Store, name: str, resource: str = "pods") -> Staged:
    last = store.head(resource, "ns", name)
    assert last is not None
    return store.delete(resource, "ns", name, lambda _: last.json)


def spec_of(store: Store, name: str, resource: str = "pods") -> object:
    record = store.get(resource, "ns", name)
    return None if record is None else record.load()["spec"]


class Pair:
    """Two stores that share their objects."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.engines = [shared.engine(), shared.engine()]
        self.stores = [SharedStore(e, attrs_of, rng=Rng(1)) for e in self.engines]

    @property
    def a(self) -> SharedStore:
        return self.stores[0]

    @property
    def b(self) -> SharedStore:
        return self.stores[1]

    async def settle(self) -> None:
        for store in self.stores:
            await store.fresh()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair(Shared())
    async with AsyncExitStack() as stack:
        for store in pair.stores:
            await stack.enter_async_context(running(store))
        yield pair


async def test_a_write_is_seen_by_the_other_once_that_is_fresh(pair: Pair) -> None:
    record = await pair.a.committed(put(pair.a, "p", n=1))
    assert record.load()["metadata"]["resourceVersion"] == str(record.revision) == "2"
    own = pair.a.get("pods", "ns", "p")
    assert own is not None
    assert own.json == record.json
    pair.engines[1].late()
    await pair.b.fresh()
    other = pair.b.get("pods", "ns", "p")
    assert other is not None
    assert other.json == record.json
    assert pair.b.revision == record.revision


async def test_bytes_that_are_stored_have_no_version(pair: Pair) -> None:
    await pair.a.committed(put(pair.a, "p"))
    assert orjson.loads(pair.shared.rows[0].value) == {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {},
    }


async def test_a_write_that_rests_on_an_old_state_is_decided_again(pair: Pair) -> None:
    await pair.a.committed(put(pair.a, "p", n=1))
    await pair.settle()
    pair.engines[1].stalled.clear()
    await pair.a.committed(put(pair.a, "p", n=2))
    late = put(pair.b, "p", n=3)
    waiting = asyncio.create_task(pair.b.committed(late))
    await asyncio.sleep(0.01)
    assert not waiting.done()  # first the newer state must be seen
    pair.engines[1].stalled.set()
    with pytest.raises(Superseded):
        await waiting
    assert spec_of(pair.b, "p") == {"n": 2}
    assert pair.b.head("pods", "ns", "p") is pair.b.get("pods", "ns", "p")


async def test_nothing_is_kept_of_readers_that_gave_up(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FRESH_S", 0.0)
    monkeypatch.setattr(following, "_ASK_AGAIN_S", 0.001)
    pair.engines[1].stalled.clear()
    await pair.a.committed(put(pair.a, "p"))
    for _ in range(3):
        with pytest.raises(ServiceUnavailable, match="behind"):
            await pair.b.fresh()
    assert not pair.b._reached
    pair.engines[1].stalled.set()
    await pair.b.fresh()
    assert spec_of(pair.b, "p") == {}


@pytest.mark.parametrize("value", [b"{broken", None])
async def test_an_object_that_cannot_be_read_any_more_is_gone(
    pair: Pair, value: bytes | None
) -> None:
    made = await pair.a.committed(put(pair.a, "p", n=1))
    pair.shared.make([Change("pods", "ns", "p", made.revision, b"{broken")])
    if value is None:
        pair.shared.make([Change("pods", "ns", "p", pair.shared.revision, None)])
    await pair.settle()
    assert pair.a.get("pods", "ns", "p") is None
    gone = pair.a.events_after(made.revision)
    assert [(one.type.name, one.record.load()["spec"]) for one in gone] == [("DELETED", {"n": 1})]


async def test_a_start_that_is_shown_nothing_ends_in_a_line(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "NOTHING_SHOWN_S", 0.01)
    await pair.a.committed(put(pair.a, "p"))
    engine = pair.shared.engine()
    engine.stalled.clear()
    with pytest.raises(StoreError, match="of revisions up to 2 only those up to 1 were shown"):
        await SharedStore(engine, attrs_of).start()


def test_a_start_goes_on_as_long_as_more_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    others = Shared()
    for number in range(5):
        others.make([Change("pods", "ns", f"p{number}", 0, b'{"metadata":{}}')])
    engine = others.engine()
    quick = engine.follow

    async def slowly(after: int) -> AsyncIterator[Progress]:
        async for progress in quick(after):
            for row in progress.rows:
                await asyncio.sleep(0.8 * following.NOTHING_SHOWN_S)
                yield Progress(row.revision, [row])

    async def started() -> int:
        store = SharedStore(engine, attrs_of, max_history_events=10)
        await store.start()
        return store.revision

    monkeypatch.setattr(engine, "follow", slowly)
    assert virtualtime.run(started()) == others.revision


async def test_of_two_creates_one_is_kept(pair: Pair) -> None:
    one, other = put(pair.a, "p", n=1), put(pair.b, "p", n=2)
    outcomes = await asyncio.gather(
        pair.a.committed(one), pair.b.committed(other), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in outcomes) == ["Record", "Superseded"]
    assert len(pair.shared.rows) == 1


async def test_writes_of_one_object_rest_on_each_other(pair: Pair) -> None:
    staged = [put(pair.a, "p", n=n) for n in range(20)]
    records = await asyncio.gather(*map(pair.a.committed, staged))
    assert [record.revision for record in records] == list(range(2, 22))
    assert spec_of(pair.a, "p") == {"n": 19}
    assert len({record.create_revision for record in records}) == 1


async def test_what_rests_on_a_write_that_was_not_kept_is_decided_again(pair: Pair) -> None:
    pair.engines[1].late()
    await pair.a.committed(put(pair.a, "p"))
    first, second = put(pair.b, "p", n=1), put(pair.b, "p", n=2)
    with pytest.raises(Superseded):  # a create: b has not seen it
        await pair.b.committed(first)
    with pytest.raises(Superseded):
        await pair.b.committed(second)
    assert spec_of(pair.b, "p") == {}
    assert pair.b.head("pods", "ns", "p") is not None


async def test_what_is_staged_together_is_made_at_once_or_not_at_all(pair: Pair) -> None:
    with pair.a.together():
        one, other = put(pair.a, "quota", "quotas"), put(pair.a, "p")
    await pair.a.committed(one)
    await pair.a.committed(other)
    assert one.record.revision == other.record.revision
    await pair.settle()
    pair.engines[0].late()
    await pair.b.committed(put(pair.b, "quota", "quotas", used=1))
    with pair.a.together():
        one, other = put(pair.a, "quota", "quotas", used=7), put(pair.a, "second")
    for staged in (one, other):
        with pytest.raises(Superseded):
            await pair.a.committed(staged)
    assert spec_of(pair.a, "second") is None
    assert spec_of(pair.a, "quota", "quotas") == {"used": 1}


async def test_what_raises_together_leaves_nothing(pair: Pair) -> None:
    await pair.a.committed(put(pair.a, "p", n=1))
    waiting = put(pair.a, "p", n=2)

    def refused() -> None:
        with pair.a.together():
            put(pair.a, "p", n=3)
            put(pair.a, "q")
            with pair.a.together():
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        refused()
    assert pair.a.head("pods", "ns", "p") is waiting.record
    assert pair.a.head("pods", "ns", "q") is None
    await pair.a.committed(waiting)
    assert spec_of(pair.a, "p") == {"n": 2}


async def test_a_write_may_rest_on_another_object(pair: Pair) -> None:
    await pair.a.committed(put(pair.a, "lease", "leases", holder="x"))
    await pair.settle()
    for others_write in (False, True):
        if others_write:
            pair.engines[0].late()
            await pair.b.committed(put(pair.b, "lease", "leases", holder="y"))
        with pair.a.together():
            pair.a.rest_on("leases", "ns", "lease")
            staged = put(pair.a, f"p{others_write}")
        if others_write:
            with pytest.raises(Superseded):
                await pair.a.committed(staged)
        else:
            await pair.a.committed(staged)


async def test_a_delete_shows_the_last_state_under_its_revision(pair: Pair) -> None:
    await pair.a.committed(put(pair.a, "p", n=1))
    await pair.settle()
    seen = pair.b.hub.subscribe(WatchFilter("pods"), pair.b.revision)
    record = await pair.a.committed(delete(pair.a, "p"))
    (delivery,) = await seen.next()
    assert delivery.type.value == "DELETED"
    assert delivery.event.record.load()["metadata"]["resourceVersion"] == str(record.revision)
    assert delivery.event.record.load()["spec"] == {"n": 1}
    assert pair.b.get("pods", "ns", "p") is None


async def test_an_outcome_that_nobody_knows_is_told_and_what_rests_on_it_decided_again(
    pair: Pair,
) -> None:
    pair.engines[0].loses_answers = True
    first, second = put(pair.a, "p", n=1), put(pair.a, "p", n=2)
    with pytest.raises(OutcomeUnknown):
        await pair.a.committed(first)
    with pytest.raises(Superseded):
        await pair.a.committed(second)
    await pair.b.fresh()
    assert spec_of(pair.b, "p") == {"n": 1}


async def test_without_the_engine_writes_and_fresh_reads_fail_and_watches_stay(pair: Pair) -> None:
    seen = pair.a.hub.subscribe(WatchFilter("pods"), pair.a.revision)
    pair.engines[0].broken = "etcd has no leader"
    with pytest.raises(ServiceUnavailable, match="no leader"):
        await pair.a.committed(put(pair.a, "p"))
    with pytest.raises(ServiceUnavailable, match="no leader"):
        await pair.a.fresh()
    assert not pair.a.writable
    assert pair.a.head("pods", "ns", "p") is None
    pair.engines[0].broken = ""
    await pair.a.committed(put(pair.a, "p"))
    assert pair.a.writable
    assert len(await seen.next()) == 1


async def test_a_store_begins_with_the_history_that_is_still_there() -> None:
    shared = Shared()
    async with running(SharedStore(shared.engine(), attrs_of)) as store:
        for n in range(5):
            await store.committed(put(store, f"p{n}"))
        await store.committed(delete(store, "p0"))
        await store.forget(3)
    assert shared.compacted == 3
    async with running(SharedStore(shared.engine(), attrs_of, max_history_events=100)) as store:
        assert store.revision == 7
        assert [r.name for r in store.list("pods")] == ["p1", "p2", "p3", "p4"]
        assert [r.name for r in store.list_at("pods", "", 4)] == ["p0", "p1", "p2"]
        events = store.hub.events_since(WatchFilter("pods"), 3)
        assert [one.event.revision for one in events] == [4, 5, 6, 7]
        with pytest.raises(Expired):
            store.hub.events_since(WatchFilter("pods"), 2)


async def test_who_was_away_for_too_long_reads_anew_and_his_watchers_list_again(
    pair: Pair,
) -> None:
    await pair.a.committed(put(pair.a, "gone"))
    await pair.settle()
    seen = pair.b.hub.subscribe(WatchFilter("pods"), pair.b.revision)
    pair.engines[1].stalled.clear()
    await pair.a.committed(delete(pair.a, "gone"))
    await pair.a.committed(put(pair.a, "new"))
    await pair.a.forget(pair.a.revision)
    pair.engines[1].stalled.set()
    with pytest.raises(Expired):
        await seen.next()
    await pair.b.fresh()
    assert [r.name for r in pair.b.list("pods")] == ["new"]
    await pair.b.committed(put(pair.b, "new", n=2))
    again = pair.b.hub.subscribe(WatchFilter("pods"), pair.b.revision)
    await pair.a.committed(put(pair.a, "newer"))
    assert len(await again.next()) == 1


async def test_a_store_that_stops_waits_for_what_is_under_way_and_takes_no_more() -> None:
    shared = Shared()
    engine = shared.engine()
    async with running(SharedStore(engine, attrs_of)) as store:
        engine.turns = 50
        staged = put(store, "p")
    assert staged.done
    assert staged.error is None
    with pytest.raises(ServiceUnavailable):
        put(store, "q")


@pytest.mark.parametrize("seed", range(20))
async def test_counters_lose_no_increment_whoever_writes(seed: int) -> None:
    """Three stores add to a few counters, some of them together; each lost race is run again."""
    chance, shared = random.Random(seed), Shared()
    engines = [shared.engine() for _ in range(3)]
    stores = [SharedStore(engine, attrs_of, rng=Rng(seed)) for engine in engines]
    for engine in engines:
        engine.turns = chance.randrange(4)

    def value(store: Store, name: str) -> int:
        record = store.head("counters", "ns", name)
        return 0 if record is None else int(record.load()["spec"]["n"])

    async def add(store: Store, names: list[str]) -> None:
        while True:
            with store.together():
                staged = [put(store, name, "counters", n=value(store, name) + 1) for name in names]
            try:
                for one in staged:
                    await store.committed(one)
                return
            except Superseded:
                continue

    wanted = dict.fromkeys("xyz", 0)
    async with AsyncExitStack() as stack:
        for store in stores:
            await stack.enter_async_context(running(store))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(40):
                names = chance.sample("xyz", chance.randint(1, 2))
                for name in names:
                    wanted[name] += 1
                tasks.create_task(add(chance.choice(stores), names))
                if chance.random() < 0.5:
                    await asyncio.sleep(0)
        for store in stores:
            await store.fresh()
            assert {name: value(store, name) for name in wanted} == wanted
            assert not store._head
    revisions = [row.revision for row in shared.rows]
    assert revisions == sorted(revisions)
