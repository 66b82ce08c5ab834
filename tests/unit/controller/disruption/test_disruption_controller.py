"""The disruption controller against a server (upstream: disruption_test.go)."""

import pytest
from controllerworld import play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import (
    DAEMONSETS,
    DEPLOYMENTS,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    STATEFULSETS,
    Resource,
)
from kubeherd.controller.disruption.controller import DisruptionController

SELECTOR = {"matchLabels": {"app": "a"}}


def budget(api: FakeApi, name: str = "b", **spec: object) -> None:
    meta = {"name": name, "namespace": "ns", "generation": 1}
    api.put(PODDISRUPTIONBUDGETS, {"metadata": meta, "spec": {"selector": SELECTOR, **spec}})


def owned(api: FakeApi, name: str, owner: JsonObject | None = None) -> None:
    """A ready pod of the budget's, with or without a controller."""
    tree = pod(name, "n")
    tree["metadata"]["labels"] = {"app": "a"}
    if owner is not None:
        tree["metadata"]["ownerReferences"] = [reference(owner)]
    api.put(PODS, tree)


def reference(owner: JsonObject) -> JsonObject:
    keys = ("apiVersion", "kind")
    meta = owner["metadata"]
    return {
        **{key: owner[key] for key in keys}, "name": meta["name"], "uid": meta["uid"],
        "controller": True,
    }  # fmt: skip


def workload(
    api: FakeApi, resource: Resource, replicas: int, above: JsonObject | None = None
) -> JsonObject:
    meta: JsonObject = {"name": f"w-{resource.singular}", "namespace": "ns"}
    if above is not None:
        meta["ownerReferences"] = [reference(above)]
    return api.put(resource, {"metadata": meta, "spec": {"replicas": replicas}})


def status(api: FakeApi, name: str = "b") -> JsonObject:
    tree = api.get(PODDISRUPTIONBUDGETS, name, "ns")
    assert tree is not None
    found: JsonObject = tree.get("status") or {}
    return found


def numbers(api: FakeApi) -> tuple[int, int, int, int]:
    found = status(api)
    keys = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    expected, current, desired, allowed = (found.get(key, 0) for key in keys)
    return expected, current, desired, allowed


def reasons(api: FakeApi) -> set[str]:
    return {reason for _, reason, _ in api.events()}


def test_status_follows_the_pods() -> None:
    async def scenario(api: FakeApi) -> None:
        budget(api, minAvailable=1)
        for name in ("x", "y"):
            owned(api, name)
        await api.clock.sleep(1)
        assert numbers(api) == (2, 2, 1, 1)
        assert status(api)["conditions"][0]["reason"] == "SufficientPods"
        api.remove(PODS, "x", "ns")
        await api.clock.sleep(1)
        assert numbers(api) == (1, 1, 1, 0)

    api = play(DisruptionController, scenario=scenario)
    assert ("GET", PODDISRUPTIONBUDGETS.path("ns", "b")) not in [
        (sent.method, sent.path) for sent in api.requests
    ]


def test_no_pods() -> None:
    async def scenario(api: FakeApi) -> None:
        budget(api, maxUnavailable=1)
        await api.clock.sleep(30)
        assert numbers(api) == (0, 0, 0, 0)

    assert "NoPods" in reasons(play(DisruptionController, scenario=scenario))


@pytest.mark.parametrize("resource", [REPLICATIONCONTROLLERS, REPLICASETS, STATEFULSETS])
def test_what_the_controller_of_the_pods_wants(resource: Resource) -> None:
    async def scenario(api: FakeApi) -> None:
        owner = workload(api, resource, 5)
        for name in ("x", "y", "z"):
            owned(api, name, owner)
        budget(api, maxUnavailable="40%")
        await api.clock.sleep(1)
        assert numbers(api) == (5, 3, 3, 0)

    play(DisruptionController, scenario=scenario)


def test_replicasets_of_a_deployment_count_as_one() -> None:
    async def scenario(api: FakeApi) -> None:
        deployment = workload(api, DEPLOYMENTS, 4)
        for number in range(2):
            owners = [reference(deployment)]
            meta = {"name": f"rs-{number}", "namespace": "ns", "ownerReferences": owners}
            owner = api.put(REPLICASETS, {"metadata": meta, "spec": {"replicas": 9}})
            for pod_number in range(2):
                owned(api, f"p-{number}-{pod_number}", owner)
        budget(api, maxUnavailable=1)
        await api.clock.sleep(1)
        assert numbers(api) == (4, 4, 3, 1)

    play(DisruptionController, scenario=scenario)


