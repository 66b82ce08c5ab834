"""What is answered is durable: no answer shows a write that a crash could still take back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from apicluster import MERGE, Cluster, config_map, pod

from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import MemoryEngine, Row, StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import running

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
ORDER = ("new", "old")


class SlowDisk(MemoryEngine):
    """Commits only while `open_gate` is set; with `broken` set it then refuses, with `closes` the
    gate closes behind each."""

    def __init__(self) -> None:
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.broken = self.closes = False

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        await self.open_gate.wait()
        if self.closes:
            self.open_gate.clear()
        if self.broken:
            raise StoreError("disk full")


@pytest.mark.parametrize("broken", [False, True])
async def test_a_refusal_waits_for_the_write_that_it_tells_of(broken: bool) -> None:
    disk, clock = SlowDisk(), LoopClock()
    async with running(LocalStore(disk, attrs_of)) as store:
        api = ApiServer(store, clock, Rng(1))
        await api.bootstrap()
        cluster = Cluster(api, store, clock)
        await cluster.post(CMS, config_map("old"))
        stale = config_map("old")
        stale["metadata"]["resourceVersion"] = "1"
        disk.open_gate.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cluster.post(CMS, config_map("new")))
            tasks.create_task(cluster.delete(f"{CMS}/old"))
            await asyncio.sleep(0)
            refused = [
                tasks.create_task(cluster.post(CMS, config_map("new"))),
                tasks.create_task(cluster.delete(f"{CMS}/old")),
                tasks.create_task(cluster.patch(f"{CMS}/old", {"data": {}}, MERGE)),
                tasks.create_task(
                    cluster.put(
                        f"{CMS}/new", {**stale, "metadata": {"name": "new", "resourceVersion": "1"}}
                    )
                ),
            ]
            for _ in range(20):
                await asyncio.sleep(0)
            assert not any(task.done() for task in refused)
            disk.broken = broken
            disk.open_gate.set()
        disk.broken = False
        codes = [task.result().status for task in refused]
        assert codes == ([503] * 4 if broken else [409, 404, 404, 409])


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(
    ("method", "body", "done"),
    [
        ("PATCH", {"data": {"k": "new"}}, 200),
        ("DELETE", None, 200),
    ],
)
async def test_a_request_that_changes_nothing_waits_for_the_write_that_it_shows(
    method: str, body: object, done: int, broken: bool
) -> None:
    disk, clock = SlowDisk(), LoopClock()
    async with running(LocalStore(disk, attrs_of)) as store:
        api = ApiServer(store, clock, Rng(1))
        await api.bootstrap()
        cluster = Cluster(api, store, clock)
        stuck = config_map("a", k="old")
        stuck["metadata"]["finalizers"] = ["example.com/hold"]
        await cluster.post(CMS, stuck)
        before = store.revision
        disk.open_gate.clear()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(cluster.call(method, f"{CMS}/a", body, content_type=MERGE))
            await asyncio.sleep(0)
            again = tasks.create_task(cluster.call(method, f"{CMS}/a", body, content_type=MERGE))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not first.done()
            assert not again.done()
            disk.broken = broken
            disk.open_gate.set()
        wanted = 503 if broken else done
        assert first.result().status == again.result().status == wanted
        assert store.revision == (before if broken else before + 1)
        disk.broken = False


async def _some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def _with_pods(*names: str) -> AsyncIterator[tuple[SlowDisk, Cluster]]:
    disk, clock = SlowDisk(), LoopClock()
    async with running(LocalStore(disk, attrs_of)) as store:
        api = ApiServer(store, clock, Rng(1))
        await api.bootstrap()
        cluster = Cluster(api, store, clock)
        await cluster.post(ACCOUNTS, {"metadata": {"name": "default"}})
        for name in names:
            assert (await cluster.post(PODS, pod(name, nodeName="n"))).status == 201
        yield disk, cluster


async def test_of_a_batch_nobody_is_answered_before_its_own_commit() -> None:
    """Who deletes what is being deleted changes nothing, and waits for an older write than those
    that began before it."""
    async with _with_pods(*ORDER) as (disk, cluster):
        disk.closes = True
        disk.open_gate.clear()
        deletes = [BatchedRequest("DELETE", f"{PODS}/{name}", {}, "", "", b"") for name in ORDER]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cluster.delete(f"{PODS}/old"))
            await _some_turns()
            both = tasks.create_task(cluster.post(batch.PATH, batch.encode(deletes)))
            await _some_turns()
            disk.open_gate.set()  # to the first deletion of what is old
            await _some_turns()
            assert not both.done()
            disk.open_gate.set()
        answers = batch.decode_answers(both.result().raw)
        assert [one.status for one in answers] == [200, 200]


async def test_a_batch_that_is_given_up_is_not_under_way_any_more() -> None:
    async with _with_pods("new") as (disk, cluster):
        disk.open_gate.clear()
        delete = BatchedRequest("DELETE", f"{PODS}/new", {}, "", "", b"")
        sent = asyncio.create_task(cluster.post(batch.PATH, batch.encode([delete])))
        await _some_turns()
        under_way = 'apiserver_current_inflight_requests{request_kind="mutating"} '
        sent.cancel()
        await asyncio.wait({sent})
        disk.open_gate.set()
        await _some_turns()
        for _ in range(2):  # the first scrape tells of the peak
            told = (await cluster.get("/metrics")).raw.decode()
        assert f"{under_way}0.0\n" in told
