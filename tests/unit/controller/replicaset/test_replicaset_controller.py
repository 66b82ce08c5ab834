"""The shell against a small API server: what of it is seen by others (spec replicaset-controller).

The names in brackets are upstream's, of replica_set_test.go.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from controllerworld import play
from fakeapi import FakeApi, failing_writes

from kubeherd.cluster.api.errors import Forbidden, InternalError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS, REPLICASETS, REPLICATIONCONTROLLERS, Resource
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.replicaset.controller import ReplicaSetController, ReplicationManager
from kubeherd.simulation.transport import Request

LABELS = {"app": "web"}
STATUS = REPLICASETS.path("ns", "web", "status")
PODS_OF_NS = PODS.path("ns")


def replicaset(replicas: int = 2, *, name: str = "web", **fields: object) -> JsonObject:
    return {
        "metadata": {"name": name, "namespace": "ns", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
            **fields,
        },
    }


def pod(name: str, **metadata: object) -> JsonObject:
    return {
        "metadata": {"name": name, "namespace": "ns", "labels": LABELS, **metadata},
        "spec": {"containers": [], "nodeName": "n"},
        "status": {"phase": "Running"},
    }


def status_of(api: FakeApi, resource: Resource = REPLICASETS) -> JsonObject:
    tree = api.get(resource, "web", "ns")
    assert tree is not None
    return dict(tree.get("status") or {})


def make_ready(api: FakeApi, name: str) -> None:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": _now(api)}
    api.change(PODS, name, {"status": {"phase": "Running", "conditions": [condition]}}, "ns")


def _now(api: FakeApi) -> str:
    return format_time(api.clock.now())


def played(scenario: Callable[[FakeApi], Awaitable[None]]) -> FakeApi:
    return play(ReplicaSetController, scenario=scenario)


@pytest.mark.parametrize(
    ("controller", "resource"),
    [(ReplicaSetController, REPLICASETS), (ReplicationManager, REPLICATIONCONTROLLERS)],
)
def test_pods_are_made_and_told_of(
    controller: type[ReplicaSetController], resource: Resource
) -> None:
    async def scenario(api: FakeApi) -> None:
        tree = replicaset(3)
        if resource is REPLICATIONCONTROLLERS:
            tree["spec"]["selector"] = LABELS
        api.put(resource, tree)
        await asyncio.sleep(5)
        pods = api.all(PODS)
        assert len(pods) == 3
        for made in pods:
            metadata = made["metadata"]
            assert metadata["name"].startswith("web-")
            assert metadata["generateName"] == "web-"
            assert metadata["labels"] == LABELS
            (owner,) = metadata["ownerReferences"]
            assert (owner["kind"], owner["apiVersion"]) == (resource.kind, resource.api_version)
        status = {"replicas": 3, "fullyLabeledReplicas": 3, "observedGeneration": 1}
        if resource is REPLICASETS:
            status["terminatingReplicas"] = 0
        assert status_of(api, resource) == status
        make_ready(api, pods[0]["metadata"]["name"])
        await asyncio.sleep(5)
        assert status_of(api, resource)["readyReplicas"] == 1
        assert status_of(api, resource)["availableReplicas"] == 1

    api = play(controller, scenario=scenario)
    assert {(reason, message.split("-")[0]) for _, reason, message in api.events()} == {
        ("SuccessfulCreate", "Created pod: web")
    }


def test_one_write_of_the_status_tells_of_all_pods_made() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(REPLICASETS, replicaset(20))
        await asyncio.sleep(5)
        assert status_of(api)["replicas"] == 20
        assert api.count("PUT", STATUS) == 1

    played(scenario)


def test_scaled_down_the_pods_that_serve_least_go() -> None:
    """A Deployment's other ReplicaSet has pods on the same node: that node's go first."""

    async def scenario(api: FakeApi) -> None:
        deployment = {"kind": "Deployment", "name": "d", "uid": "deployment", "controller": True}
        tree = replicaset(2)
        tree["metadata"]["ownerReferences"] = [deployment]
        api.put(REPLICASETS, tree)
        await asyncio.sleep(5)
        first, second = (each["metadata"]["name"] for each in api.all(PODS))
        for number, name in enumerate((first, second)):
            make_ready(api, name)
            api.change(PODS, name, {"spec": {"nodeName": f"n{number}"}}, "ns")
        old = replicaset(0, name="old")
        old["metadata"]["ownerReferences"] = [deployment]
        old["spec"]["selector"] = {"matchLabels": {"app": "old"}}
        uid = api.put(REPLICASETS, {**old, "spec": {**old["spec"], "replicas": 1}})["metadata"][
            "uid"
        ]
        owner = {"kind": "ReplicaSet", "name": "old", "uid": uid, "controller": True}
        of_old = pod("of-old", labels={"app": "old"}, ownerReferences=[owner])
        of_old["spec"]["nodeName"] = "n1"
        api.put(PODS, of_old)
        await asyncio.sleep(5)
        api.change(REPLICASETS, "web", {"spec": {"replicas": 1}}, "ns")
        await asyncio.sleep(5)
        left = [
            p["metadata"]["name"]
            for p in api.all(PODS)
            if not p["metadata"].get("deletionTimestamp")
        ]
        assert sorted(left) == sorted([first, "of-old"])
        assert status_of(api)["replicas"] == 1
        assert status_of(api)["terminatingReplicas"] == 1

    assert ("web", "SuccessfulDelete") in {event[:2] for event in played(scenario).events()}


class Quota:
    """Refuses all but the first pods; `tries`: how many were tried before the status was told."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.asked = 0
        self.tries = 0

    def __call__(self, sent: Request) -> Exception | None:
        if (sent.method, sent.path) == ("PUT", STATUS):
            self.tries = self.tries or self.asked
        if (sent.method, sent.path) != ("POST", PODS_OF_NS):
            return None
        self.asked += 1
        return Forbidden("exceeded quota: q") if self.asked > self.limit else None


