"""Taint eviction: the rules on pure functions, then the shell on virtual time."""

import pytest
from controllerworld import node, play, pod
from fakeapi import FakeApi, failing_writes, undisturbed

from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import ObjectMeta, Pod, PodSpec, Taint, Toleration
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.tainteviction.controller import TaintEvictionController
from kubeherd.controller.tainteviction.plan import Change, Evictions, tolerated_for_s

A = Taint(key="a", effect="NoExecute")
B = Taint(key="b", effect="NoExecute")


def for_s(key: str, seconds: int | None) -> Toleration:
    return Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)


@pytest.mark.parametrize(
    ("taints", "tolerations", "limit_s"),
    [
        ([A], [], 0.0),
        ([A], [for_s("a", None)], None),
        ([A], [for_s("a", 300)], 300.0),
        ([A], [for_s("a", 0)], 0.0),
        ([A], [for_s("a", -5)], 0.0),
        ([A, B], [for_s("a", 300)], 0.0),
        ([A, B], [for_s("a", 300), for_s("b", 20)], 20.0),
        ([A, B], [for_s("a", None), for_s("b", 20)], 20.0),
        ([A, B], [Toleration(operator="Exists")], None),
    ],
)
def test_how_long_taints_are_tolerated(
    taints: list[Taint], tolerations: list[Toleration], limit_s: float | None
) -> None:
    assert tolerated_for_s(taints, tolerations) == limit_s


def a_pod(*tolerations: Toleration) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="p", namespace="ns", uid="u"),
        spec=PodSpec(node_name="n", tolerations=tolerations),
    )


def test_a_running_timer_is_kept_whatever_is_looked_at_again() -> None:
    evictions = Evictions()
    assert evictions.look_at(a_pod(for_s("a", 300)), [A], 0.0) is Change.STARTED
    assert evictions.look_at(a_pod(for_s("a", 10)), [A], 100.0) is Change.NONE
    assert evictions.next_s() == 300.0


def test_a_timer_is_cancelled_without_taints_or_with_full_toleration() -> None:
    for taints, tolerations in (([], [for_s("a", 300)]), ([A], [for_s("a", None)])):
        evictions = Evictions()
        evictions.look_at(a_pod(for_s("a", 300)), [A], 0.0)
        assert evictions.look_at(a_pod(*tolerations), taints, 1.0) is Change.CANCELLED
        assert evictions.next_s() is None


def test_an_untolerated_taint_replaces_a_timer_at_once() -> None:
    evictions = Evictions()
    evictions.look_at(a_pod(for_s("a", 300)), [A], 0.0)
    assert evictions.look_at(a_pod(for_s("a", 300)), [A, B], 5.0) is Change.AT_ONCE_CANCELLED
    assert evictions.due(5.0) == [(("ns", "p"), "u")]


def test_a_pod_is_marked_once_unless_its_deletion_failed() -> None:
    evictions = Evictions()
    assert evictions.look_at(a_pod(), [A], 0.0) is Change.AT_ONCE
    assert evictions.due(0.0) == [(("ns", "p"), "u")]
    assert evictions.look_at(a_pod(), [A], 1.0) is Change.NONE
    evictions.failed(("ns", "p"), "u")
    assert evictions.look_at(a_pod(), [A], 2.0) is Change.AT_ONCE


def test_eviction_after_the_tolerated_time_with_condition_and_events() -> None:
    toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("n"))
        api.put(PODS, pod("patient", "n", tolerations=[toleration]))
        api.put(PODS, pod("daemon", "n", tolerations=[{"operator": "Exists"}]))
        await api.clock.sleep(1)
        api.change(NODES, "n", {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}})
        await api.clock.sleep(295)
        assert api.writes == []
        await api.clock.sleep(10)
        patient = api.get(PODS, "patient", "ns")
        assert patient is not None
        assert patient["metadata"]["deletionTimestamp"]
        conditions = {c["type"]: c for c in patient["status"]["conditions"]}
        condition = conditions["DisruptionTarget"]
        assert (condition["reason"], condition["message"]) == (
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
        )
        daemon = api.get(PODS, "daemon", "ns")
        assert daemon is not None
        assert "deletionTimestamp" not in daemon["metadata"]

    api = play(TaintEvictionController, scenario=scenario)
    assert api.events() == [
        ("patient", "TaintManagerEviction", "Marking for deletion Pod ns/patient")
    ]


def test_returning_node_cancels_the_eviction() -> None:
    toleration = {"key": "a", "operator": "Exists", "tolerationSeconds": 300}

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("n", taints=[{"key": "a", "effect": "NoExecute"}]))
        api.put(PODS, pod("p", "n", tolerations=[toleration]))
        await api.clock.sleep(100)
        api.change(NODES, "n", {"spec": {"taints": None}})
        await api.clock.sleep(500)
        assert api.get(PODS, "p", "ns") is not None

    api = play(TaintEvictionController, scenario=scenario)
    assert api.events() == [("p", "TaintManagerEviction", "Cancelling deletion of Pod ns/p")]


def test_deletion_that_gets_no_answer_is_tried_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/pods/p", TransportError("no answer"))
        api.put(NODES, node("n", taints=[{"key": "a", "effect": "NoExecute"}]))
        api.put(PODS, pod("p", "n"))
        await api.clock.sleep(3)
        api.disturbance = undisturbed
        await api.clock.sleep(3)
        tree = api.get(PODS, "p", "ns")
        assert tree is not None
        assert "deletionTimestamp" in tree["metadata"]

    play(TaintEvictionController, scenario=scenario)
