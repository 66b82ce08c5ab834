"""The shell on a small server: what wakes it, what it writes in spite of errors."""

import msgspec
from controllerworld import play
from fakeapi import FakeApi, failing_writes
from statefulset_world import NS, UID, claim, deleting, owner, statefulset

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import (
    CONTROLLERREVISIONS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    STATEFULSETS,
)
from kubeherd.cluster.api.objects import LabelSelector, LabelSelectorRequirement
from kubeherd.controller.statefulset.controller import StatefulSetController
from kubeherd.controller.workload.apps import ClaimRetentionPolicy, StatefulSet

WEB = STATEFULSETS.path(NS, "web")


def put(api: FakeApi, of: StatefulSet) -> None:
    tree = msgspec.to_builtins(of)
    del tree["metadata"]["resourceVersion"]
    api.put(STATEFULSETS, tree)


def names(api: FakeApi, prefix: str) -> list[str]:
    return sorted(p.rsplit("/", 1)[1] for p in api.objects if p.startswith(f"{prefix}/"))


def pods(api: FakeApi) -> list[str]:
    return names(api, PODS.path(NS))


def status(api: FakeApi) -> JsonObject:
    found: JsonObject = api.objects[WEB].get("status") or {}
    return found


async def moments(api: FakeApi) -> None:
    await api.clock.sleep(2)


def test_pods_claims_revision_and_status_are_written() -> None:
    """TestStatefulSetControllerCreates."""

    async def scenario(api: FakeApi) -> None:
        put(api, statefulset(2, parallel=True, claims=["data"]))
        await moments(api)
        assert pods(api) == ["web-0", "web-1"]
        assert names(api, PERSISTENTVOLUMECLAIMS.path(NS)) == ["data-web-0", "data-web-1"]
        (revision,) = names(api, CONTROLLERREVISIONS.path(NS))
        assert status(api)["updateRevision"] == revision
        assert (status(api)["replicas"], status(api)["observedGeneration"]) == (2, 1)

    play(StatefulSetController, scenario=scenario)


def test_the_status_is_written_even_when_pods_cannot_be_created() -> None:
    """TestStatefulSetStatusUpdate: sync error."""

    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/pods", errors.forbidden(PODS, "web-0", "quota"))
        put(api, statefulset(1))
        await moments(api)
        assert status(api)["observedGeneration"] == 1
        api.disturbance = lambda _: None
        await api.clock.sleep(60)
        assert pods(api) == ["web-0"]

    play(StatefulSetController, scenario=scenario)


def test_pods_are_made_although_the_status_cannot_be_written() -> None:
    """TestStatefulSetStatusUpdate: status error."""

    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/status", errors.InternalError("broken"))
        put(api, statefulset(1))
        await moments(api)
        assert (pods(api), status(api)) == (["web-0"], {})

    play(StatefulSetController, scenario=scenario)


def test_when_a_claim_in_the_way_is_gone_its_pod_is_made() -> None:
    """Nothing else happens then that could wake the controller (6.5)."""

    async def scenario(api: FakeApi) -> None:
        stale = claim("data-web-0", [owner("gone", "web-0", "Pod")])
        tree = msgspec.to_builtins(stale)
        del tree["metadata"]["resourceVersion"]
        api.put(PERSISTENTVOLUMECLAIMS, tree)
        policy = ClaimRetentionPolicy(when_scaled="Delete", when_deleted="Retain")
        put(api, statefulset(1, claims=["data"], retention=policy))
        await moments(api)
        assert pods(api) == []
        api.remove(PERSISTENTVOLUMECLAIMS, "data-web-0", NS)
        await moments(api)
        assert pods(api) == ["web-0"]

    play(StatefulSetController, scenario=scenario)


def test_what_is_being_deleted_gets_neither_pods_nor_revisions() -> None:
    """TestStatefulSetControllerDeletionTimestamp, ...DeletionTimestampRace."""

    async def scenario(api: FakeApi) -> None:
        put(api, deleting(statefulset(2)))
        await moments(api)
        assert (pods(api), names(api, CONTROLLERREVISIONS.path(NS))) == ([], [])

    play(StatefulSetController, scenario=scenario)


def test_a_selector_that_means_nothing_is_not_acted_upon() -> None:
    wrong = LabelSelector(match_expressions=[LabelSelectorRequirement(key="a", operator="Like")])

    async def scenario(api: FakeApi) -> None:
        put(api, statefulset(2, selector=wrong))
        await moments(api)
        assert (pods(api), status(api)) == ([], {})

    play(StatefulSetController, scenario=scenario)


def test_an_orphan_is_adopted_and_awaited_as_any_other() -> None:
    async def scenario(api: FakeApi) -> None:
        labels = {"app": "a", "statefulset.kubernetes.io/pod-name": "web-0"}
        api.put(PODS, {"metadata": {"name": "web-0", "namespace": NS, "labels": labels}})
        put(api, statefulset(2))
        await moments(api)
        (reference,) = api.objects[PODS.path(NS, "web-0")]["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["controller"]) == (UID, True)
        assert pods(api) == ["web-0"], "it is not ready"

    play(StatefulSetController, scenario=scenario)
