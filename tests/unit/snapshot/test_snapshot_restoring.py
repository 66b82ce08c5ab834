"""A store made of a snapshot: the same objects, revisions that go on above, nothing half done."""

import asyncio
import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import ClusterOptions, Settings, StoreKind
from kubeherd.cluster.store.engine import Engine, StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.sqlite.seeded import SeededEngine
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import running
from kubeherd.snapshot import fileformat, restoring, stopped
from kubeherd.snapshot.model import Entry, Origin, Snapshot, SnapshotError, entry_of

KEYS = st.tuples(
    st.sampled_from(["pods", "widgets.example.com"]),
    st.sampled_from(["", "x", "x-y"]),
    st.sampled_from(["a", "b", "ä"]),
)
WRITES = st.lists(st.tuples(KEYS, st.none() | st.text(max_size=4)), max_size=12)
"""(object, what it holds from now on; None: it is deleted)."""


def attrs_of(_resource_key: str, _json: bytes) -> Attrs:
    return Attrs({}, {})


def cluster_settings() -> Settings:
    return lifecycle.new_settings(nodes=1, port=7001, seed=3)


def a_directory(path: Path) -> RunDir:
    rundir = RunDir(path)
    rundir.prepare()
    rundir.save_settings(cluster_settings())
    return rundir


async def write(engine: Engine, writes: list[tuple[tuple[str, str, str], str | None]]) -> None:
    async with running(LocalStore(engine, attrs_of)) as store:
        for (resource, namespace, name), text in writes:
            metadata = {"name": name, "namespace": namespace}

            def json_for(revision: int, metadata=metadata, text=text) -> bytes:
                whole = {"metadata": {**metadata, "resourceVersion": str(revision)}, "text": text}
                return orjson.dumps(whole)

            if text is not None:
                staged = store.put(resource, namespace, name, json_for)
            elif store.head(resource, namespace, name) is not None:
                staged = store.delete(resource, namespace, name, json_for)
            else:
                continue
            await store.committed(staged)


def seen(snapshot: Snapshot) -> list[tuple[str, str, str, int, int, object]]:
    return sorted(
        (e.resource, e.namespace, e.name, e.created, e.revision, e.tree()["text"])
        for e in snapshot.entries
    )


@settings(max_examples=12, deadline=None)
@given(WRITES)
def test_any_state_comes_back_and_its_revisions_go_on(writes):
    with tempfile.TemporaryDirectory() as place:
        first = a_directory(Path(place) / "first")
        asyncio.run(write(SqliteEngine(first.root / "store.db"), writes))
        taken = stopped.take(first, cluster_settings())
        read = fileformat.decode(fileformat.encode(taken))
        again = RunDir(Path(place) / "again")
        revision = restoring.restore(read, again, cluster_settings())
        assert seen(stopped.take(again, cluster_settings())) == seen(taken)
        assert revision == taken.revision + restoring.SKIPPED
        asyncio.run(the_past_is_forgotten(again, taken.revision, revision))


async def the_past_is_forgotten(rundir: RunDir, before: int, revision: int) -> None:
    async with running(LocalStore(SqliteEngine(rundir.root / "store.db"), attrs_of)) as store:
        assert store.revision == revision
        with pytest.raises(Expired):
            store.events_after(before)
        for key in store.resource_keys():
            for record in store.list(key):
                assert record.load()["metadata"]["resourceVersion"] == str(record.revision)
        staged = store.put("pods", "", "new", lambda _revision: b'{"metadata": {}}')
        assert (await store.committed(staged)).revision == revision + 1


async def test_a_memory_store_begins_with_it_each_time(tmp_path: Path):
    await restored(tmp_path / "new")
    file = tmp_path / "new" / "store.db"
    before = file.read_bytes()
    for _ in range(2):
        async with running(LocalStore(SeededEngine(file), attrs_of)) as store:
            assert [record.name for record in store.list("pods")] == ["p"]
            assert store.revision == 5 + restoring.SKIPPED
            staged = store.put("pods", "", "new", lambda _revision: b'{"metadata": {}}')
            assert (await store.committed(staged)).revision == store.revision
    assert file.read_bytes() == before


async def restored(path: Path) -> None:
    await asyncio.to_thread(restoring.restore, ONE, RunDir(path), cluster_settings())


def entry(name: str, revision: int) -> Entry:
    return entry_of("pods", {"metadata": {"name": name}}, revision=revision)