def test_what_a_quota_refuses_is_told_and_made_later() -> None:
    """[TestSyncReplicaSetCreateFailures]"""

    async def scenario(api: FakeApi) -> None:
        api.disturbance = quota = Quota(10)
        api.put(REPLICASETS, replicaset(100))
        await asyncio.sleep(0.5)
        assert quota.tries == 1 + 2 + 4 + 8
        status = status_of(api)
        assert status["replicas"] == 10
        (condition,) = status["conditions"]
        assert condition["type"] == "ReplicaFailure"
        assert (condition["status"], condition["reason"]) == ("True", "FailedCreate")
        assert condition["message"] == "exceeded quota: q"
        api.disturbance = lambda _: None
        await asyncio.sleep(120)
        assert status_of(api)["replicas"] == 100
        assert "conditions" not in status_of(api)

    events = played(scenario).events()
    assert ("web", "FailedCreate", "Error creating: exceeded quota: q") in events


def test_what_cannot_be_deleted_is_told() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(REPLICASETS, replicaset(1))
        await asyncio.sleep(5)
        api.disturbance = failing_writes("/pods/", InternalError("no"))
        api.change(
            REPLICASETS, "web", {"spec": {"replicas": 0}, "metadata": {"generation": 2}}, "ns"
        )
        await asyncio.sleep(1)
        (condition,) = status_of(api)["conditions"]
        assert condition["reason"] == "FailedDelete"
        assert condition["message"] == "unable to delete pods: no"
        api.disturbance = lambda _: None
        await asyncio.sleep(60)
        assert status_of(api)["replicas"] == 0
        assert "conditions" not in status_of(api)

    assert ("web", "FailedDelete", "Error deleting: no") in played(scenario).events()


