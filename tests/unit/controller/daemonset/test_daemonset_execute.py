"""Carrying plans out: slow start, adoption, collisions, status writes (spec 6, 7, 9.4, 10)."""

from collections.abc import Awaitable, Callable

import pytest
from daemonset_world import EPOCH, NS, World, daemonset, nodes, pod, revision
from scripted_transport import Answer, Script, ScriptedTransport

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS, PODS
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, ObjectMeta, Pod
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.listwatch import ListWatch
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.daemonset.execute import Caches, Execution
from kubeherd.controller.daemonset.model import Plan, StatusNumbers
from kubeherd.controller.daemonset.store_status import store_status
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.events import Event, PodReason
from kubeherd.controller.workload.pods.podnames import PodNames
from kubeherd.controller.workload.pods.slowstart import batches
from kubeherd.controller.workload.written import Written
from kubeherd.simulation.virtualtime import VirtualClock

DS_PATH = DAEMONSETS.path(NS, "ds")
QUOTA = errors.forbidden(PODS, "ds-x", "exceeded quota")


class Bench:
    """An execution against a scripted server."""

    def __init__(self, script: Script, ds: DaemonSet | None = None) -> None:
        self.ds = ds or daemonset()
        self.transport = ScriptedTransport(script)
        clock = VirtualClock(EPOCH)
        rng = Rng(1)
        self.client = ApiClient(self.transport, clock, private_features=False)
        self.caches = Caches(
            Reflector(
                self.client,
                ListWatch(CONTROLLERREVISIONS, ControllerRevision),
                clock=clock,
                rng=rng,
            ),
            Reflector(self.client, ListWatch(PODS, Pod), clock=clock, rng=rng),
        )
        self.written = Written(clock)
        self.events: list[Event] = []
        self.names = PodNames(rng.choice)
        self.execution = Execution(
            self.client, self.caches, self.written, self.ds, self.events.append, self.names
        )

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events]


def quota_of(limit: int) -> Script:
    made = 0

    def script(method: str, path: str, body: JsonObject) -> Answer:
        nonlocal made
        if made >= limit:
            return QUOTA
        made += 1
        return {"kind": "Pod", "metadata": {"name": f"ds-{made}", "resourceVersion": str(made)}}

    return script


def test_batches_double_in_size() -> None:
    assert list(batches(0)) == []
    assert list(batches(1)) == [1]
    assert list(batches(12)) == [1, 2, 4, 5]


async def test_creates_stop_after_the_batch_that_hits_a_quota() -> None:
    bench = Bench(quota_of(10))
    found = [f"n{i}" for i in range(100)]
    problems = await bench.execution.create_pods(found, "h", Template(bench.ds))
    assert len(bench.transport.requests) == 1 + 2 + 4 + 8
    assert len(problems) == 5
    assert bench.reasons().count(PodReason.SUCCESSFUL_CREATE) == 10
    assert bench.events[-1].message.startswith("Error creating: pods")


async def test_created_pods_are_waited_for() -> None:
    bench = Bench(quota_of(3))
    await bench.execution.create_pods(["n0", "n1", "n2"], "h", Template(bench.ds))
    bench.caches.pods.revision = 3
    assert await bench.written.settled(0.0)


class Pods:
    """A server that keeps pods by name and may lose its answers."""

    def __init__(self, lose: int, owner: str) -> None:
        self.lose = lose
        self.owner = owner
        self.made: dict[str, JsonObject] = {}

    def __call__(self, method: str, path: str, body: JsonObject) -> Answer:
        if method == "GET" and path == PODS.path("ns"):
            return {"items": list(self.made.values()), "metadata": {}}
        if method == "GET":
            return errors.Forbidden("the role of the controller lists pods only")
        name = body["metadata"]["name"]
        if name in self.made:
            return errors.already_exists(PODS, name)
        metadata = {**body["metadata"], "resourceVersion": str(len(self.made) + 7)}
        owners = [{**metadata["ownerReferences"][0], "uid": self.owner}]
        self.made[name] = {"kind": "Pod", "metadata": {**metadata, "ownerReferences": owners}}
        if self.lose:
            self.lose -= 1
            return TransportError("connection reset")
        return self.made[name]


