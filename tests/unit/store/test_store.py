"""The store: staged writes are invisible until committed, and survive what they must survive."""

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import orjson
import pytest
from patience import PATIENCE_S
from structlog.testing import capture_logs

from kubeherd.cluster.api.errors import ServiceUnavailable
from kubeherd.cluster.store import keyspace
from kubeherd.cluster.store import store as store_module
from kubeherd.cluster.store.engine import MemoryEngine, Row, StoreError
from kubeherd.cluster.store.local import MAX_GROUP_BYTES, SHOWN_AT_ONCE, LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.staged import Staged, Waits
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import Store, running
from kubeherd.cluster.store.watch.deliveries import WatchFilter


def attrs_of(resource_key: str, json: bytes) -> Attrs:
    tree = orjson.loads(json)
    node = tree.get("node", "")
    return Attrs(tree.get("labels", {}), {"spec.nodeName": node} if node else {})


def as_it_is(json: bytes, _revision: int) -> bytes:
    return json


def put(
    store: Store, name: str, *, resource: str = "pods", namespace: str = "ns", **tree: object
) -> Staged:
    def json_for(revision: int) -> bytes:
        return orjson.dumps({"name": name, "rv": revision, **tree})

    return store.put(resource, namespace, name, json_for, attrs_of(resource, json_for(0)))


def delete(store: Store, name: str, *, resource: str = "pods", namespace: str = "ns") -> Staged:
    last = store.head(resource, namespace, name)
    assert last is not None
    tree = last.load()
    return store.delete(
        resource, namespace, name, lambda revision: orjson.dumps({**tree, "rv": revision})
    )


class FailingEngine(MemoryEngine):
    """Fails every commit while `broken` is set."""

    broken = False

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        if self.broken:
            raise StoreError("disk full")


async def test_a_full_disk_is_logged_once_until_it_is_over() -> None:
    engine = FailingEngine()
    async with running(LocalStore(engine, attrs_of)) as store:
        with capture_logs() as logs:
            for _ in range(2):
                engine.broken = True
                for _ in range(3):
                    with pytest.raises(ServiceUnavailable):
                        await store.committed(put(store, "a"))
                engine.broken = False
                await store.committed(put(store, "a"))
    assert [entry["event"] for entry in logs] == ["commit_failed", "commit_recovered"] * 2


async def test_a_failed_commit_leaves_nothing_behind_and_revisions_are_not_reused() -> None:
    engine = FailingEngine()
    async with running(LocalStore(engine, attrs_of)) as store:
        await store.committed(put(store, "a", v=1))
        engine.broken = True
        lost = [put(store, "a", v=2), put(store, "b")]
        for staged in lost:
            with pytest.raises(ServiceUnavailable, match="disk full"):
                await store.committed(staged)
        assert store.head("pods", "ns", "b") is None
        assert store.list("pods")[0].load()["v"] == 1
        engine.broken = False
        again = await store.committed(put(store, "b"))
        assert again.revision > max(staged.revision for staged in lost)
        assert [d.event.record.name for d in store.hub.events_since(WatchFilter("pods"), 0)] == [
            "a",
            "b",
        ]


