"""What an API server tells of its run: writes with their actors, leaders, heartbeats, requests."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from apicluster import ADMIN, BOB, Cluster, config_map
from memoryengine import Shared

from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.apiserver.recording.recorder import Recorder
from kubeherd.cluster.apiserver.recording.recording import Recording
from kubeherd.cluster.apiserver.recording.writes import Writes, uid_of
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime import recordfile
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.recordfile import STOPPED, RecordFile
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Engine, MemoryEngine
from kubeherd.cluster.store.followed import FollowedSharedStore, FollowedStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.store import Store, running
from kubeherd.faults import Clients, Component, Effect, Fault, effects
from kubeherd.faults.effects import Moment
from kubeherd.history import (
    Began,
    Ended,
    Heartbeat,
    Leads,
    Record,
    Request,
    Speed,
    Step,
    Verb,
    Write,
)
from kubeherd.history.files import HistoryError, merged, read

CMS = "/api/v1/namespaces/default/configmaps"
NODE_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
SPEED = 10.0


class Told:
    """A server that tells, and all that it told."""

    def __init__(self, cluster: Cluster, records: list[Record]) -> None:
        self.cluster = cluster
        self.records = self._records = records
        self._seen = len(records)

    def news(self, *types: type) -> list[Any]:
        """What was told since the last look."""
        new = self._records[self._seen :]
        self._seen = len(self._records)
        return [one for one in new if not types or isinstance(one, types)]


@asynccontextmanager
async def telling(
    *, requests: bool = False, engine: Engine | None = None, shared: Shared | None = None
) -> AsyncIterator[Told]:
    records: list[Record] = []
    clock = LoopClock(SPEED)
    recorder = Recorder(
        records.append, clock, Writes(SPEED, lambda json: (uid_of(json), orjson.loads(json)))
    )
    store: Store = FollowedStore(engine or MemoryEngine(), attrs_of, recorder)
    if shared is not None:
        store = FollowedSharedStore(shared.engine(), attrs_of, recorder)
    async with running(store):
        api = ApiServer(store, clock, Rng(1))
        await api.bootstrap()
        api.record(recorder, requests=requests)
        yield Told(Cluster(api, store, clock), records)


@pytest.fixture(params=["local", "shared"])
async def told(request: pytest.FixtureRequest) -> AsyncIterator[Told]:
    async with telling(shared=Shared() if request.param == "shared" else None) as one:
        yield one


def lease(name: str, holder: str, transitions: int, renewed: str = "") -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseTransitions": transitions}
    if renewed:
        spec["renewTime"] = renewed
    return {"metadata": {"name": name}, "spec": spec}


# --- writes ---


async def test_a_write_is_told_with_its_object_and_who_wrote_it(told: Told) -> None:
    cluster = told.cluster
    await cluster.post(LEASES, lease("l", "me", 3))
    told.news()
    made = (await cluster.post(CMS, config_map("x"), kubeherd_fence="kube-system/l/me/3")).tree
    (write,) = told.news()
    assert isinstance(write, Write)
    assert (write.verb, write.resource, write.namespace, write.name) == (
        Verb.CREATE,
        "configmaps",
        "default",
        "x",
    )
    assert write.object == made
    assert (write.uid, str(write.revision)) == (
        made["metadata"]["uid"],
        made["metadata"]["resourceVersion"],
    )
    actor = write.actor
    assert actor is not None
    assert (actor.user, actor.user_agent, actor.fence) == (
        "kubernetes-admin",
        "tester/1",
        "kube-system/l/me/3",
    )
    await cluster.patch(f"{CMS}/x", {"data": {"a": "b"}}, user_agent="other/2")
    await cluster.delete(f"{CMS}/x")
    update, delete = told.news()
    assert (update.verb, update.actor.user_agent, update.object["data"]) == (
        Verb.UPDATE,
        "other/2",
        {"a": "b"},
    )
    assert (delete.verb, delete.object["data"]) == (Verb.DELETE, {"a": "b"})
    assert write.revision < update.revision < delete.revision


async def test_the_resource_is_named_as_in_rbac_and_the_servers_own_writes_are_its_own() -> None:
    async with telling() as one:
        writes = [record for record in one._records if isinstance(record, Write)]
        assert "clusterroles.rbac.authorization.k8s.io" in {write.resource for write in writes}
        assert {write.actor.user for write in writes if write.actor} == {"system:apiserver"}


async def test_each_write_of_a_batch_has_its_sender(told: Told) -> None:
    json = "application/json"
    items = [
        BatchedRequest("POST", CMS, {}, json, json, orjson.dumps(config_map(name)))
        for name in ("a", "b")
    ]
    await told.cluster.call("POST", batch.PATH, batch.encode(items), user_agent="fleet/1")
    assert [write.actor.user_agent for write in told.news()] == ["fleet/1", "fleet/1"]


async def test_requests_at_the_same_time_are_not_mixed_up(told: Told) -> None:
    names = [f"n{n}" for n in range(20)]
    await asyncio.gather(
        *(told.cluster.post(CMS, config_map(name), user_agent=name) for name in names)
    )
    assert {write.name: write.actor.user_agent for write in told.news()} == {n: n for n in names}


async def test_what_was_not_kept_is_not_told(told: Told) -> None:
    cluster = told.cluster

    def hurt(*faults: Effect) -> None:
        target = Component("apiserver")
        cluster.api.hurt([Fault(id="f", target=target, effect=effect) for effect in faults])

    hurt(effects.StoreFull())
    assert (await cluster.post(CMS, config_map("full"))).status == 503
    assert (await cluster.post(CMS, {"metadata": {"name": "Not Good"}})).status == 422
    hurt()
    assert (await cluster.post(CMS, config_map("kept"), user_agent="later/1")).status == 201
    (write,) = told.news(Write)
    assert (write.name, write.actor.user_agent) == ("kept", "later/1")


# --- leases ---


async def test_a_leader_is_told_when_it_changes(told: Told) -> None:
    cluster = told.cluster
    await cluster.post(LEASES, lease("kcm", "a", 0))
    renewed = {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
    await cluster.patch(f"{LEASES}/kcm", renewed, "application/merge-patch+json")
    taken = {"spec": {"holderIdentity": "b", "leaseTransitions": 1}}
    await cluster.patch(f"{LEASES}/kcm", taken, "application/merge-patch+json")
    await cluster.delete(f"{LEASES}/kcm")
    records = told.news()
    assert [(r.lease, r.holder, r.transitions) for r in records if isinstance(r, Leads)] == [
        ("kube-system/kcm", "a", 0),
        ("kube-system/kcm", "b", 1),
        ("kube-system/kcm", "", 1),
    ]
    assert len([r for r in records if isinstance(r, Write)]) == 4


async def test_renewals_of_nodes_are_heartbeats_and_sampled(told: Told) -> None:
    cluster = told.cluster
    began_s = cluster.clock.monotonic_s()
    await cluster.post(NODE_LEASES, lease("n1", "n1", 0, "2026-01-01T00:00:00.500000Z"))
    for second in range(1, 30):
        renewed = {"spec": {"renewTime": f"2026-01-01T00:00:{second:02}.500000Z"}}
        await cluster.patch(f"{NODE_LEASES}/n1", renewed, "application/merge-patch+json")
    took_s = cluster.clock.monotonic_s() - began_s
    records = told.news()
    assert [r.verb for r in records if isinstance(r, Write)] == [Verb.CREATE]
    beats = [r for r in records if isinstance(r, Heartbeat)]
    assert 1 <= len(beats) <= 2 + took_s / 5
    assert (beats[0].node, beats[0].renewed) == ("n1", 1767225600.5)
    label = {"metadata": {"labels": {"a": "b"}}}
    await cluster.patch(f"{NODE_LEASES}/n1", label, "application/merge-patch+json")
    await cluster.delete(f"{NODE_LEASES}/n1")
    assert [r.verb for r in told.news(Write)] == [Verb.UPDATE, Verb.DELETE]


# --- requests ---


async def test_requests_are_told_as_their_clients_saw_them() -> None:
    async with telling(requests=True) as one:
        cluster = one.cluster
        made = (await cluster.post(CMS, config_map("x"))).tree
        await cluster.get(f"{CMS}/x", accept="application/msgpack")
        await cluster.get(CMS, query={"resourceVersion": "0"}, accept_encoding="gzip")
        await cluster.get(f"{CMS}/none")
        await cluster.get(CMS, user=BOB)
        stale = {**made, "metadata": {**made["metadata"], "resourceVersion": "1"}}
        await cluster.put(f"{CMS}/x", stale)
        create, get, listed, missing, forbidden, conflict = one.news(Request)
        revision = int(made["metadata"]["resourceVersion"])
        assert (create.verb, create.resource, create.name) == ("create", "configmaps", "x")
        assert (create.status, create.revision, create.uid) == (
            201,
            revision,
            made["metadata"]["uid"],
        )
        assert create.client == "kubernetes-admin tester/1"
        assert create.at <= create.until
        assert (get.verb, get.status, get.revision) == ("get", 200, revision)
        assert listed.objects["default/x"] == revision
        assert (listed.asked_revision, listed.revision) == (0, cluster.store.revision)
        assert (missing.status, missing.reason, missing.name) == (404, "NotFound", "none")
        assert (forbidden.status, forbidden.actor.user) == (403, "bob")
        assert (conflict.status, conflict.asked_revision) == (409, 1)


@pytest.mark.parametrize(
    ("query", "stale", "partial"),
    [
        ({}, False, False),
        ({"resourceVersion": "0"}, True, False),
        ({"resourceVersion": "1"}, True, False),
        ({"resourceVersion": "1", "resourceVersionMatch": "NotOlderThan"}, True, False),
        ({"resourceVersion": "{now}", "limit": "1"}, False, True),
        ({"resourceVersion": "{now}", "resourceVersionMatch": "Exact"}, False, False),
        ({"limit": "500"}, False, False),
        ({"labelSelector": "a=b"}, False, True),
    ],
)
async def test_of_a_list_it_is_told_what_it_may_lack(
    query: dict[str, str], stale: bool, partial: bool
) -> None:
    async with telling(requests=True) as one:
        await one.cluster.post(CMS, config_map("x"))
        await one.cluster.post(CMS, config_map("y"))
        now = str(one.cluster.store.revision)
        one.news()
        asked = {key: value.format(now=now) for key, value in query.items()}
        await one.cluster.get(CMS, query=asked)
        (request,) = one.news()
        assert (request.status, request.stale, request.partial) == (200, stale, partial)


async def test_an_answer_that_was_lost_is_none() -> None:
    async with telling(requests=True) as one:
        cluster = one.cluster
        drop = effects.ApiDrop(moment=Moment.AFTER, verbs=("create",))
        cluster.api.hurt([Fault(id="f", target=Clients(), effect=drop)])
        await cluster.raw("POST", CMS, config_map("x"))
        write, request = one.news()
        assert (write.name, request.status, request.revision) == ("x", 0, 0)
        cut = effects.Partition()
        cluster.api.hurt([Fault(id="f", target=Clients(), effect=cut)])
        asked = asyncio.ensure_future(cluster.get(CMS))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        (given_up,) = one.news()
        assert (given_up.verb, given_up.status) == ("list", 0)


# --- the file ---


@asynccontextmanager
async def life(directory: Path, path: Path) -> AsyncIterator[Cluster]:
    """One life of a server on a disk, which ends as it should."""
    clock = LoopClock(SPEED)
    recording = Recording(path, clock, Began(at=0.0, source="cluster", seed=7, speed=SPEED))
    store = FollowedStore(SqliteEngine(directory / "store.db"), attrs_of, recording.recorder)
    async with running(store):
        recording.opened(store)
        api = ApiServer(store, clock, Rng(1))
        await api.bootstrap()
        api.record(recording.recorder, requests=False)
        yield Cluster(api, store, clock, ADMIN)
    recording.end()


def written(path: Path) -> list[tuple[str, str]]:
    return [
        (record.name, record.actor.user_agent if record.actor else "unknown")
        for record in read(path)
        if isinstance(record, Write) and record.resource == "configmaps" and "-" not in record.name
    ]


async def test_a_history_goes_on_over_all_lives_of_a_server(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    async with life(tmp_path, path) as cluster:
        await cluster.post(CMS, config_map("one"))
    assert path.stat().st_mode & 0o777 == 0o600
    async with life(tmp_path, path) as cluster:
        await cluster.post(CMS, config_map("two"))
        revision = cluster.store.revision
    records = list(read(path))
    marks = [type(one) for one in records if isinstance(one, (Began, Ended))]
    assert marks == [Began, Ended, Ended]
    assert [one.speed for one in records if isinstance(one, Speed)] == [SPEED]
    assert isinstance(records[0], Began)
    assert (records[0].seed, records[0].speed) == (7, SPEED)
    assert isinstance(records[-1], Ended)
    assert records[-1].revision == revision
    assert written(path) == [("one", "tester/1"), ("two", "tester/1")]
    revisions = [record.revision for record in records if isinstance(record, Write)]
    assert revisions == sorted(set(revisions))


async def test_values_of_secrets_are_not_in_the_file(tmp_path: Path) -> None:
    """Neither of those that are written nor of those that are there when it begins."""
    path, again = tmp_path / "history.jsonl", tmp_path / "again.jsonl"
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    async with life(tmp_path, path) as cluster:
        kept = (await cluster.post("/api/v1/namespaces/default/secrets", secret)).tree
        value = kept["data"]["password"].encode()
    async with life(tmp_path, again):
        pass
    for file in (path, again):
        assert value not in file.read_bytes()
        told = [one for one in read(file) if isinstance(one, Write) and one.resource == "secrets"]
        assert [one.object["data"] for one in told] == [{"password": "REDACTED"}]


async def test_what_the_store_kept_and_the_file_did_not_is_told_first(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    async with life(tmp_path, path) as cluster:
        await cluster.post(CMS, config_map("one"))
        kept = path.read_bytes()
        await cluster.post(CMS, config_map("two"))
        await cluster.delete(f"{CMS}/one")
    path.write_bytes(kept + b'{"is":"write","at":1,"revi')  # as after a crash in between
    async with life(tmp_path, path) as cluster:
        await cluster.post(CMS, config_map("three"))
    assert written(path) == [
        ("one", "tester/1"),
        ("two", "unknown"),
        ("one", "unknown"),
        ("three", "tester/1"),
    ]


async def test_a_history_of_an_old_store_begins_with_what_there_is(tmp_path: Path) -> None:
    async with life(tmp_path, tmp_path / "first.jsonl") as cluster:
        await cluster.post(CMS, config_map("one"))
        await cluster.post(CMS, config_map("two"))
        revision = cluster.store.revision
    path = tmp_path / "second.jsonl"
    async with life(tmp_path, path):
        pass
    began, *records = read(path)
    assert isinstance(began, Began)
    assert began.revision == revision
    restored = [one for one in records if isinstance(one, Write) and one.restored]
    assert {"one", "two"} <= {one.name for one in restored}
    assert all(one.actor is None for one in restored)


async def test_a_store_that_lost_its_past_begins_another_history(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with life(first, path) as cluster:
        await cluster.post(CMS, config_map("old"))
        for n in range(5):
            await cluster.patch(f"{CMS}/old", {"data": {"n": str(n)}})
    async with life(second, path) as cluster:
        await cluster.post(CMS, config_map("new"))
    assert written(path) == [("new", "tester/1")]
    assert ("old", "tester/1") in written(tmp_path / "history.jsonl.1")


def test_a_file_ends_at_its_bound_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    for _ in range(2):
        file = RecordFile(path, max_bytes=1000)
        file.open()
        file.tell(Began(at=0.0))
        for n in range(100):
            file.tell(Step(at=float(n), name="a" * 50))
        file.close(0.0, 5)
    *_, last = read(path)
    assert isinstance(last, Step)
    assert last.name == STOPPED
    assert path.stat().st_size < 1300


@pytest.mark.parametrize("block", [7, 64, 1 << 20])
def test_the_newest_write_is_found_from_behind(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordfile, "_BLOCK_BYTES", block)
    path = tmp_path / "history.jsonl"
    lines = [b'{"is":"began","at":1,"revision":3}\n']
    for torn in (b"", b'{"is":"step","at":3,"na'):
        path.write_bytes(b"".join(lines) + torn)
        file = RecordFile(path)
        file.open()
        assert (file.began, file.revision) == (True, 3)
        file.close(9.0, 3)
        assert path.read_bytes() == b"".join(lines) + b'{"is":"ended","at":9.0,"revision":3}\n'
    lines.append(b'{"is":"heartbeat","at":2,"node":"n","revision":44}\n')
    lines += [b'{"is":"step","at":3,"name":"s"}\n'] * 3
    path.write_bytes(b"".join(lines))
    file = RecordFile(path)
    file.open()
    assert (file.began, file.revision) == (True, 44)
    file.close(9.0, 44)
    assert path.read_bytes() == b"".join(lines) + b'{"is":"ended","at":9.0,"revision":44}\n'


@pytest.mark.parametrize("content", [b"not mine", b"not mine\n", b'{"is":"step"}\n', b"\n"])
def test_a_file_that_is_no_history_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="precious is no history"):
        RecordFile(path).open()
    assert path.read_bytes() == content


def test_a_disk_that_is_full_ends_the_recording_only(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    file = RecordFile(path)
    file.open()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for n in range(100):
            file.tell(Step(at=float(n), name="a" * 50))
            file.flush()
        file.close(1.0, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size <= 1000


async def test_servers_that_share_a_store_tell_one_history_together() -> None:
    shared = Shared()
    async with telling(shared=shared) as one, telling(shared=shared) as other:
        for n in range(5):
            await one.cluster.post(CMS, config_map(f"a{n}"))
            await other.cluster.post(CMS, config_map(f"b{n}"))
            await one.cluster.delete(f"{CMS}/b{n}")
        await one.cluster.get(CMS)
        await other.cluster.get(CMS)
        told = [w for w in merged(one.records, other.records) if isinstance(w, Write)]
    revisions = [write.revision for write in told]
    assert revisions == sorted(revisions)
    assert set(revisions) == set(range(2, shared.revision + 1))
    mine = [(w.verb.value, w.name, w.actor and w.actor.user) for w in told]
    for n in range(5):
        assert ("create", f"a{n}", "kubernetes-admin") in mine
        assert ("create", f"b{n}", "kubernetes-admin") in mine
        assert ("delete", f"b{n}", "kubernetes-admin") in mine
    assert [w for w in told if w.actor is None] == []