async def test_a_create_whose_answer_was_lost_makes_no_second_pod() -> None:
    ds = daemonset()
    server = Pods(lose=1, owner=ds.metadata.uid)
    bench = Bench(server, ds)
    assert len(await bench.execution.create_pods(["n1"], "h", Template(ds))) == 1
    assert await bench.execution.create_pods(["n1"], "h", Template(ds)) == []
    (name,) = server.made
    assert name.startswith("ds-")
    assert server.made[name]["metadata"]["generateName"] == "ds-"
    assert bench.reasons() == [PodReason.FAILED_CREATE, PodReason.SUCCESSFUL_CREATE]
    assert not await bench.written.settled(0.0), "the pod that was found is not waited for"
    assert await bench.execution.create_pods(["n1"], "h", Template(ds)) == []
    assert len(server.made) == 2, "a later create is another pod"


async def test_a_pod_that_shows_up_after_the_plan_is_the_one_that_it_wants() -> None:
    ds = daemonset()
    server = Pods(lose=1, owner=ds.metadata.uid)
    bench = Bench(server, ds)
    await bench.execution.create_pods(["n1"], "h", Template(ds))
    (name,) = server.made
    cache, key = bench.caches.pods.cache, (ds.metadata.namespace, name)
    bench.names.observed(
        key[0], cache.get
    )  # the next plan is made before the watch tells of the pod
    cache.put(key, Pod(metadata=ObjectMeta(name=name, namespace=key[0])))
    assert await bench.execution.create_pods(["n1"], "h", Template(ds)) == []
    assert len(server.made) == 1


async def test_a_pod_that_the_plan_saw_is_not_the_one_that_it_wants() -> None:
    ds = daemonset()
    server = Pods(lose=1, owner=ds.metadata.uid)
    bench = Bench(server, ds)
    await bench.execution.create_pods(["n1"], "h", Template(ds))
    (name,) = server.made
    bench.names.observed(ds.metadata.namespace, lambda _namespace, found: found == name or None)
    assert await bench.execution.create_pods(["n1"], "h", Template(ds)) == []
    assert len(server.made) == 2


async def test_a_name_that_someone_elses_pod_has_is_not_used() -> None:
    ds = daemonset()
    server = Pods(lose=1, owner="another")
    bench = Bench(server, ds)
    await bench.execution.create_pods(["n1"], "h", Template(ds))
    assert await bench.execution.create_pods(["n1"], "h", Template(ds)) == []
    assert len(server.made) == 2


async def test_without_a_free_name_a_create_fails() -> None:
    bench = Bench(lambda method, _path, _body: errors.already_exists(PODS, "ds-x"))
    (problem,) = await bench.execution.create_pods(["n1"], "h", Template(bench.ds))
    assert str(problem) == "no free name for a pod found (ds-)"


async def test_a_terminating_namespace_is_no_error() -> None:
    details = {"causes": [{"reason": "NamespaceTerminating", "message": "x"}]}
    bench = Bench(lambda *_: errors.Forbidden("being terminated", details=details))
    assert await bench.execution.create_pods(["n0"], "h", Template(bench.ds)) == []
    assert bench.events == []


async def test_deletes_report_all_but_what_is_gone() -> None:
    def script(method: str, path: str, body: JsonObject) -> Answer:
        if path.endswith("/gone"):
            return errors.not_found(PODS, "gone")
        if path.endswith("/bad"):
            return errors.InternalError("boom")
        return {"kind": "Pod", "metadata": {"name": "ok", "resourceVersion": "5"}}

    bench = Bench(script)
    targets = [pod(name, "n0") for name in ("ok", "gone", "bad")]
    problems = await bench.execution.delete_pods(targets)
    assert [str(problem) for problem in problems] == ["boom"]
    assert sorted(bench.reasons()) == [PodReason.FAILED_DELETE, PodReason.SUCCESSFUL_DELETE]
    assert all(body == {} for _, _, body in bench.transport.requests)


def live(**metadata: object) -> JsonObject:
    return {"metadata": {"name": "ds", "namespace": NS, "uid": "ds-uid", **metadata}}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            live(uid="new"),
            "can't recheck DeletionTimestamp: original DaemonSet ns/ds is gone:"
            " got uid new, wanted ds-uid",
        ),
        (
            live(deletionTimestamp="2026-01-01T00:00:00Z"),
            "ns/ds has just been deleted at 2026-01-01T00:00:00Z",
        ),
        (
            errors.not_found(DAEMONSETS, "ds"),
            'can\'t recheck DeletionTimestamp: daemonsets.apps "ds" not found',
        ),
    ],
)
async def test_nothing_is_adopted_for_a_daemonset_that_is_gone(
    answer: Answer, message: str
) -> None:
    bench = Bench(lambda *_: answer)
    orphan = pod("o", "n0", owned_by=None)
    with pytest.raises(ReconcileError) as caught:
        await bench.execution.claim_pods(Plan(adopt_pods=[orphan]))
    assert str(caught.value) == (
        'couldn\'t get node to daemon pod mapping for daemon set "ds":'
        f" can't adopt Pod ns/o (uid-o): {message}"
    )
    assert bench.transport.methods() == ["GET"]


