"""Carrying plans out: claims before pods, events, errors (statefulset-controller 4, 6, 9)."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from scripted_transport import Answer, ScriptedTransport
from statefulset_world import EPOCH, NS, claim, pod, statefulset

from kubeherd.cluster.api import errors, labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import (
    CONTROLLERREVISIONS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    Resource,
)
from kubeherd.cluster.client.client import ApiClient
from kubeherd.controller.statefulset import history as histories
from kubeherd.controller.statefulset.execute import Execution
from kubeherd.controller.statefulset.makerevision import write_history
from kubeherd.controller.statefulset.model import (
    ClaimChange,
    History,
    Plan,
    PodWork,
    StatusNumbers,
    Verb,
)
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.events import Event
from kubeherd.controller.workload.revisions import revision_data
from kubeherd.controller.workload.writer import ObjectWriter
from kubeherd.controller.workload.written import Written
from kubeherd.simulation.virtualtime import VirtualClock

WEB = statefulset(3, claims=["data"])
NUMBERS = StatusNumbers(
    replicas=0, ready=0, available=0, current=0, updated=0,
    current_revision="a", update_revision="b", collision_count=0,
)  # fmt: skip
BROKEN = errors.InternalError("broken")


class Server:
    """Keeps objects by path; `refuse`: what it answers instead, by method and name."""

    def __init__(self) -> None:
        self.objects: dict[str, JsonObject] = {}
        self.refuse: dict[tuple[str, str], Exception] = {}
        self.writes: list[str] = []

    def __call__(self, method: str, path: str, body: JsonObject) -> Answer:
        target = path if method != "POST" else f"{path}/{body['metadata']['name']}"
        name = target.rsplit("/", 1)[1]
        if method != "GET":
            self.writes.append(f"{method} {name}")
        if (method, name) in self.refuse:
            return self.refuse[method, name]
        if method == "POST":
            if target in self.objects:
                return errors.already_exists(PODS, name)
            self.objects[target] = body
            return body
        if method == "PUT" and name != "status":
            if body["metadata"]["resourceVersion"] != "1":
                return errors.Conflict("changed")
            self.objects[target] = body
            return body
        if method == "PUT":
            return body
        found = self.objects.get(target)
        if found is None:
            return errors.not_found(PODS, name)
        if method == "DELETE":
            del self.objects[target]
        return found

    def put(self, resource: Resource, tree: JsonObject) -> None:
        self.objects[resource.path(NS, tree["metadata"]["name"])] = tree


class Bench:
    def __init__(self, of: StatefulSet = WEB) -> None:
        self.of = of
        self.server = Server()
        clock = VirtualClock(EPOCH)
        client = ApiClient(ScriptedTransport(self.server), clock, private_features=False)
        self.writer = ObjectWriter(client, NS, Written(clock), {})
        self.events: list[Event] = []

    async def run(
        self, *works: PodWork, condemned: tuple[PodWork, ...] = (), is_ordered: bool = True
    ) -> list[str]:
        """Carry out these works on wanted pods, then those on condemned ones; the errors."""
        chosen = Plan(
            adopt_pods=(), release_pods=(), is_ordered=is_ordered, replicas=works,
            condemned_claims=(), condemned=condemned, roll=None, status=NUMBERS,
            status_rolled=NUMBERS, delete_revisions=(),
        )  # fmt: skip
        execution = Execution(self.writer, self.of, self.events.append)
        return [str(error) for error in await execution.run(chosen)]

    def said(self) -> list[tuple[str, str]]:
        return [(f"{event.type} {event.reason}", event.message) for event in self.events]


def create(ordinal: int, **more: Any) -> PodWork:
    name = f"web-{ordinal}"
    return PodWork(
        name=name,
        verb=Verb.CREATE,
        tree={"metadata": {"name": name}},
        create_claims=[{"metadata": {"name": f"data-{name}"}}],
        **more,
    )


def delete(ordinal: int) -> PodWork:
    return PodWork(name=f"web-{ordinal}", verb=Verb.DELETE, pod=pod(f"web-{ordinal}"))


async def test_claims_come_before_their_pod() -> None:
    """TestStatefulPodControlCreatesPods."""
    bench = Bench()
    assert await bench.run(create(0)) == []
    assert bench.server.writes == ["POST data-web-0", "POST web-0"]
    assert bench.said() == [
        ("Normal SuccessfulCreate", "Create Claim data-web-0 Pod web-0 in StatefulSet web success"),
        ("Normal SuccessfulCreate", "Create Pod web-0 in StatefulSet web successful"),
    ]


async def test_a_pod_that_exists_is_an_error_without_a_word() -> None:
    """TestStatefulPodControlCreatePodExists."""
    bench = Bench()
    bench.server.put(PODS, {"metadata": {"name": "web-0"}})
    work = msgspec.structs.replace(create(0), create_claims=())
    assert len(await bench.run(work)) == 1
    assert bench.said() == []


async def test_without_its_claims_no_pod_is_made() -> None:
    """TestStatefulPodControlCreatePodPvcCreateFailure."""
    bench = Bench()
    bench.server.refuse["POST", "data-web-0"] = BROKEN
    assert await bench.run(create(0)) == ["failed to create PVC data-web-0: broken"]
    assert bench.server.writes == ["POST data-web-0"]
    assert bench.said() == [
        (
            "Warning FailedCreate",
            "Create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: broken",
        ),
        (
            "Warning FailedCreate",
            "Create Pod web-0 in StatefulSet web failed error: "
            "failed to create PVC data-web-0: broken",
        ),
    ]


async def test_a_claim_that_is_going_is_said() -> None:
    """TestStatefulPodControlCreatePodPVCDeleting."""
    bench = Bench()
    work = create(0, failure="pvc other-web-0 is being deleted")
    assert await bench.run(work) == ["pvc other-web-0 is being deleted"]
    assert bench.server.writes == ["POST data-web-0"], "the other claims are made all the same"
    assert bench.said()[-1] == (
        "Warning FailedCreate",
        "Create Pod web-0 in StatefulSet web failed error: pvc other-web-0 is being deleted",
    )


async def test_a_pod_that_cannot_be_made_is_said() -> None:
    """TestStatefulPodControlCreatePodFailed."""
    bench = Bench()
    bench.server.refuse["POST", "web-0"] = BROKEN
    assert await bench.run(create(0)) == ["broken"]
    assert bench.said()[-1] == (
        "Warning FailedCreate", "Create Pod web-0 in StatefulSet web failed error: broken",
    )  # fmt: skip


async def test_a_deletion_is_said_and_a_pod_that_is_gone_is_no_error() -> None:
    """TestStatefulPodControlDeletesStatefulPod, ...NotFound, ...DeleteFailure."""
    bench = Bench()
    bench.server.put(PODS, {"metadata": {"name": "web-0"}})
    assert await bench.run(delete(0)) == []
    assert await bench.run(delete(0)) == []
    bench.server.refuse["DELETE", "web-1"] = BROKEN
    assert await bench.run(delete(1)) == ["broken"]
    done = ("Normal SuccessfulDelete", "Delete Pod web-0 in StatefulSet web successful")
    failed = ("Warning FailedDelete", "Delete Pod web-1 in StatefulSet web failed error: broken")
    assert bench.said() == [done, done, failed]


async def test_a_pod_of_the_name_that_was_made_anew_is_not_deleted() -> None:
    bench = Bench()
    bench.server.refuse["DELETE", "web-0"] = errors.Conflict("another uid")
    assert await bench.run(delete(0)) == ["another uid"]
    assert bench.said() == []


async def test_a_pod_is_put_right() -> None:
    """TestStatefulPodControlUpdatesIdentity, ...UpdatesPodStorage, ...UpdateIdentityFailure."""
    bench = Bench()
    metadata = {"name": "web-1", "namespace": NS, "uid": "uid-web-1", "resourceVersion": "1"}
    live = {"metadata": metadata, "spec": {}}
    bench.server.put(PODS, live)
    work = PodWork(name="web-1", verb=Verb.UPDATE, pod=pod("web-1"), fixes_pod=True)
    assert await bench.run(work) == []
    stored = bench.server.objects[PODS.path(NS, "web-1")]
    assert stored["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
    claimed = stored["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claimed == "data-web-1"
    assert bench.said() == [
        ("Normal SuccessfulUpdate", "Update Pod web-1 in StatefulSet web successful")
    ]
    bench.server.refuse["PUT", "web-1"] = BROKEN
    assert await bench.run(work) == ["broken"]
    assert bench.said()[-1] == (
        "Warning FailedUpdate", "Update Pod web-1 in StatefulSet web failed error: broken",
    )  # fmt: skip


@pytest.mark.parametrize("verb", [Verb.NOTHING, Verb.UPDATE])
async def test_claims_get_their_owners(verb: Verb) -> None:
    """TestStatefulPodControlUpdatePodClaimForRetentionPolicy."""
    bench = Bench()
    bench.server.put(
        PERSISTENTVOLUMECLAIMS,
        {"metadata": {"name": "data-web-0", "namespace": NS, "resourceVersion": "9"}, "spec": {}},
    )
    seen = claim("data-web-0").metadata
    references = pod("x").metadata.owner_references
    change = ClaimChange("data-web-0", seen.resource_version, references, conflicting=True)
    work = PodWork(name="web-0", verb=verb, pod=pod("web-0"), own_claims=[change])
    assert await bench.run(work) == []
    stored = bench.server.objects[PERSISTENTVOLUMECLAIMS.path(NS, "data-web-0")]
    assert [one["kind"] for one in stored["metadata"]["ownerReferences"]] == ["StatefulSet"]
    assert bench.said()[0] == (
        "Warning ConflictingController",
        "PersistentVolumeClaim data-web-0 has a conflicting OwnerReference that acts as a manging "
        "controller, the retention policy is ignored for this claim",
    )
    bench.server.refuse["PUT", "data-web-0"] = BROKEN
    problem = "could not update claim data-web-0 for delete policy ownerRefs: broken"
    assert await bench.run(work) == [problem]
    assert bench.said()[-1] == (
        "Warning FailedUpdate", f"Update Pod web-0 in StatefulSet web failed error: {problem}",
    )  # fmt: skip


async def test_a_claim_that_has_changed_since_is_looked_at_again() -> None:
    bench = Bench()
    tree = {"metadata": {"name": "data-web-0", "namespace": NS, "resourceVersion": "9"}}
    bench.server.put(PERSISTENTVOLUMECLAIMS, tree)
    change = ClaimChange("data-web-0", "7", [])
    work = PodWork(name="web-0", verb=Verb.UPDATE, pod=pod("web-0"), own_claims=[change])
    assert await bench.run(work) == ["changed"]
    assert bench.said() == []


async def test_in_order_the_first_error_ends_all() -> None:
    bench = Bench()
    bench.server.refuse["DELETE", "web-1"] = BROKEN
    assert await bench.run(delete(0), delete(1), delete(2), condemned=(delete(3),)) == ["broken"]
    assert bench.server.writes == ["DELETE web-0", "DELETE web-1"]


async def test_in_parallel_the_batch_with_an_error_is_the_last() -> None:
    """TestParallelScale: batches of 1, 2, 4, ..."""
    bench = Bench()
    bench.server.refuse["DELETE", "web-1"] = BROKEN
    works = [delete(ordinal) for ordinal in range(7)]
    assert await bench.run(*works, condemned=(delete(9),), is_ordered=False) == ["broken"]
    assert bench.server.writes == ["DELETE web-0", "DELETE web-1", "DELETE web-2"]


# --- history and status ---


def builder(of: StatefulSet) -> Callable[[int], History]:
    selector = labels.from_selector(of.spec.selector)
    data = revision_data(of.spec.template)
    return lambda count: histories.build(of, data, selector, [], count)


async def test_a_taken_name_is_tried_with_the_next_count() -> None:
    bench = Bench()
    build = builder(WEB)
    for count in (0, 1):
        tree = build(count).create
        assert tree is not None
        bench.server.put(CONTROLLERREVISIONS, {**tree, "data": {"other": count}})
    history = await write_history(bench.writer, WEB, build(0), build)
    assert history.collision_count == 2
    assert CONTROLLERREVISIONS.path(NS, history.update.name) in bench.server.objects


async def test_a_revision_that_an_earlier_try_made_is_taken() -> None:
    bench = Bench()
    tree = builder(WEB)(0).create
    assert tree is not None
    bench.server.put(CONTROLLERREVISIONS, tree)
    build = builder(WEB)
    history = await write_history(bench.writer, WEB, build(0), build)
    assert (history.collision_count, history.update.name) == (0, tree["metadata"]["name"])


async def test_names_are_not_tried_for_ever() -> None:
    bench = Bench()
    bench.server.refuse |= {
        ("POST", builder(WEB)(count).update.name): errors.already_exists(CONTROLLERREVISIONS, "x")
        for count in range(100)
    }
    for count in range(100):
        tree = {"metadata": {"name": builder(WEB)(count).update.name}, "data": {}}
        bench.server.put(CONTROLLERREVISIONS, tree)
    with pytest.raises(ReconcileError, match="no free name"):
        await write_history(bench.writer, WEB, builder(WEB)(0), builder(WEB))