@given(st.lists(st.integers(0, 6), max_size=6), st.integers(0, 6))
def test_each_object_gets_a_revision_of_its_own(revisions, revision):
    entries = [entry(f"p{at}", one) for at, one in enumerate(revisions)]
    rows, last = restoring.rows_of(Snapshot(origin=Origin.DUMP, revision=revision, entries=entries))
    numbers = [row.revision for row in rows]
    assert numbers == sorted(set(numbers))
    assert max([revision, *numbers], default=0) <= last
    kept = {row.name: row.revision for row in rows}
    for one, asked in zip(entries, revisions, strict=True):
        if asked > 1 and revisions.count(asked) == 1:
            assert kept[one.name] == asked


ONE = Snapshot(origin=Origin.DUMP, revision=5, entries=[entry("p", 5)])


def left(path: Path) -> list[str]:
    return sorted(str(one.relative_to(path)) for one in path.rglob("*"))


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    a_directory(tmp_path / "ours")
    before = left(tmp_path)
    with pytest.raises(SnapshotError, match="mine is not empty: choose another"):
        restoring.restore(ONE, RunDir(tmp_path / "mine"), cluster_settings())
    with pytest.raises(SnapshotError, match="ours has a cluster: choose another"):
        restoring.restore(ONE, RunDir(tmp_path / "ours"), cluster_settings())
    with pytest.raises(SnapshotError, match="file is not a directory"):
        restoring.restore(ONE, RunDir(tmp_path / "mine" / "file"), cluster_settings())
    assert left(tmp_path) == before


def test_an_empty_directory_is_used_and_not_taken_for_our_own(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    restoring.restore(ONE, RunDir(tmp_path / "empty"), cluster_settings())
    assert RunDir(tmp_path / "empty").purge() == []
    assert (tmp_path / "empty").is_dir()
    restoring.restore(ONE, RunDir(tmp_path / "new"), cluster_settings())
    assert RunDir(tmp_path / "new").purge() == []
    assert not (tmp_path / "new").exists()


def test_what_it_makes_is_private(tmp_path: Path):
    restoring.restore(ONE, RunDir(tmp_path / "new"), cluster_settings())
    root = tmp_path / "new"
    assert root.stat().st_mode & 0o777 == 0o700
    for file in (root / "store.db", root / "cluster.json"):
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def refuse(engine: SqliteEngine, *_args: object) -> None:
        raise StoreError(f"cannot write to the store {engine.path}: database or disk is full")

    monkeypatch.setattr(SqliteEngine, "commit", refuse)
    with pytest.raises(SnapshotError) as raised:
        restoring.restore(ONE, RunDir(tmp_path / "new"), cluster_settings())
    assert str(raised.value) == (
        f"cannot restore into {tmp_path}/new: cannot write to the store {tmp_path}/new/store.db:"
        " database or disk is full"
    )
    assert left(tmp_path) == []


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunDir, "save_settings", interrupt)
    with pytest.raises(KeyboardInterrupt):
        restoring.restore(ONE, RunDir(tmp_path / "new"), cluster_settings())
    assert left(tmp_path) == []


@pytest.mark.parametrize("store", [StoreKind.MEMORY, StoreKind.ETCD])
def test_other_stores_can_be_read_only_while_they_run(store, tmp_path: Path):
    rundir = a_directory(tmp_path / "c")
    with pytest.raises(SnapshotError, match=f"{store} store can be read only while it runs: `kube"):
        stopped.take(rundir, lifecycle.new_settings(ClusterOptions(store=store), port=7001))


def test_a_cluster_that_was_never_up_has_no_objects(tmp_path: Path):
    rundir = a_directory(tmp_path / "c")
    with pytest.raises(SnapshotError, match="has no objects yet"):
        stopped.take(rundir, cluster_settings())


def test_a_damaged_store_is_refused(tmp_path: Path):
    rundir = a_directory(tmp_path / "c")
    asyncio.run(write(SqliteEngine(rundir.root / "store.db"), [(("pods", "", "a"), "x")]))
    file = rundir.root / "store.db"
    file.write_bytes(file.read_bytes().replace(b'"text":"x"', b'"text":"y"'))
    with pytest.raises(SnapshotError, match=r"store.db is damaged \(wrong checksum"):
        stopped.take(rundir, cluster_settings())
