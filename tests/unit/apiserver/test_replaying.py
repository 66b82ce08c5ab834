"""A history shown by an API server: as it was, at a moment of it, and never changed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest
from apicluster import Cluster, Watcher, config_map, daemon_set, pod
from crdcluster import DEFINITIONS, WIDGETS, condition, definition, widget
from msgspec.structs import replace
from patience import PATIENCE_S

from kubeherd.cluster.api.private.batch import PATH as BATCH_PATH
from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.apiserver.recording.recorder import Recorder
from kubeherd.cluster.apiserver.recording.writes import Writes, uid_of
from kubeherd.cluster.apiserver.replaying.player import Moment, Player
from kubeherd.cluster.apiserver.replaying.readonly import ReadOnly
from kubeherd.cluster.apiserver.replaying.store import ReplayedStore
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock, OffsetClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import MemoryEngine
from kubeherd.cluster.store.followed import FollowedStore
from kubeherd.cluster.store.store import running
from kubeherd.history import Began, Ended, Heartbeat, Record, Step, Verb, Write
from kubeherd.history.files import HistoryError, write

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
WHAT = "this is a replay of run.jsonl"


class Run:
    """A cluster that records, and a file with what it has recorded so far."""

    def __init__(self, cluster: Cluster, records: list[Record], path: Path) -> None:
        self.cluster = cluster
        self.records = records
        self._path = path

    @property
    def revision(self) -> int:
        return self.cluster.store.revision

    def file(self, change: Callable[[Record], Record] = lambda one: one) -> Path:
        write(self._path, map(change, self.records))
        return self._path


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    records: list[Record] = []
    clock = LoopClock()
    shown = Writes(1.0, lambda json: (uid_of(json), orjson.loads(json)))
    recorder = Recorder(records.append, clock, shown)
    store = FollowedStore(MemoryEngine(), attrs_of, recorder)
    async with running(store):
        api = ApiServer(store, clock, Rng(1))
        await api.bootstrap()
        records[:] = [Began(at=clock.now().timestamp(), revision=store.revision)]
        recorder.restore(store)
        api.record(recorder, requests=False)
        yield Run(Cluster(api, store, clock), records, tmp_path / "run.jsonl")


class Shown(Cluster):
    """A replay."""

    player: Player


@asynccontextmanager
async def replayed(path: Path, *, at: int | None = None, time: float | None = None) -> Any:
    clock = OffsetClock(LoopClock())
    store = ReplayedStore(attrs_of, WHAT)
    player = Player(path, store, clock)
    await player.wind(Moment(at, time))
    async with running(store):
        api = ApiServer(store, clock, Rng(1))
        api.replay(ReadOnly(api, WHAT))
        shown = Shown(api, store, clock)  # type: ignore[arg-type]
        shown.player = player
        yield shown
        api.stop()


async def names(cluster: Cluster, path: str = CMS) -> list[str]:
    answer = await cluster.get(path)
    assert answer.status == 200, answer.message
    return [item["metadata"]["name"] for item in answer.tree["items"]]


async def test_the_end_is_as_the_cluster_was(run: Run) -> None:
    cluster = run.cluster
    await cluster.post(CMS, config_map("a", key="1"))
    await cluster.put(f"{CMS}/a", config_map("a", key="2"))
    await cluster.post("/apis/apps/v1/namespaces/default/daemonsets", daemon_set())
    await cluster.post(CMS, config_map("b"))
    await cluster.delete(f"{CMS}/b")
    async with replayed(run.file()) as shown:
        assert shown.store.revision == run.revision
        for key in cluster.store.resource_keys():
            theirs = [one.json for one in cluster.store.list(key) if key != "secrets"]
            assert [one.json for one in shown.store.list(key) if key != "secrets"] == theirs
        paths = (CMS, "/apis/apps/v1/daemonsets", "/api/v1/namespaces", "/apis")
        for path in paths:
            assert (await shown.get(path)).raw == (await cluster.get(path)).raw


async def test_a_moment_is_a_revision_or_a_time(run: Run) -> None:
    revisions = []
    for name in ("a", "b", "c"):
        await run.cluster.post(CMS, config_map(name))
        revisions.append(run.revision)
    began = run.records[0].at
    path = run.file(lambda one: replace(one, at=_revision(one) + began) if _revision(one) else one)
    async with replayed(path, at=revisions[1]) as shown:
        assert await names(shown) == ["a", "b"]
        assert (await shown.get(CMS)).tree["metadata"]["resourceVersion"] == str(revisions[1])
    async with replayed(path, time=began + revisions[0] + 0.5) as shown:
        assert await names(shown) == ["a"]
        assert shown.clock.now().timestamp() == pytest.approx(began + revisions[0] + 0.5)
    async with replayed(path, time=began) as shown:
        assert await names(shown) == []
        assert "kube-system" in await names(shown, "/api/v1/namespaces")


def _revision(record: Record) -> int:
    """That of what happened, 0 for what was there."""
    return record.revision if isinstance(record, Write) and not record.restored else 0


async def test_a_moment_outside_is_one_line(run: Run) -> None:
    path = run.file()
    for moment, why in (
        (Moment(revision=0), "begins with revision"),
        (Moment(revision=10_000), "ends with revision"),
        (Moment(time=1.0), "begins at 2"),
        (Moment(time=1e10), "ends at 2"),
    ):
        player = Player(path, ReplayedStore(attrs_of, WHAT), OffsetClock(LoopClock()))
        with pytest.raises(HistoryError, match=why):
            await player.wind(moment)


async def test_what_is_no_history_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "no.jsonl"
    write(path, [Step(at=1.0, name="heal")])
    player = Player(path, ReplayedStore(attrs_of, WHAT), OffsetClock(LoopClock()))
    with pytest.raises(HistoryError, match="is no history"):
        await player.wind(Moment())


WRITES = [
    ("POST", CMS),
    ("PUT", f"{CMS}/a"),
    ("PATCH", f"{CMS}/a"),
    ("DELETE", f"{CMS}/a"),
    ("DELETE", CMS),
    ("POST", f"{PODS}/p/eviction"),
    ("POST", f"{PODS}/p/binding"),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token"),
    ("PUT", "/apis/apps/v1/namespaces/default/daemonsets/d/status"),
    ("PATCH", "/apis/apps/v1/namespaces/default/deployments/d/scale"),
]


async def test_every_write_is_refused(run: Run) -> None:
    await run.cluster.post(CMS, config_map("a"))
    async with replayed(run.file()) as shown:
        before = shown.store.revision
        for method, path in WRITES:
            answer = await shown.call(method, path, config_map("a"))
            assert (answer.status, answer.tree["reason"]) == (405, "MethodNotAllowed"), path
            assert answer.message == f"{WHAT}: read only"
        assert (await names(shown), shown.store.revision) == (["a"], before)


async def test_writes_in_a_batch_are_refused_one_by_one(run: Run) -> None:
    async with replayed(run.file()) as shown:
        part = ["POST", CMS, {}, "application/json", "", orjson.dumps(config_map("a")), ""]
        body = msgpack.packb([part])
        response = await shown.raw("POST", BATCH_PATH, body, content_type="application/msgpack")
        assert isinstance(response, ApiResponse)
        assert [one[0] for one in msgpack.unpackb(response.body)] == [405]


async def test_nothing_runs_in_its_pods(run: Run) -> None:
    await run.cluster.post(PODS, pod())
    async with replayed(run.file()) as shown:
        for part in ("log", "exec", "attach", "portforward", "proxy"):
            answer = await shown.get(f"{PODS}/p/{part}")
            assert (answer.status, answer.tree["reason"]) == (404, "NotFound")
            assert "nothing runs in its pods" in answer.message


async def test_questions_are_no_writes(run: Run) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    async with replayed(run.file()) as shown:
        answer = await shown.post(path, review)
        assert (answer.status, answer.tree["status"]["allowed"]) == (201, True)


async def test_custom_resources_are_served_as_they_were(run: Run) -> None:
    looking_after = asyncio.create_task(run.cluster.api.run())
    try:
        await run.cluster.post(DEFINITIONS, definition())
        await condition(run.cluster, "Established")
        before = run.revision
        made = await run.cluster.post(WIDGETS, widget())
        assert made.status == 201, made.message
    finally:
        looking_after.cancel()
        await asyncio.gather(looking_after, return_exceptions=True)
    async with replayed(run.file()) as shown:
        assert await names(shown, WIDGETS) == ["w"]
        assert (await shown.get(WIDGETS)).raw == (await run.cluster.get(WIDGETS)).raw
    async with replayed(run.file(), at=before) as shown:
        assert await names(shown, WIDGETS) == []


async def test_objects_come_in_the_form_in_which_they_are_stored(run: Run) -> None:
    """Whoever watches a cluster gets them as it shows them: in other versions, in other order."""
    scaler = {
        "metadata": {"namespace": "default", "uid": "1", "name": "h"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "maxReplicas": 3,
            "targetCPUUtilizationPercentage": 50,
        },
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v1",
    }
    seen = Write(
        at=run.records[0].at, revision=run.revision + 1, verb=Verb.CREATE, name="h",
        namespace="default", resource="horizontalpodautoscalers.autoscaling", object=scaler,
    )  # fmt: skip
    run.records.append(seen)
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    async with replayed(run.file()) as shown:
        (item,) = (await shown.get(path)).tree["items"]
        assert item["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
        assert item["metadata"]["resourceVersion"] == str(seen.revision)


async def test_watches_see_what_is_played(run: Run) -> None:
    await run.cluster.post(CMS, config_map("a"))
    middle = run.revision
    await run.cluster.put(f"{CMS}/a", config_map("a", key="1"))
    await run.cluster.delete(f"{CMS}/a")
    async with replayed(run.file(), at=middle) as shown, asyncio.timeout(PATIENCE_S):
        old = await shown.watch(f"{CMS}?watch=1&resourceVersion={middle - 1}")
        new = await shown.watch(f"{CMS}?watch=1&resourceVersion={middle}")
        assert (await old.next())["type"] == "ADDED"
        await shown.player.play(1000.0)
        assert [await kind(new), await kind(new)] == ["MODIFIED", "DELETED"]
        assert [await kind(old), await kind(old)] == ["MODIFIED", "DELETED"]
        await old.close()
        await new.close()
        assert await names(shown) == []
        assert shown.store.revision == run.revision


async def kind(watcher: Watcher) -> str:
    return str((await watcher.next())["type"])


async def test_the_time_in_which_the_cluster_was_down_is_left_out(run: Run) -> None:
    middle, at = run.revision, run.records[-1].at
    run.records.append(Ended(at=at + 1.0, revision=middle))
    await run.cluster.post(CMS, config_map("a"))
    day = at + 86_400.0
    run.records[-1] = replace(run.records[-1], at=day)
    run.records.append(Step(at=day + 1.0, name="later"))
    async with replayed(run.file(), at=middle) as shown, asyncio.timeout(PATIENCE_S):
        await shown.player.play(100.0)
        assert await names(shown) == ["a"]
        assert shown.clock.now().timestamp() == pytest.approx(day + 1.0, abs=1e-5)


async def test_what_is_before_the_history_is_expired(run: Run) -> None:
    await run.cluster.post(CMS, config_map("a"))
    async with replayed(run.file()) as shown:
        first = run.records[0]
        assert isinstance(first, Began)
        began = first.revision
        answer = await shown.get(f"{CMS}?resourceVersion={began - 1}&resourceVersionMatch=Exact")
        assert answer.status == 410
        answer = await shown.get(f"{CMS}?resourceVersion={began}&resourceVersionMatch=Exact")
        assert answer.tree["items"] == []


async def test_time_passes_as_it_is_played(run: Run) -> None:
    async with replayed(run.file()) as shown:
        ended = run.records[-1].at
        assert shown.clock.now().timestamp() == pytest.approx(ended, abs=1e-5)
        assert shown.player.now == ended


async def test_heartbeats_renew_leases(run: Run) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    await run.cluster.post(leases, {"metadata": {"name": "n"}, "spec": {"holderIdentity": "n"}})
    at, revision = run.records[-1].at, run.revision
    beats = [
        Heartbeat(at=at, node="n", revision=revision, renewed=5.0),  # of the create itself
        Heartbeat(at=at, node="n", revision=revision + 3, renewed=1e9),
        Heartbeat(at=at, node="unknown", revision=revision + 4, renewed=1e9),
    ]
    run.records += beats
    async with replayed(run.file()) as shown:
        lease = (await shown.get(f"{leases}/n")).tree
        assert lease["spec"]["renewTime"] == "2001-09-09T01:46:40.000000Z"
        assert lease["metadata"]["resourceVersion"] == str(revision + 3)


async def test_after_a_gap_watchers_list_again(run: Run) -> None:
    """Whoever recorded had to list again: what it found then is state, and no news."""
    await run.cluster.post(CMS, config_map("a"))
    await run.cluster.post(CMS, config_map("b"))
    middle = run.revision
    last = run.records[-1]
    assert isinstance(last, Write)
    gone = replace(last, name="a", verb=Verb.DELETE, restored=True, revision=middle + 9)
    run.records.append(gone)
    async with replayed(run.file(), at=middle) as shown, asyncio.timeout(PATIENCE_S):
        watcher = await shown.watch(f"{CMS}?watch=1&resourceVersion={middle}")
        await shown.player.play(1000.0)
        event = await watcher.next()
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        await watcher.close()
        assert await names(shown) == ["b"]
        assert (await shown.get(f"{CMS}?watch=1&resourceVersion={middle}&poll=1")).status == 410


async def test_what_a_list_found_holds_though_the_server_had_lost_its_past(run: Run) -> None:
    await run.cluster.post(CMS, config_map("a"))
    await run.cluster.post(CMS, config_map("b", key="old"))
    last = run.records[-1]
    assert isinstance(last, Write)
    found = replace(last, revision=2, restored=True, verb=Verb.UPDATE)
    object_ = {**found.object, "data": {"key": "new"}}
    gone = replace(found, name="a", verb=Verb.DELETE)
    run.records += [replace(found, object=object_), gone]
    async with replayed(run.file()) as shown:
        (item,) = (await shown.get(CMS)).tree["items"]
        assert item["data"] == {"key": "new"}


def _late(records: Sequence[Record]) -> list[Record]:
    """The same with the last but one told last."""
    return [*records[:-2], records[-1], records[-2]]


async def test_a_write_that_is_told_late_is_not_lost(run: Run) -> None:
    await run.cluster.post(CMS, config_map("a"))
    await run.cluster.post(CMS, config_map("b"))
    run.records[:] = _late(run.records)
    async with replayed(run.file()) as shown:
        assert await names(shown) == ["a", "b"]
        assert shown.store.revision == run.revision


async def test_a_player_can_be_stopped(run: Run) -> None:
    middle = run.revision
    await run.cluster.post(CMS, config_map("a"))
    last = run.records[-1]
    run.records[-1] = replace(last, at=last.at + 1e6)
    async with replayed(run.file(), at=middle) as shown:
        playing = asyncio.create_task(shown.player.play(1.0))
        await asyncio.sleep(0)
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing
        assert await names(shown) == []