def test_an_orphan_is_adopted() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(PODS, pod("orphan"))
        api.put(REPLICASETS, replicaset(1))
        await asyncio.sleep(5)
        (adopted,) = api.all(PODS)
        assert adopted["metadata"]["ownerReferences"][0]["name"] == "web"
        api.change(PODS, "orphan", {"metadata": {"labels": {"app": "debug"}}}, "ns")
        await asyncio.sleep(5)
        released = api.get(PODS, "orphan", "ns")
        assert released is not None
        assert not released["metadata"]["ownerReferences"]
        assert len(api.all(PODS)) == 2

    played(scenario)


def test_no_adoption_goes_without_the_others() -> None:
    """[TestPatchPodFails] Each is tried, and the sync fails if one did."""

    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/pods/a", InternalError("no"))
        api.put(PODS, pod("a"))
        api.put(PODS, pod("b"))
        api.put(REPLICASETS, replicaset(2))
        await asyncio.sleep(1)
        owned = [
            p["metadata"]["name"] for p in api.all(PODS) if p["metadata"].get("ownerReferences")
        ]
        assert owned == ["b"]
        assert api.count("POST", PODS_OF_NS) == 0
        api.disturbance = lambda _: None
        await asyncio.sleep(30)
        assert all(p["metadata"].get("ownerReferences") for p in api.all(PODS))

    played(scenario)


def test_nothing_is_adopted_or_made_for_what_is_being_deleted() -> None:
    """[TestDoNotAdoptOrCreateIfBeingDeleted]"""

    async def scenario(api: FakeApi) -> None:
        api.put(PODS, pod("orphan"))
        tree = replicaset(2)
        tree["metadata"] |= {"deletionTimestamp": _now(api), "finalizers": ["x.io/f"]}
        api.put(REPLICASETS, tree)
        await asyncio.sleep(5)
        (orphan,) = api.all(PODS)
        assert "ownerReferences" not in orphan["metadata"]

    played(scenario)


def test_the_live_object_is_asked_before_an_adoption() -> None:
    """[TestDoNotAdoptOrCreateIfBeingDeletedRace] The cache does not know of the deletion yet."""

    async def scenario(api: FakeApi) -> None:
        api.put(PODS, pod("orphan"))
        tree = api.put(REPLICASETS, replicaset(2))
        gone = {**tree, "metadata": {**tree["metadata"], "deletionTimestamp": _now(api)}}
        api.objects[REPLICASETS.path("ns", "web")] = gone  # without an event
        await asyncio.sleep(5)
        (orphan,) = api.all(PODS)
        assert "ownerReferences" not in orphan["metadata"]

    played(scenario)


def test_a_status_that_was_newer_is_written_once_more() -> None:
    """[TestControllerUpdateStatusWithFailure, and that the second try succeeds]"""

    async def scenario(api: FakeApi) -> None:
        def outrun(sent: Request) -> None:
            if (sent.method, sent.path) == ("PUT", STATUS) and api.count("PUT", STATUS) == 1:
                api.edit(
                    REPLICASETS.path("ns", "web"),
                    lambda tree: tree["metadata"].update(annotations={"by": "somebody"}),
                )

        api.disturbance = outrun
        api.put(REPLICASETS, replicaset(1))
        await asyncio.sleep(5)
        assert status_of(api)["replicas"] == 1
        assert api.count("PUT", STATUS) == 2
        tree = api.get(REPLICASETS, "web", "ns")
        assert tree is not None
        assert tree["metadata"]["annotations"] == {"by": "somebody"}
        assert tree["spec"]["replicas"] == 1

    played(scenario)


def test_a_status_that_cannot_be_written_is_tried_again_later() -> None:
    """[TestControllerUpdateRequeue]"""

    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/status", TransportError("away"))
        api.put(REPLICASETS, replicaset(1))
        await asyncio.sleep(1)
        assert status_of(api) == {}
        api.disturbance = lambda _: None
        await asyncio.sleep(60)
        assert status_of(api)["replicas"] == 1

    played(scenario)