class HangingEngine(MemoryEngine):
    """Its commits wait for `free`."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        await self.free.wait()


async def test_large_writes_are_committed_in_smaller_groups() -> None:
    groups: list[int] = []

    class Counting(MemoryEngine):
        async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
            groups.append(len(rows))

    engine = Counting()
    async with running(LocalStore(engine, attrs_of)) as store:
        large = b'"' + b"x" * (MAX_GROUP_BYTES // 2) + b'"'
        staged = [
            store.put("pods", "ns", name, partial(as_it_is, json), Attrs())
            for name, json in zip("abcd", (large, large, b"{}", b"{}"), strict=True)
        ]
        await store.committed(staged[-1])
    assert groups == [2, 2]


async def test_a_large_group_is_shown_in_several_turns_and_in_order() -> None:
    async with running(LocalStore(MemoryEngine(), attrs_of)) as store:
        staged = [put(store, f"pod-{number}") for number in range(3 * SHOWN_AT_ONCE)]
        watcher = store.hub.subscribe(WatchFilter("pods", "ns"), store.revision)
        seen, revisions = list[int](), set[int]()
        async with asyncio.timeout(PATIENCE_S):
            while not staged[-1].done:
                await asyncio.sleep(0)
                seen += [one.event.revision for one in watcher.take()]
                revisions.add(store.revision)
                for one in staged:
                    assert one.done == (one.revision <= store.revision)
                    assert (store.get("pods", "ns", one.record.name) is not None) == one.done
        assert seen == [one.revision for one in staged]
        assert len(revisions) >= 3


async def test_a_writer_does_not_wait_for_ever_and_its_write_is_not_lost() -> None:
    engine = HangingEngine()
    async with running(LocalStore(engine, attrs_of)) as store:
        store.waits = Waits(0.001)
        staged = put(store, "a")
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await store.committed(staged)
        assert store.get("pods", "ns", "a") is None
        engine.free.set()
        store.waits = Waits(PATIENCE_S)
        assert await store.committed(staged) is store.get("pods", "ns", "a")


async def test_waits_end_in_turn_and_those_that_are_over_are_left_out() -> None:
    waits = Waits(0.01)
    first, second = waits.begin(), waits.begin()
    first.set_result(None)
    with pytest.raises(TimeoutError):
        await second
    third = waits.begin()
    with pytest.raises(TimeoutError):
        await third
    assert first.result() is None
    waits.close()


async def test_compaction_deletes_superseded_rows_and_keeps_the_state(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    engine = SqliteEngine(path)
    async with running(LocalStore(engine, attrs_of, max_history_events=2)) as store:
        for value in range(20):
            await store.committed(put(store, "a", v=value))
        await store.committed(put(store, "gone"))
        await store.committed(delete(store, "gone"))
        for value in range(4):
            await store.committed(put(store, "b", v=value))
    engine.open()
    rows = list(engine.replay())
    await engine.close()
    assert len(rows) <= 6
    assert {row.name for row in rows} == {"a", "b"}
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        assert [r.load().get("v") for r in store.list("pods")] == [19, 3]
        assert store.revision == 27


async def test_two_servers_never_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with running(LocalStore(SqliteEngine(path), attrs_of)):
        with pytest.raises(StoreError, match="in use by another API server"):
            SqliteEngine(path).open()


@pytest.mark.parametrize("content", [b"not a database, and long enough to be looked at" * 40, b"x"])
def test_a_broken_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        SqliteEngine(path).open()
    assert path.read_bytes() == content


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="not a kubeherd store"):
        SqliteEngine(path).open()


def test_an_unwritable_place_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open|damaged|No such file"):
        SqliteEngine(tmp_path / "missing" / "store.db").open()


async def test_a_store_that_stops_refuses_writes_and_commits_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        staged = put(store, "a")
        store.stop()
        with pytest.raises(ServiceUnavailable):
            put(store, "b")
        await asyncio.wait_for(store.committed(staged), PATIENCE_S)
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        assert [r.name for r in store.list("pods")] == ["a"]


async def test_resources_that_come_and_go_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyspace, "MAX_COLLECTIONS", 3)
    monkeypatch.setattr(store_module, "MAX_MEASURED", 4)
    async with running(LocalStore(MemoryEngine(), attrs_of, max_history_events=16)) as store:
        await store.committed(put(store, "kept", resource="pods"))
        for number in range(20):
            await store.committed(put(store, "a", resource=f"things{number}"))
            await store.committed(delete(store, "a", resource=f"things{number}"))
        assert len(store.resource_keys()) <= 3
        assert store.list("pods")
        assert len(store.commit_seconds) == 4
        assert len(store._history._by_resource) <= 16 / 2
