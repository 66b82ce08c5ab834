"""What clients are told when a write cannot be stored, or nobody knows whether it was."""

import asyncio
from collections.abc import Sequence

import pytest
from apicluster import MERGE, Cluster, config_map

from kubeherd.cluster.apiserver.maintenance import Maintenance
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import MemoryEngine, OutcomeUnknown, Row, StoreError
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import PROBE_JITTER, PROBE_S, Store, running

CMS = "/api/v1/namespaces/default/configmaps"
FULL = StoreError("cannot write to the store: database or disk is full")
UNKNOWN = OutcomeUnknown("cannot write to the store: disk I/O error")


class Disk(MemoryEngine):
    """Fails with `error` while there is one."""

    error: Exception | None = None

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        if self.error is not None:
            raise self.error


async def started(store: Store) -> Cluster:
    clock = LoopClock()
    api = ApiServer(store, clock, Rng(1))
    await api.bootstrap()
    return Cluster(api, store, clock)


async def test_a_write_that_was_not_kept_is_refused_and_may_be_sent_again() -> None:
    disk = Disk()
    async with running(LocalStore(disk, attrs_of)) as store:
        cluster = await started(store)
        disk.error = FULL
        refused = await cluster.post(CMS, config_map("a"))
        assert (refused.status, refused.tree["reason"]) == (503, "ServiceUnavailable")
        assert refused.message == str(FULL)
        assert refused.headers["Retry-After"] == "1"
        assert refused.tree["details"] == {"retryAfterSeconds": 1}
        assert (await cluster.get(f"{CMS}/a")).status == 404


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_an_unknown_outcome_is_a_timeout_that_makes_no_client_repeat(method: str) -> None:
    """Upstream's Timeout: "Clients may retry, but the operation may still complete"."""
    disk, ending = Disk(), asyncio.Event()
    store = LocalStore(disk, attrs_of)
    serving: asyncio.Queue[Cluster] = asyncio.Queue()

    async def serve() -> None:
        async with running(store):
            cluster = await started(store)
            await cluster.post(CMS, config_map("old"))
            await serving.put(cluster)
            await ending.wait()

    life = asyncio.create_task(serve())
    cluster = await serving.get()
    disk.error = UNKNOWN
    path = CMS if method == "POST" else f"{CMS}/old"
    body = config_map("new") if method == "POST" else {"data": {"k": "v"}}
    sent = None if method == "DELETE" else body
    media = MERGE if method == "PATCH" else "application/json"
    unknown = await cluster.call(method, path, sent, content_type=media)
    assert (unknown.status, unknown.tree["reason"]) == (504, "Timeout")
    assert unknown.message == f"Timeout: the outcome is not known: {UNKNOWN}"
    assert unknown.tree["details"] == {"retryAfterSeconds": 1}
    assert "Retry-After" not in unknown.headers
    await asyncio.wait({life})
    assert isinstance(life.exception(), ExceptionGroup), "its process ends"


@pytest.mark.parametrize("endpoint", ["readyz", "livez", "healthz"])
async def test_the_server_is_not_ready_while_no_write_can_be_stored(endpoint: str) -> None:
    disk = Disk()
    async with running(LocalStore(disk, attrs_of)) as store:
        cluster = await started(store)
        assert (await cluster.get(f"/{endpoint}")).raw == b"ok"
        disk.error = FULL
        await cluster.post(CMS, config_map("a"))
        failed = await cluster.get(f"/{endpoint}")
        assert failed.status == 500
        assert b"[-]etcd failed: reason withheld\n" in failed.raw
        assert failed.raw.endswith(f"{endpoint} check failed\n".encode())
        single = await cluster.get(f"/{endpoint}/etcd")
        assert (single.status, single.raw) == (
            500,
            b"internal server error: the store takes no writes\n",
        )
        assert (await cluster.get(f"/{endpoint}?exclude=etcd&exclude=etcd-readiness")).raw == b"ok"
        assert (await cluster.get(f"{CMS}")).status == 200, "reads go on"
        disk.error = None
        async with asyncio.timeout(2 * PROBE_S * (1 + PROBE_JITTER)):
            # nothing is written: the store finds out by itself, and tells nobody
            while (await cluster.get(f"/{endpoint}")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_the_servers_own_work_survives_a_disk_that_refuses() -> None:
    disk = Disk()
    async with running(LocalStore(disk, attrs_of)) as store:
        cluster = await started(store)
        maintenance = Maintenance(cluster.api.services.registry, cluster.clock)
        record = store.get("namespaces", "", "kube-public")
        assert record is not None
        await store.committed(store.delete("namespaces", "", "kube-public", lambda _: record.json))
        disk.error = FULL
        await maintenance.one_pass()
        assert store.get("namespaces", "", "kube-public") is None
        disk.error = None
        await maintenance.one_pass()
        assert store.get("namespaces", "", "kube-public") is not None
