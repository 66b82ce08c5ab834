"""What holds for every kind of store: alone in memory and on SQLite, with others on what is shared.

Each test runs with each; what only one kind promises is tested beside it (`test_store`,
`test_shared_store`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from etcdserver import EtcdMember
from memoryengine import Shared
from patience import PATIENCE_S

from kubeherd.cluster.api.errors import Expired, ServiceUnavailable
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import MemoryEngine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.shared import SharedStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import Attrs, EventType, Record
from kubeherd.cluster.store.store import Store, running
from kubeherd.cluster.store.watch.deliveries import Delivery, WatchFilter

HISTORY_EVENTS = 50


def attrs_of(resource_key: str, json: bytes) -> Attrs:
    tree = orjson.loads(json)
    node = tree.get("node", "")
    labels = tree["metadata"].get("labels", {})
    return Attrs(labels, {"spec.nodeName": node} if node else {})


def encoder(namespace: str, name: str, tree: dict[str, object]) -> Callable[[int], bytes]:
    def json_for(revision: int) -> bytes:
        meta = {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}"}
        meta["resourceVersion"] = str(revision)
        return orjson.dumps({"metadata": meta, **tree})

    return json_for


def put(
    store: Store, name: str, *, resource: str = "pods", namespace: str = "ns", **tree: object
) -> Staged:
    return store.put(resource, namespace, name, encoder(namespace, name, tree))


def delete(store: Store, name: str, *, resource: str = "pods", namespace: str = "ns") -> Staged:
    last = store.head(resource, namespace, name)
    assert last is not None
    tree = {key: value for key, value in last.load().items() if key != "metadata"}
    return store.delete(resource, namespace, name, encoder(namespace, name, tree))


def version(record: Record) -> int:
    return int(record.load()["metadata"]["resourceVersion"])


class Kind:
    """Opens stores of one kind, again and again on the same place."""

    def __init__(self, name: str, directory: Path, etcd: EtcdMember | None) -> None:
        self.name = name
        self._directory = directory
        self._etcd = etcd
        self._shared = Shared()

    @asynccontextmanager
    async def opened(self, history_events: int = HISTORY_EVENTS) -> AsyncIterator[Store]:
        async with running(self._store(history_events)) as store:
            yield store

    def _store(self, history_events: int) -> Store:
        if self.name == "memory":
            return LocalStore(MemoryEngine(), attrs_of, max_history_events=history_events)
        if self.name == "sqlite":
            engine = SqliteEngine(self._directory / "store.db")
            return LocalStore(engine, attrs_of, max_history_events=history_events)
        if self._etcd is None:
            shared = self._shared.engine()
            return SharedStore(shared, attrs_of, max_history_events=history_events, rng=Rng(1))
        from kubeherd.cluster.store.etcd.engine import EtcdEngine  # noqa: PLC0415 - an extra
        from kubeherd.cluster.store.etcd.target import EtcdTarget  # noqa: PLC0415

        etcd = EtcdEngine(EtcdTarget((self._etcd.endpoint,)), Rng(1))
        return SharedStore(etcd, attrs_of, max_history_events=history_events, rng=Rng(1))


@pytest.fixture(params=["memory", "sqlite", "shared", "etcd"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    etcd = request.getfixturevalue("etcd") if request.param == "etcd" else None
    return Kind(request.param, tmp_path, etcd)


@pytest.fixture
async def store(kind: Kind) -> AsyncIterator[Store]:
    async with kind.opened() as opened:
        yield opened


async def test_a_staged_write_is_seen_by_writers_only_until_it_is_durable(store: Store) -> None:
    staged = put(store, "a")
    assert store.head("pods", "ns", "a") is staged.record
    assert store.staged("pods", "ns", "a") is staged
    assert store.get("pods", "ns", "a") is None
    assert list(store.list("pods")) == []
    record = await store.committed(staged)
    found = store.get("pods", "ns", "a")
    assert found is not None
    assert (found.json, found.revision) == (record.json, record.revision)
    assert version(found) == found.revision == found.create_revision == store.revision
    assert store.staged("pods", "ns", "a") is None


async def test_a_staged_delete_hides_the_object_from_writers_and_not_from_readers(
    store: Store,
) -> None:
    made = await store.committed(put(store, "a", v=1))
    staged = delete(store, "a")
    assert store.head("pods", "ns", "a") is None
    assert store.get("pods", "ns", "a") is not None
    record = await store.committed(staged)
    assert store.get("pods", "ns", "a") is None
    assert record.revision == version(record) > made.revision
    assert record.create_revision == made.revision
    (gone,) = store.hub.events_since(WatchFilter("pods"), made.revision)
    assert (gone.type, gone.event.revision) == (EventType.DELETED, record.revision)
    assert gone.event.record.load()["v"] == 1


async def test_a_name_may_be_used_again(store: Store) -> None:
    first = await store.committed(put(store, "a"))
    delete(store, "a")
    again = await store.committed(put(store, "a"))
    assert again.create_revision == again.revision > first.revision
    types = [d.type.value for d in store.hub.events_since(WatchFilter("pods"), first.revision - 1)]
    assert types == ["ADDED", "DELETED", "ADDED"]


async def test_writes_of_one_object_follow_each_other(store: Store) -> None:
    staged = [put(store, "a", v=v) for v in range(10)]
    records = [await store.committed(one) for one in staged]
    revisions = [record.revision for record in records]
    assert revisions == sorted(set(revisions))
    assert {record.create_revision for record in records} == {revisions[0]}
    events = store.hub.events_since(WatchFilter("pods"), revisions[0])
    assert [d.event.record.load()["v"] for d in events] == list(range(1, 10))
    assert [d.event.previous and d.event.previous.revision for d in events] == revisions[:-1]


async def test_lists_are_ordered_by_namespace_and_name(store: Store) -> None:
    staged = [
        put(store, name, namespace=namespace)
        for namespace, name in [("b", "a"), ("a", "z"), ("a", "b"), ("ab", "a")]
    ]
    for one in staged:
        await store.committed(one)
    assert [(r.namespace, r.name) for r in store.list("pods")] == [
        ("a", "b"),
        ("a", "z"),
        ("ab", "a"),
        ("b", "a"),
    ]
    assert [r.name for r in store.list("pods", "a")] == ["b", "z"]
    assert store.list("pods") is store.list("pods")


async def test_pods_are_found_by_their_node(store: Store) -> None:
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
        await store.committed(put(store, name, node=node))
    await store.committed(put(store, "a", node="n2"))
    assert [r.name for r in store.list_on_node("pods", "n1")] == ["c"]
    wanted = WatchFilter("pods", node_name="n1")
    assert [(d.type.value, d.event.record.name) for d in store.hub.events_since(wanted, 1)] == [
        ("ADDED", "a"),
        ("ADDED", "c"),
        ("DELETED", "a"),
    ]


async def test_a_list_at_an_old_revision_is_what_it_was(store: Store) -> None:
    await store.committed(put(store, "a", v=1))
    then = await store.committed(put(store, "b"))
    staged = [put(store, "a", v=2), delete(store, "b"), put(store, "c")]
    for one in staged:
        await store.committed(one)
    listed = store.list_at("pods", "ns", then.revision)
    assert [(r.name, r.load().get("v")) for r in listed] == [("a", 1), ("b", None)]
    assert [r.name for r in store.list_at("pods", "", store.revision)] == ["a", "c"]


async def test_watchers_see_every_event_once_and_in_order(store: Store) -> None:
    seen = store.hub.subscribe(WatchFilter("pods"), store.revision)
    staged = [put(store, f"p{n % 7}", v=n) for n in range(40)]
    for one in staged:
        await store.committed(one)
    deliveries: list[Delivery] = []
    while len(deliveries) < 40:
        deliveries += await asyncio.wait_for(seen.next(), PATIENCE_S)
    revisions = [d.event.revision for d in deliveries]
    assert revisions == sorted(set(revisions))
    assert [d.event.revision for d in store.hub.events_since(WatchFilter("pods"), 1)] == revisions
    for name in range(7):  # each object's own writes in the order in which they were made
        own = [d.event.record for d in deliveries if d.event.record.name == f"p{name}"]
        assert [r.load()["v"] for r in own] == sorted(r.load()["v"] for r in own)


async def test_history_is_bounded_and_too_old_a_revision_is_refused(kind: Kind) -> None:
    async with kind.opened(history_events=3) as store:
        records = [await store.committed(put(store, f"p{n}")) for n in range(6)]
        assert store.compacted == records[2].revision
        names = [
            d.event.record.name
            for d in store.hub.events_since(WatchFilter("pods"), store.compacted)
        ]
        assert names == ["p3", "p4", "p5"]
        with pytest.raises(Expired, match="too old resource version"):
            store.hub.events_since(WatchFilter("pods"), store.compacted - 1)
        with pytest.raises(Expired):
            store.list_at("pods", "", store.compacted - 1)


async def test_the_past_is_forgotten_when_its_time_is_over(kind: Kind) -> None:
    async with kind.opened() as store:
        records = [await store.committed(put(store, "a", v=v)) for v in range(6)]
        await store.forget(records[3].revision)
        assert store.compacted == records[3].revision
        with pytest.raises(Expired):
            store.hub.events_since(WatchFilter("pods"), records[2].revision)
        events = store.hub.events_since(WatchFilter("pods"), records[3].revision)
        assert [d.event.record.load()["v"] for d in events] == [4, 5]
        last = await store.committed(put(store, "b"))
    if kind.name == "memory":
        return
    async with kind.opened() as store:
        assert [r.load().get("v") for r in store.list("pods")] == [5, None]
        with pytest.raises(Expired):
            store.hub.events_since(WatchFilter("pods"), records[2].revision)
        events = store.hub.events_since(WatchFilter("pods"), records[4].revision)
        assert [d.event.revision for d in events] == [records[5].revision, last.revision]


async def test_objects_history_and_revisions_come_back(kind: Kind) -> None:
    if kind.name == "memory":
        pytest.skip("memory does not outlive its process")
    async with kind.opened() as store:
        first = await store.committed(put(store, "a", v=1))
        await store.committed(put(store, "b"))
        second = await store.committed(put(store, "a", v=2))
        gone = await store.committed(delete(store, "b"))
    async with kind.opened() as store:
        record = store.get("pods", "ns", "a")
        assert record is not None
        assert (record.revision, record.create_revision) == (second.revision, first.revision)
        assert record.json == second.json
        assert store.get("pods", "ns", "b") is None
        assert store.revision == gone.revision
        events = store.hub.events_since(WatchFilter("pods"), first.revision)
        assert [d.type.value for d in events] == ["ADDED", "MODIFIED", "DELETED"]
        assert (await store.committed(put(store, "c"))).revision > gone.revision


async def test_what_is_staged_together_is_durable_together(store: Store) -> None:
    before = store.revision
    with store.together():
        staged = [put(store, "quota", resource="resourcequotas"), put(store, "a")]
    for one in staged:
        await store.committed(one)
    assert store.get("resourcequotas", "ns", "quota") is not None
    assert store.get("pods", "ns", "a") is not None
    assert len(store.events_after(before)) == 2


async def test_what_raises_while_it_is_staged_leaves_nothing(store: Store) -> None:
    await store.committed(put(store, "a", v=1))
    waiting = put(store, "a", v=2)

    def refused() -> None:
        with store.together():
            put(store, "a", v=3)
            delete(store, "a")
            put(store, "b")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        refused()
    assert store.head("pods", "ns", "a") is waiting.record
    assert store.head("pods", "ns", "b") is None
    await store.committed(waiting)
    after = await store.committed(put(store, "c"))
    assert [(r.name, r.load().get("v")) for r in store.list("pods")] == [("a", 2), ("c", None)]
    assert after.revision == store.revision


async def test_readers_are_fresh_and_reach_what_they_know_of(store: Store) -> None:
    record = await store.committed(put(store, "a"))
    await store.fresh()
    assert store.get("pods", "ns", "a") is not None
    assert await store.reach(record.revision)
    assert not await store.reach(record.revision + 1000)


async def test_a_store_that_stops_refuses_writes_and_commits_what_it_has(kind: Kind) -> None:
    async with kind.opened() as store:
        staged = put(store, "a")
        store.stop()
        with pytest.raises(ServiceUnavailable):
            put(store, "b")
        await asyncio.wait_for(store.committed(staged), PATIENCE_S)
        assert store.get("pods", "ns", "a") is not None


async def test_an_object_may_have_a_time_to_live(kind: Kind) -> None:
    async with kind.opened() as store:
        json_for = encoder("ns", "e", {})
        await store.committed(store.put("events", "ns", "e", json_for, ttl_s=3600))
        await store.committed(store.put("events", "ns", "e", json_for, ttl_s=3600))
        await store.committed(delete(store, "e", resource="events"))
        assert store.list("events") == ()
        assert store.expires is store.is_shared