async def test_one_live_look_serves_all_adoptions() -> None:
    patched = {"metadata": {"name": "o", "resourceVersion": "9"}}
    bench = Bench(lambda method, *_: live() if method == "GET" else patched)
    orphans = [pod(name, "n0", owned_by=None) for name in "ab"]
    await bench.execution.claim_pods(Plan(adopt_pods=orphans, release_pods=[pod("c", "n0")]))
    assert bench.transport.methods() == ["GET", "PATCH", "PATCH", "PATCH"]


async def test_releasing_what_is_gone_or_someone_elses_is_no_error() -> None:
    answers = iter([errors.not_found(PODS, "a"), errors.Invalid("uid mismatch")])
    bench = Bench(lambda *_: next(answers))
    await bench.execution.claim_pods(Plan(release_pods=[pod("a", "n0"), pod("b", "n0")]))
    assert bench.transport.methods() == ["PATCH", "PATCH"]


def collision(existing: JsonObject, live_status: JsonObject) -> tuple[Script, list[JsonObject]]:
    written: list[JsonObject] = []

    def script(method: str, path: str, body: JsonObject) -> Answer:
        if method == "POST":
            return errors.already_exists(CONTROLLERREVISIONS, "ds-x")
        if method == "PUT":
            written.append(body["status"])
            return body
        return existing if "controllerrevisions" in path else {**live(), "status": live_status}

    return script, written


def history_plan(ds: DaemonSet) -> Plan:
    return World(ds, nodes(0)).plan()


async def test_a_hash_collision_raises_the_count_and_fails_the_sync() -> None:
    ds = daemonset()
    script, written = collision({"metadata": {"name": "x"}, "data": {"other": 1}}, {})
    with pytest.raises(errors.AlreadyExists):
        await Bench(script, ds).execution.history(history_plan(ds))
    assert written == [{"collisionCount": 1}]


async def test_a_stale_collision_count_changes_nothing() -> None:
    ds = daemonset()
    script, written = collision({"metadata": {"name": "x"}, "data": {}}, {"collisionCount": 2})
    with pytest.raises(ReconcileError, match="found a stale collision count"):
        await Bench(script, ds).execution.history(history_plan(ds))
    assert written == []


async def test_an_equal_revision_that_exists_already_is_used() -> None:
    ds = daemonset()
    chosen = history_plan(ds)
    assert chosen.create_revision is not None
    script, written = collision(chosen.create_revision, {})
    await Bench(script, ds).execution.history(chosen)
    assert written == []


async def test_a_revision_patch_names_its_resource_version() -> None:
    ds = daemonset()
    world = World(ds, [], revisions=[revision(ds, 1), revision(ds, 2, image="img:x")])
    bench = Bench(lambda *_: {"metadata": {"resourceVersion": "7"}}, ds)
    await bench.execution.history(world.plan())
    ((method, _, body),) = bench.transport.requests
    assert method == "PATCH"
    assert body == {"metadata": {"resourceVersion": "1"}, "revision": 3}


@pytest.mark.parametrize(
    ("failing", "expected", "fails"),
    [
        ([], ["PUT"], False),
        ([0], ["PUT", "GET", "PUT"], False),
        ([0, 1], ["PUT", "GET"], True),
        ([0, 2], ["PUT", "GET", "PUT"], True),
    ],
)
async def test_status_is_put_at_most_twice(
    failing: list[int], expected: list[str], fails: bool
) -> None:
    count = -1

    def script(method: str, path: str, body: JsonObject) -> Answer:
        nonlocal count
        count += 1
        return errors.Conflict("stale") if count in failing else live(resourceVersion="8")

    bench = Bench(script)
    store: Callable[[], Awaitable[str]] = lambda: store_status(  # noqa: E731
        bench.client, bench.ds, StatusNumbers(desired=1), 1
    )
    if fails:
        with pytest.raises(ReconcileError, match="error storing status for daemon set ns/ds: "):
            await store()
    else:
        assert await store() == "8"
    assert bench.transport.methods() == expected


async def test_written_status_leaves_zero_counters_out() -> None:
    bench = Bench(lambda *_: live())
    await store_status(bench.client, bench.ds, StatusNumbers(desired=1), 1)
    ((_, path, body),) = bench.transport.requests
    assert path == f"{DS_PATH}/status"
    assert body["status"] == {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 1,
        "numberReady": 0,
        "observedGeneration": 1,
        "numberUnavailable": 1,
    }