def test_a_number_of_pods_needs_no_controllers() -> None:
    async def scenario(api: FakeApi) -> None:
        daemonset = workload(api, DAEMONSETS, 0)
        for name in ("x", "y"):
            owned(api, name, daemonset)
        budget(api, minAvailable=1)
        await api.clock.sleep(1)
        assert numbers(api) == (2, 2, 1, 1)

    play(DisruptionController, scenario=scenario)


def test_unmanaged_pods_are_told_and_do_not_count() -> None:
    async def scenario(api: FakeApi) -> None:
        owner = workload(api, REPLICASETS, 2)
        owned(api, "x", owner)
        owned(api, "alone")
        budget(api, minAvailable="50%")
        await api.clock.sleep(30)
        assert numbers(api) == (2, 2, 1, 1)

    api = play(DisruptionController, scenario=scenario)
    (text,) = {message for _, reason, message in api.events() if reason == "UnmanagedPods"}
    assert text.startswith(
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:"
        "map[string]string{app: a,},MatchExpressions:[]LabelSelectorRequirement{},}) were found to "
        "be unmanaged."
    )


def test_a_controller_that_is_gone_fails_the_sync_until_it_is_back() -> None:
    async def scenario(api: FakeApi) -> None:
        owner = workload(api, REPLICASETS, 1)
        owned(api, "x", owner)
        budget(api, maxUnavailable=1)
        await api.clock.sleep(1)
        assert numbers(api)[3] == 1
        api.remove(REPLICASETS, owner["metadata"]["name"], "ns")
        api.change(
            PODS, "x", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "ns"
        )
        await api.clock.sleep(30)
        found = status(api)
        assert found["disruptionsAllowed"] == 0
        (condition,) = found["conditions"]
        assert (condition["reason"], condition["message"]) == (
            "SyncFailed", 'found no controllers for pod "x"',
        )  # fmt: skip
        written = api.count("PUT", PODDISRUPTIONBUDGETS.path("ns", "b", "status"))
        assert written == 2

    assert "CalculateExpectedPodCountFailed" in reasons(
        play(DisruptionController, scenario=scenario)
    )


def test_one_budget_of_several_is_chosen_aloud() -> None:
    async def scenario(api: FakeApi) -> None:
        budget(api, minAvailable=1)
        budget(api, "c", minAvailable=1)
        await api.clock.sleep(1)
        owned(api, "x")
        await api.clock.sleep(30)
        assert status(api, "c")["expectedPods"] == status(api)["expectedPods"] == 1

    api = play(DisruptionController, scenario=scenario)
    assert ("x", "MultiplePodDisruptionBudgets",
            'Pod "ns"/"x" matches multiple PodDisruptionBudgets.  Chose "b" arbitrarily.',
            ) in api.events()  # fmt: skip


def test_an_eviction_that_nobody_carried_out_is_forgotten() -> None:
    async def scenario(api: FakeApi) -> None:
        budget(api, minAvailable=1)
        for name in ("x", "y"):
            owned(api, name)
        await api.clock.sleep(1)
        granted = {"x": "2026-01-01T00:00:01Z"}
        api.change(PODDISRUPTIONBUDGETS, "b", {"status": {"disruptedPods": granted}}, "ns")
        await api.clock.sleep(60)
        assert status(api)["disruptedPods"] == granted
        assert numbers(api) == (2, 1, 1, 0)
        await api.clock.sleep(75)
        assert "disruptedPods" not in status(api)
        assert numbers(api) == (2, 2, 1, 1)
        await api.clock.sleep(20)

    assert "NotDeleted" in reasons(play(DisruptionController, scenario=scenario))


def test_a_stale_disruption_target_is_taken_back() -> None:
    async def scenario(api: FakeApi) -> None:
        owned(api, "x")
        target = {
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        api.change(PODS, "x", {"status": {"conditions": [target]}}, "ns")
        await api.clock.sleep(100)
        tree = api.get(PODS, "x", "ns")
        assert tree is not None
        assert tree["status"]["conditions"] == [target]
        await api.clock.sleep(30)
        tree = api.get(PODS, "x", "ns")
        assert tree is not None
        (condition,) = tree["status"]["conditions"]
        assert condition["status"] == "False"
        assert "reason" not in condition

    play(DisruptionController, scenario=scenario)
