"""Namespace deletion: conditions, order, finalizing."""

from collections.abc import Awaitable, Callable

from controllerworld import play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import CONFIGMAPS, NAMESPACES, PODS
from kubeherd.cluster.api.objects import Condition
from kubeherd.controller.namespace import plan
from kubeherd.controller.namespace.controller import NamespaceController

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:05:00Z"
FINE = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions"),
    ("NamespaceDeletionContentFailure", "ContentDeleted"),
    ("NamespaceContentRemaining", "ContentRemoved"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers"),
]


def test_conditions_of_an_empty_namespace() -> None:
    written = plan.conditions([], plan.Outcome(), NOW)
    assert written is not None
    assert [(c["type"], c["reason"]) for c in written] == FINE
    assert {c["status"] for c in written} == {"False"}


def test_what_remains_is_named() -> None:
    outcome = plan.Outcome(
        delete_errors=["no"], remaining={"pods.": 2}, finalizers={"example.com/x": 1}
    )
    written = plan.conditions([], outcome, NOW)
    assert written is not None
    found = {c["type"]: (c["status"], c["message"]) for c in written}
    assert found["NamespaceContentRemaining"] == (
        "True",
        "Some resources are remaining: pods. has 2 resource instances",
    )
    assert found["NamespaceFinalizersRemaining"] == (
        "True",
        "Some content in the namespace has finalizers remaining: example.com/x in 1 resource"
        " instances",
    )
    assert found["NamespaceDeletionContentFailure"] == (
        "True",
        "Failed to delete all resource types, 1 remaining: no",
    )


def test_unchanged_conditions_are_not_written_and_times_move_with_the_status_only() -> None:
    written = plan.conditions([], plan.Outcome(remaining={"pods.": 2}), NOW)
    assert written is not None
    present = [
        Condition(
            type=c["type"],
            status=c["status"],
            reason=c["reason"],
            message=c["message"],
            last_transition_time=c["lastTransitionTime"],
        )
        for c in written
    ]
    assert plan.conditions(present, plan.Outcome(remaining={"pods.": 2}), LATER) is None
    fewer = plan.conditions(present, plan.Outcome(remaining={"pods.": 1}), LATER)
    assert fewer is not None
    assert {c["lastTransitionTime"] for c in fewer} == {NOW}
    empty = plan.conditions(present, plan.Outcome(), LATER)
    assert empty is not None
    assert [c["type"] for c in empty if c["lastTransitionTime"] == LATER] == [
        "NamespaceContentRemaining"
    ]


def terminating(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name, "deletionTimestamp": NOW},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Terminating"},
    }


def test_pods_go_first_then_the_rest_then_the_namespace() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "ns"}})
        api.put(CONFIGMAPS, {"metadata": {"name": "x", "namespace": "other"}})
        api.put(PODS, pod("p", "n"))
        api.put(NAMESPACES, terminating("ns"))
        await api.clock.sleep(3)
        tree = api.get(PODS, "p", "ns")
        assert tree is not None
        assert tree["metadata"]["deletionTimestamp"]
        assert api.get(CONFIGMAPS, "x", "ns") is not None, "pods may still use it"
        namespace = api.get(NAMESPACES, "ns")
        assert namespace is not None
        remaining = [c for c in namespace["status"]["conditions"] if c["status"] == "True"]
        assert [c["type"] for c in remaining] == ["NamespaceContentRemaining"]
        api.remove(PODS, "p", "ns")
        await api.clock.sleep(3)
        assert api.get(CONFIGMAPS, "x", "ns") is None
        assert api.get(NAMESPACES, "ns") is None
        assert api.get(CONFIGMAPS, "x", "other") is not None

    play(NamespaceController, scenario=scenario)


def test_living_namespaces_are_left_alone() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NAMESPACES, {"metadata": {"name": "ns"}, "spec": {"finalizers": ["kubernetes"]}})
        await api.clock.sleep(3)
        assert api.writes == []

    play(NamespaceController, scenario=scenario)


def test_a_protection_of_ones_own_is_waited_for_less_long_than_a_foreign_finalizer() -> None:
    def scenario_of(finalizer: str, gone: bool) -> Callable[[FakeApi], Awaitable[None]]:
        async def scenario(api: FakeApi) -> None:
            meta = {"name": "x", "namespace": "ns", "finalizers": [finalizer]}
            api.put(CONFIGMAPS, {"metadata": meta})
            api.put(NAMESPACES, terminating("ns"))
            await api.clock.sleep(3)
            api.remove(CONFIGMAPS, "x", "ns")
            await api.clock.sleep(3)
            assert (api.get(NAMESPACES, "ns") is None) is gone

        return scenario

    play(NamespaceController, scenario=scenario_of("kubernetes.io/pvc-protection", gone=True))
    play(NamespaceController, scenario=scenario_of("example.com/hold", gone=False))
