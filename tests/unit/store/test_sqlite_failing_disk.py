"""SQLite on a disk that really fails: what was acknowledged is there, what was refused never is.

The system calls of a writing process fail by a limit on the size of its files, or because strace
makes them fail (skipped where there is none, or where it may not trace).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import running

WRITER = """
import asyncio, os, resource, signal, sys
from contextlib import suppress
from pathlib import Path
from kubeherd.cluster.api.errors import OutcomeUnknown, ServiceUnavailable
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import running

path, limit, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def limit_files(size_bytes):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))

async def write(store):
    for number in range(12):
        if limit:
            log_bytes = path.with_name(path.name + "-wal").stat().st_size if number else 0
            limit_files(log_bytes + limit if number % 4 == 3 else resource.RLIM_INFINITY)
        value = b'{"rv":%d,"x":"' + b"x" * size + b'"}'
        staged = store.put("pods", "ns", f"p{number}", lambda rv: value % rv, Attrs())
        try:
            await store.committed(staged)
        except ServiceUnavailable:
            print("refused", f"p{number}", flush=True)
        except OutcomeUnknown:
            print("unknown", f"p{number}", flush=True)
            if "kill" in sys.argv:
                os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.Event().wait()
        else:
            print("kept", f"p{number}", staged.revision, flush=True)
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = LocalStore(SqliteEngine(path), lambda key, json: Attrs())
    with suppress(BaseExceptionGroup):
        async with running(store):
            await write(store)

asyncio.run(main())
"""


def attrs_of(_resource_key: str, _json: bytes) -> Attrs:
    return Attrs()


def written(path: Path, *args: str, under: Sequence[str] = ()) -> dict[str, str]:
    """What the writer was told of each object, in order."""
    command = [*under, sys.executable, "-c", WRITER, str(path), *args]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode in (0, -9, 137), result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if " p" in line]
    return {line[1]: line[0] for line in lines if line[0] in ("kept", "refused", "unknown")}


async def stored(path: Path) -> set[str]:
    async with running(LocalStore(SqliteEngine(path), attrs_of)) as store:
        return {record.name for record in store.list("pods")}


def tracing(call: str, error: str, first: int) -> list[str]:
    """strace that fails this call of the process from its `first` on."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    probe = subprocess.run([*command, "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("strace may not trace here")
    return [*command, "-e", f"inject={call}:error={error}:when={first}+"]


async def check(path: Path, told: dict[str, str]) -> None:
    found = await stored(path)
    assert {name for name, what in told.items() if what == "kept"} <= found
    assert not {name for name, what in told.items() if what == "refused"} & found
    assert found <= told.keys()
    assert await stored(path) == found, "what was shown once stays"


@pytest.mark.parametrize(
    ("limit", "size", "ending"),
    [(200, 10, "kill"), (6000, 20_000, "close"), (6000, 20_000, "kill"), (1, 3_000_000, "kill")],
)
async def test_a_write_beyond_a_limit_is_refused_and_the_store_goes_on(
    tmp_path: Path, limit: int, size: int, ending: str
) -> None:
    path = tmp_path / "store.db"
    told = written(path, str(limit), str(size), ending)
    assert told["p3"] == "refused"
    within = [what for name, what in told.items() if int(name[1:]) % 4 != 3]
    assert within == ["kept"] * 9
    await check(path, told)


@pytest.mark.parametrize(
    ("error", "first", "ending"),
    [("EIO", 5, "close"), ("EIO", 6, "kill"), ("ENOSPC", 9, "kill"), ("EIO", 9, "close")],
)
async def test_a_failed_sync_is_an_unknown_outcome(
    tmp_path: Path, error: str, first: int, ending: str
) -> None:
    path = tmp_path / "store.db"
    written(path, "0", "10")
    again = written(path, "0", "3000", ending, under=tracing("fdatasync", error, first))
    assert list(again.values())[-1] == "unknown"
    assert set(list(again.values())[:-1]) == {"kept"}
    await check(path, {f"p{number}": "unknown" for number in range(12)} | again)


@pytest.mark.parametrize(("error", "size", "first"), [("ENOSPC", 10, 35), ("EIO", 50_000, 60)])
async def test_a_failed_write_is_a_refusal(
    tmp_path: Path, error: str, size: int, first: int
) -> None:
    path = tmp_path / "store.db"
    told = written(path, "0", str(size), "kill", under=tracing("pwrite64", error, first))
    assert "kept" in told.values()
    assert list(told.values())[-1] == "refused"
    assert "unknown" not in told.values()
    await check(path, told)


async def test_what_a_kill_left_in_the_log_is_written_again_before_it_is_shown(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    told = written(path, "0", "10", "kill")
    log = path.with_name("store.db-wal")
    assert log.stat().st_size
    before = log.read_bytes()
    os.utime(log, (1, 1))
    engine = SqliteEngine(path)
    engine.open()
    assert log.stat().st_mtime > 1
    assert [row.name for row in engine.replay()] == list(told)
    assert log.read_bytes() == before
    await engine.close()


READER = """
import sys
from pathlib import Path
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
engine = SqliteEngine(Path(sys.argv[1]))
engine.open()
print(len(list(engine.replay())))
"""


def test_a_log_that_cannot_be_made_durable_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    written(path, "0", "10", "kill")
    read = [sys.executable, "-c", READER, str(path)]
    command = [*tracing("fsync", "EIO", 1), *read]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "StoreError: cannot write to the store" in result.stderr
    assert not result.stdout
    again = subprocess.run(read, capture_output=True, text=True, timeout=60, check=True)
    assert int(again.stdout) == 12
