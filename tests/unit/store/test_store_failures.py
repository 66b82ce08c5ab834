"""Commits that fail: a refusal is one, what nobody knows is said to be unknown, and it ends."""

import asyncio
from collections.abc import Sequence

import pytest

from kubeherd.cluster.api.errors import OutcomeUnknown, ServiceUnavailable
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store import engine as engines
from kubeherd.cluster.store.engine import MemoryEngine, Row, StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import PROBE_JITTER, PROBE_S, SLOW_COMMIT_S, Store, running
from kubeherd.simulation import virtualtime

FULL = StoreError("disk full")
UNKNOWN = engines.OutcomeUnknown("disk I/O error")


class Disk(MemoryEngine):
    """Commits that begin while there is an `error` fail with it; all wait for `gate`."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.commits_s: list[float] = []
        self.began = asyncio.Event()
        self.closed = False

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        self.commits_s.append(asyncio.get_running_loop().time())
        self.began.set()
        error = self.error
        await self.gate.wait()
        if error is not None:
            raise error

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def disk() -> Disk:
    return Disk()


def store_on(disk: Disk) -> Store:
    return LocalStore(disk, lambda _key, _json: Attrs(), rng=Rng(1))


def put(store: Store, name: str) -> Staged:
    return store.put("pods", "ns", name, lambda rv: b'{"rv":%d}' % rv, Attrs())


async def outcome(store: Store, staged: Staged) -> type[Exception] | None:
    try:
        await store.committed(staged)
    except (ServiceUnavailable, OutcomeUnknown) as error:
        return type(error)
    return None


async def outcomes_of_a_commit(disk: Disk, error: Exception) -> list[type[Exception] | None]:
    """Of a write, one staged on top of it, one who waits for the first, and a late one."""
    store, ending = store_on(disk), asyncio.Event()

    async def live() -> None:
        async with running(store):
            await ending.wait()

    life = asyncio.create_task(live())
    disk.error = error
    disk.gate.clear()
    await asyncio.sleep(0)
    first = put(store, "a")
    await disk.began.wait()
    rest_on_it = (first, put(store, "a"), first)
    waiting = [asyncio.create_task(outcome(store, staged)) for staged in rest_on_it]
    await asyncio.sleep(0)
    disk.error = None
    disk.gate.set()
    found = list(await asyncio.gather(*waiting))
    assert store.head("pods", "ns", "a") is None
    try:
        found.append(await outcome(store, put(store, "late")))
    except ServiceUnavailable as refused:
        found.append(type(refused))
    ending.set()
    await asyncio.wait({life})
    ended = life.exception()
    if found[-1] is None:
        assert ended is None
    else:
        assert isinstance(ended, BaseExceptionGroup)
        assert ended.exceptions == (error,)
    assert disk.closed
    return found


async def test_a_refused_commit_refuses_all_that_rests_on_it_and_the_store_goes_on(
    disk: Disk,
) -> None:
    refused = ServiceUnavailable
    assert await outcomes_of_a_commit(disk, FULL) == [refused, refused, refused, None]


@pytest.mark.parametrize("error", [UNKNOWN, ValueError("a bug")])
async def test_after_an_unknown_outcome_only_what_reached_no_disk_is_refused_and_the_store_ends(
    disk: Disk, error: Exception
) -> None:
    assert await outcomes_of_a_commit(disk, error) == [
        OutcomeUnknown,
        ServiceUnavailable,
        OutcomeUnknown,
        ServiceUnavailable,
    ]


def test_a_store_without_traffic_notices_that_its_disk_recovered() -> None:
    async def scenario() -> None:
        disk = Disk()
        loop = asyncio.get_running_loop()
        async with running(store_on(disk)) as store:
            assert store.writable
            await asyncio.sleep(60)
            assert disk.commits_s == [], "a store that is well writes nothing by itself"
            disk.error = FULL
            with pytest.raises(ServiceUnavailable, match="disk full"):
                await store.committed(put(store, "a"))
            assert not store.writable
            began_s = loop.time()
            await asyncio.sleep(60)
            pauses = [b - a for a, b in zip(disk.commits_s, disk.commits_s[1:], strict=False)]
            assert all(PROBE_S <= pause <= PROBE_S * (1 + PROBE_JITTER) for pause in pauses)
            assert len(set(pauses)) > 1
            assert loop.time() - disk.commits_s[-1] <= PROBE_S * (1 + PROBE_JITTER)
            assert loop.time() - began_s == 60
            disk.error = None
            await asyncio.sleep(PROBE_S * (1 + PROBE_JITTER))
            assert store.writable
            assert store.revision == 1
            await store.committed(put(store, "a"))

    virtualtime.run(scenario())


def test_a_write_that_is_staged_during_a_probe_is_tried() -> None:
    async def scenario() -> None:
        disk = Disk()
        async with running(store_on(disk)) as store:
            disk.error = FULL
            with pytest.raises(ServiceUnavailable):
                await store.committed(put(store, "a"))
            disk.gate.clear()
            await asyncio.sleep(2 * PROBE_S)
            assert len(disk.commits_s) == 2, "a probe is under way"
            staged = put(store, "a")
            disk.error = None
            disk.gate.set()
            await store.committed(staged)

    virtualtime.run(scenario())


def test_a_commit_that_hangs_makes_the_store_unready() -> None:
    async def scenario() -> None:
        disk = Disk()
        async with running(store_on(disk)) as store:
            disk.gate.clear()
            staged = put(store, "a")
            await asyncio.sleep(SLOW_COMMIT_S / 2)
            assert store.writable
            await asyncio.sleep(SLOW_COMMIT_S)
            assert not store.writable
            disk.gate.set()
            await store.committed(staged)
            assert store.writable

    virtualtime.run(scenario())
