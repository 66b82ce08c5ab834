"""Preemption: who may, whom it hits, which node, and what is said when it cannot help."""

from kubeherd.cluster.api.objects import (
    Condition,
    Container,
    Node,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from kubeherd.controller.scheduler import plan
from kubeherd.controller.scheduler.nodeinfo import NodeInfo, placement, pod_info
from kubeherd.controller.scheduler.preemption import Budget, Preemption, preempt

CRITICAL = 2000001000


def a_pod(
    name: str,
    cpu: str,
    priority: int = 0,
    *,
    started: str | None = None,
    policy: str = "",
    nominated: str = "",
    leaving: bool = False,
) -> Pod:
    container = Container(name="c", resources=ResourceRequirements(requests={"cpu": cpu}))
    target = Condition(type="DisruptionTarget", status="True", reason="PreemptionByScheduler")
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="ns",
            uid=f"uid-{name}",
            labels={"app": name},
            deletion_timestamp="2026-01-01T00:00:00Z" if leaving else None,
        ),
        spec=PodSpec(containers=(container,), priority=priority, preemption_policy=policy),
        status=PodStatus(
            start_time=started,
            nominated_node_name=nominated,
            conditions=[target] if leaving else [],
        ),
    )


def a_node(name: str, *pods: Pod, cpu: str = "4") -> NodeInfo:
    info = NodeInfo(name)
    allocatable = {"cpu": cpu, "memory": "1Gi", "pods": "10"}
    info.set_node(Node(metadata=ObjectMeta(name=name), status=NodeStatus(allocatable=allocatable)))
    for pod in pods:
        info.add(pod_info(pod))
    return info


def outcome(pod: Pod, *infos: NodeInfo, budgets: tuple[Budget, ...] = ()) -> Preemption:
    nodes = {info.name: info for info in infos}
    info, where = pod_info(pod), placement(pod)
    result = plan.attempt(info, where, nodes, {})
    assert not result.feasible
    return preempt(info, where, result, nodes, {}, budgets)


def victims(found: Preemption) -> tuple[str, list[str]]:
    assert found.victims is not None
    return found.victims.node, [info.pod.metadata.name for info in found.victims.pods]


def budget_of(app: str, allowed: int) -> Budget:
    return Budget("ns", lambda labels: labels.get("app") == app, allowed)


def test_as_few_as_needed_the_less_important_first() -> None:
    node = a_node(
        "a",
        a_pod("old", "1", started="2026-01-01T00:00:00Z"),
        a_pod("young", "1", started="2026-01-02T00:00:00Z"),
        a_pod("higher", "2", priority=5),
    )
    assert victims(outcome(a_pod("vip", "1", CRITICAL), node)) == ("a", ["young"])
    assert victims(outcome(a_pod("vip", "2", CRITICAL), node)) == ("a", ["old", "young"])


def test_equal_priority_is_never_evicted() -> None:
    found = outcome(a_pod("p", "2", 5), a_node("a", a_pod("equal", "4", priority=5)))
    assert found.victims is None
    assert found.message == (
        "0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_evicting_all_may_not_be_enough() -> None:
    node = a_node("a", a_pod("peer", "3", priority=9), a_pod("small", "1"))
    found = outcome(a_pod("p", "2", 9), node)
    assert found.message == "0/1 nodes are available: 1 Insufficient cpu."


def test_hopeless_nodes_are_not_candidates_and_void_the_nomination() -> None:
    found = outcome(a_pod("p", "8", 9), a_node("a", a_pod("small", "1")))
    assert found.message == ("0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
    assert found.clear_nomination


def test_a_pod_with_policy_never_preempts_nobody() -> None:
    found = outcome(a_pod("p", "2", 9, policy="Never"), a_node("a", a_pod("small", "4")))
    assert found.message == "not eligible due to preemptionPolicy=Never."


def test_victims_that_are_still_leaving_are_waited_for() -> None:
    node = a_node("a", a_pod("leaving", "4", leaving=True))
    found = outcome(a_pod("p", "2", 9, nominated="a"), node)
    assert found.message == "not eligible due to a terminating pod on the nominated node."


def test_pods_of_a_budget_are_spared_if_others_do() -> None:
    node = a_node("a", a_pod("covered", "2"), a_pod("free", "2", priority=1))
    found = outcome(a_pod("vip", "2", 9), node, budgets=(budget_of("covered", 0),))
    assert victims(found) == ("a", ["free"])
    assert found.victims is not None
    assert found.victims.violations == 0


def test_a_budget_is_broken_if_nothing_else_helps() -> None:
    found = outcome(
        a_pod("vip", "2", 9), a_node("a", a_pod("covered", "4")), budgets=(budget_of("covered", 0),)
    )
    assert victims(found) == ("a", ["covered"])
    assert found.victims is not None
    assert found.victims.violations == 1


def test_choice_of_node_fewest_violations_first() -> None:
    found = outcome(
        a_pod("vip", "4", 9),
        a_node("a", a_pod("covered", "4")),
        a_node("b", a_pod("free", "4", priority=5)),
        budgets=(budget_of("covered", 0),),
    )
    assert victims(found) == ("b", ["free"])


def test_choice_of_node_lowest_highest_priority_then_sum_then_number() -> None:
    high = a_node("high", a_pod("h", "4", priority=5))
    low = a_node("low", a_pod("l", "4", priority=4))
    assert victims(outcome(a_pod("vip", "4", 9), high, low)) == ("low", ["l"])
    two = a_node("two", a_pod("t1", "2", priority=4), a_pod("t2", "2", priority=3))
    assert victims(outcome(a_pod("vip", "4", 9), two, low)) == ("low", ["l"])


def test_choice_of_node_latest_start_of_the_most_important_victim() -> None:
    early = a_node("early", a_pod("e", "4", started="2026-01-01T00:00:00Z"))
    late = a_node("late", a_pod("l", "4", started="2026-01-02T00:00:00Z"))
    assert victims(outcome(a_pod("vip", "4", 9), early, late)) == ("late", ["l"])
