"""Pod garbage collection: each step of the table, then the shell on virtual time."""

from controllerworld import node, play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import (
    Condition,
    Node,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
    Taint,
)
from kubeherd.controller.podgc import plan
from kubeherd.controller.podgc.controller import PodGarbageCollector


def a_pod(
    name: str,
    phase: str = "Running",
    node_name: str = "n",
    *,
    reason: str = "",
    created: str = "",
    deleted: bool = False,
) -> Pod:
    when = "2026-01-01T00:00:00Z" if deleted else None
    return Pod(
        metadata=ObjectMeta(
            name=name, namespace="ns", creation_timestamp=created, deletion_timestamp=when
        ),
        spec=PodSpec(node_name=node_name),
        status=PodStatus(phase=phase, reason=reason),
    )


def a_node(ready: str, *keys: str) -> Node:
    return Node(
        metadata=ObjectMeta(name="n"),
        spec=NodeSpec(taints=[Taint(key=key, effect="NoExecute") for key in keys]),
        status=NodeStatus(conditions=[Condition(type="Ready", status=ready)]),
    )


def names(pods: list[Pod]) -> list[str]:
    return [p.metadata.name for p in pods]


def test_ended_pods_beyond_the_threshold_evicted_then_oldest_then_by_name() -> None:
    pods = [
        a_pod("young", "Succeeded", created="2026-01-03T00:00:00Z"),
        a_pod("b", "Failed", created="2026-01-01T00:00:00Z"),
        a_pod("a", "Failed", created="2026-01-01T00:00:00Z"),
        a_pod("evicted", "Failed", reason="Evicted", created="2026-01-04T00:00:00Z"),
        a_pod("alive"),
        a_pod("unknown", "Unknown"),
    ]
    assert names(plan.terminated(pods, threshold=1)) == ["evicted", "a", "b"]
    assert plan.terminated(pods, threshold=4) == []


def test_out_of_service_needs_taint_and_a_node_that_is_not_ready() -> None:
    pods = [a_pod("going", deleted=True), a_pod("staying")]
    taint = "node.kubernetes.io/out-of-service"
    assert names(plan.out_of_service(pods, {"n": a_node("Unknown", taint)})) == ["going"]
    assert plan.out_of_service(pods, {"n": a_node("True", taint)}) == []
    assert plan.out_of_service(pods, {"n": a_node("False", "other")}) == []
    assert plan.out_of_service(pods, {}) == []


def test_unscheduled_pods_being_deleted() -> None:
    pods = [
        a_pod("lost", "Pending", node_name="", deleted=True),
        a_pod("waits", "Pending", node_name=""),
        a_pod("bound", deleted=True),
    ]
    assert names(plan.unscheduled_terminating(pods)) == ["lost"]


def test_quarantine_lasts_40_s_and_ends_when_the_node_returns() -> None:
    quarantine = plan.Quarantine()
    pods = [a_pod("p")]
    assert quarantine.suspects(pods, [], 0.0) == frozenset()
    assert quarantine.suspects(pods, [], 39.9) == frozenset()
    assert quarantine.suspects(pods, [], 40.0) == {"n"}
    assert quarantine.suspects(pods, [], 41.0) == frozenset(), "a new quarantine"
    assert quarantine.suspects(pods, ["n"], 90.0) == frozenset(), "the node is back"


def test_pods_of_a_deleted_node_are_failed_and_force_deleted() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("n"))
        api.put(PODS, pod("p", "n"))
        await api.clock.sleep(25)
        api.remove(NODES, "n")
        await api.clock.sleep(45)
        assert api.get(PODS, "p", "ns") is not None
        await api.clock.sleep(40)
        assert api.get(PODS, "p", "ns") is None
        last = [tree for _, type_, _, tree in api.history if type_ == "MODIFIED"][-1]
        assert last["status"]["phase"] == "Failed"
        conditions = {c["type"]: c for c in last["status"]["conditions"]}
        condition = conditions["DisruptionTarget"]
        assert (condition["reason"], condition["message"]) == (
            "DeletionByPodGC",
            "PodGC: node no longer exists",
        )

    play(PodGarbageCollector, scenario=scenario)


def test_terminating_pods_of_a_dead_but_existing_node_stay() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("n", ready="Unknown"))
        tree = pod("p", "n")
        tree["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        api.put(PODS, tree)
        await api.clock.sleep(300)
        assert api.get(PODS, "p", "ns") is not None
        assert api.writes == []

    play(PodGarbageCollector, scenario=scenario)