def test_a_pod_counts_as_available_when_its_time_has_come() -> None:
    """[TestReplicaSetAvailabilityCheck]"""

    async def scenario(api: FakeApi) -> None:
        api.put(REPLICASETS, replicaset(2, minReadySeconds=5))
        await asyncio.sleep(1)
        first, second = (each["metadata"]["name"] for each in api.all(PODS))
        make_ready(api, first)
        await asyncio.sleep(3)
        make_ready(api, second)
        await asyncio.sleep(1)
        assert status_of(api)["readyReplicas"] == 2
        assert "availableReplicas" not in status_of(api)
        await asyncio.sleep(1.5)
        assert status_of(api)["availableReplicas"] == 1
        await asyncio.sleep(3)
        assert status_of(api)["availableReplicas"] == 2

    played(scenario)


@pytest.mark.parametrize("made", [True, False])
def test_a_create_whose_answer_is_lost_makes_no_pod_too_many(made: bool) -> None:
    async def scenario(api: FakeApi) -> None:
        lost: list[str] = []

        def lose(sent: Request) -> Exception | None:
            if (sent.method, sent.path) != ("POST", PODS_OF_NS) or lost:
                return None
            lost.append(sent.tree["metadata"]["name"])
            if made:
                metadata = {**sent.tree["metadata"], "namespace": "ns"}
                api.put(PODS, {**sent.tree, "metadata": metadata})
            return TransportError("reset")

        api.disturbance = lose
        api.put(REPLICASETS, replicaset(3))
        await asyncio.sleep(60)
        names = [each["metadata"]["name"] for each in api.all(PODS)]
        assert len(names) == 3
        assert lost[0] in names
        assert not any(method == "DELETE" for method, _ in api.writes)
        assert api.count("GET", PODS.path("ns", lost[0])) == 0, "its role may list pods only"

    played(scenario)


@pytest.mark.parametrize(
    "selector",
    [
        {"matchExpressions": [{"key": "a", "operator": "Nonsense"}]},
        None,
    ],
)
def test_what_selects_nothing_makes_nothing(selector: JsonObject | None) -> None:
    """Validation refuses these; if one is there, it must not make pods without end."""

    async def scenario(api: FakeApi) -> None:
        api.put(REPLICASETS, replicaset(1, selector=selector))
        api.put(
            PODS,
            pod(
                "p",
                ownerReferences=[
                    {"kind": "ReplicaSet", "name": "web", "uid": "uid-web", "controller": True}
                ],
            ),
        )
        await asyncio.sleep(60)
        assert api.writes == []

    played(scenario)


def test_a_deleted_replicaset_is_forgotten() -> None:
    """[TestDeleteFinalStateUnknown]"""

    async def scenario(api: FakeApi) -> None:
        api.put(REPLICASETS, replicaset(1))
        await asyncio.sleep(5)
        api.remove(REPLICASETS, "web", "ns")
        await asyncio.sleep(5)
        before = len(api.writes)
        (left,) = api.all(PODS)
        make_ready(api, left["metadata"]["name"])
        await asyncio.sleep(60)
        assert len(api.writes) == before

    played(scenario)


def test_a_replicaset_of_the_same_name_starts_afresh() -> None:
    """[TestExpectationsOnRecreate]"""

    async def scenario(api: FakeApi) -> None:
        api.put(REPLICASETS, replicaset(1))
        await asyncio.sleep(5)
        (old,) = api.all(PODS)
        api.remove(REPLICASETS, "web", "ns")
        api.put(REPLICASETS, replicaset(1))
        await asyncio.sleep(5)
        new = [p for p in api.all(PODS) if p["metadata"]["uid"] != old["metadata"]["uid"]]
        assert [p["metadata"]["ownerReferences"][0]["uid"] for p in new] == ["uid-web-2"]

    played(scenario)
