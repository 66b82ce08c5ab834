"""The SQLite engine when things go wrong: kills, full disks, damaged and foreign files."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from kubeherd.cluster.api.errors import ServiceUnavailable
from kubeherd.cluster.store.engine import Row, StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import running

WRITER = """
import asyncio, sys
from pathlib import Path
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import running

async def write(store, number):
    while True:
        for name in ("a", "b", "c"):
            staged = store.put("pods", f"ns{number}", name, lambda rv: b'{"rv":%d}' % rv, Attrs())
            record = await store.committed(staged)
            print(record.namespace, record.name, record.revision, flush=True)
        last = store.delete("pods", f"ns{number}", "c", lambda rv: b'{"rv":%d}' % rv)
        print(f"ns{number}", "-c", (await store.committed(last)).revision, flush=True)

async def main():
    engine = SqliteEngine(Path(sys.argv[1]))
    store = LocalStore(engine, lambda key, json: Attrs(), max_history_events=50)
    async with running(store):
        await asyncio.gather(*(write(store, number) for number in range(4)))

asyncio.run(main())
"""


def attrs_of(_resource_key: str, _json: bytes) -> Attrs:
    return Attrs()


async def make_store(path: Path, count: int = 3) -> None:
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        for index in range(count):
            staged = store.put("pods", "ns", f"p{index}", lambda rv: b'{"rv":%d}' % rv, Attrs())
        await store.committed(staged)


def acknowledged(output: bytes) -> dict[tuple[str, str], int]:
    """The last whole acknowledgement of each object: its revision, negative if deleted."""
    last = {}
    for line in output.decode().rpartition("\n")[0].splitlines():
        namespace, name, revision = line.split()
        deleted = name.startswith("-")
        last[namespace, name.removeprefix("-")] = -int(revision) if deleted else int(revision)
    return last


def write_and_kill(path: Path, lines: int) -> bytes:
    """What a writing process had acknowledged when it was killed after so many lines."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        output = b"".join(process.stdout.readline() for _ in range(lines))
        process.send_signal(signal.SIGKILL)
        return output + process.stdout.read()


@pytest.mark.parametrize("lines", [1, 40, 400])
async def test_a_killed_server_loses_no_acknowledged_write(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "store.db"
    promised = acknowledged(write_and_kill(path, lines))
    assert promised
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        for (namespace, name), revision in promised.items():
            record = store.get("pods", namespace, name)
            # One write per object may have been durable already without its answer being out.
            if record is None:
                assert revision < 0 or name == "c"
            else:
                assert record.revision >= abs(revision)
                assert orjson.loads(record.json)["rv"] == record.revision
        assert store.revision >= max(map(abs, promised.values()))
        staged = store.put("pods", "ns0", "new", lambda rv: b'{"rv":%d}' % rv, Attrs())
        assert staged.revision == store.revision + 1


def test_a_store_that_another_process_has_open_is_in_use(tmp_path: Path) -> None:
    """Whatever it looks like meanwhile: it is being written."""
    path = tmp_path / "store.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            for _ in range(20):
                assert process.stdout.readline()
                with pytest.raises(StoreError, match="in use by another API server"):
                    SqliteEngine(path).open()
            assert process.stdout.readline()
        finally:
            process.kill()
            process.stdout.read()


async def test_the_revision_survives_the_compaction_of_the_newest_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    engine = SqliteEngine(path)
    engine.open()
    await engine.commit([Row(7, 7, False, "pods", "ns", "a", b"{}")], [], 0)
    await engine.commit([Row(8, 7, True, "pods", "ns", "a", b"{}")], [], 0)
    await engine.commit([], [7, 8], 8)
    await engine.close()
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        assert store.revision == 8
        assert store.list("pods") == ()
        assert store.put("pods", "ns", "b", lambda _rv: b"{}", Attrs()).revision == 9


async def test_a_full_disk_fails_the_writers_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    engine = SqliteEngine(path)
    async with running(LocalStore(engine, attrs_of)) as store:
        connection = engine._connection
        assert connection is not None
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        big = b'{"x":"' + b"x" * 50_000 + b'"}'
        lost = store.put("pods", "ns", "big", lambda _rv: big, Attrs())
        with pytest.raises(ServiceUnavailable, match="full"):
            await store.committed(lost)
        assert store.get("pods", "ns", "big") is store.head("pods", "ns", "big") is None
        connection.execute("PRAGMA max_page_count=1000000")
        kept = await store.committed(store.put("pods", "ns", "big", lambda _rv: big, Attrs()))
        assert kept.revision == lost.revision + 1
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        assert [r.revision for r in store.list("pods")] == [kept.revision]


async def test_flipped_bits_in_an_object_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await make_store(path)
    data = path.read_bytes()
    assert data.count(b'{"rv":3}') == 1
    damaged = data.replace(b'{"rv":3}', b'{"rv":9}')
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"damaged .*checksum at revision 3"):
        LocalStore(SqliteEngine(path), attrs_of).open()
    assert path.read_bytes() == damaged


async def test_a_truncated_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await make_store(path, 200)
    damaged = path.read_bytes()[:6000]
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match="damaged"):
        LocalStore(SqliteEngine(path), attrs_of).open()
    assert path.read_bytes() == damaged


def test_an_empty_file_is_not_taken_for_a_new_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    with pytest.raises(StoreError, match="damaged"):
        SqliteEngine(path).open()
    assert path.stat().st_size == 0


def test_a_log_without_its_store_is_not_mixed_into_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "store.db-wal").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"store\.db is missing"):
        SqliteEngine(tmp_path / "store.db").open()
    assert [file.name for file in tmp_path.iterdir()] == ["store.db-wal"]


async def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await make_store(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer kubeherd .*upgrade"):
        SqliteEngine(path).open()
    assert path.read_bytes() == before


async def test_the_file_holds_secrets_so_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    old = os.umask(0)
    try:
        await make_store(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID
