"""One sync on the usual and the unusual cluster (spec section 14.1: daemon_controller_test.go)."""

import msgspec
import pytest
from daemonset_world import (
    ON_DELETE,
    World,
    daemonset,
    deleted,
    node,
    nodes,
    owner,
    pod,
    rolling,
    taint,
)

from kubeherd.cluster.api.objects import (
    Condition,
    DaemonSetStatus,
    DaemonSetUpdateStrategy,
    LabelSelector,
    LabelSelectorRequirement,
    Node,
    NodeStatus,
)
from kubeherd.controller.daemonset import status
from kubeherd.controller.daemonset.model import BURST_REPLICAS, Plan, Reason, StatusNumbers

BOTH = pytest.mark.parametrize("strategy", [ON_DELETE, rolling()], ids=["OnDelete", "Rolling"])
SELECT = {"nodeSelector": {"zone": "a"}}
IN_A = {"zone": "a"}


def with_condition(found: Node, type_: str, status: str) -> Node:
    condition = Condition(type=type_, status=status)
    return msgspec.structs.replace(found, status=NodeStatus(conditions=[condition]))


@BOTH
def test_one_pod_for_every_node(strategy: DaemonSetUpdateStrategy) -> None:
    world = World(daemonset(strategy=strategy), nodes(5))
    assert world.sync() == (5, 0)
    assert sorted(p.spec.node_name for p in world.pods.values()) == [f"n{i}" for i in range(5)]
    assert world.sync() == (0, 0)


def test_a_recreated_daemonset_makes_its_pods_again() -> None:
    world = World(daemonset(), nodes(1))
    assert world.sync() == (1, 0)
    world.ds = daemonset(uid="other")
    assert world.sync() == (1, 0)


def test_pods_that_the_cache_has_are_counted() -> None:
    world = World(daemonset(), nodes(5))
    world.sync()
    world.sync()
    assert world.ds.status.current_number_scheduled == 5
    assert world.ds.status.desired_number_scheduled == 5
    assert world.ds.status.updated_number_scheduled == 5


def test_no_nodes_nothing_to_do() -> None:
    assert World(daemonset(), []).sync() == (0, 0)


def test_one_node_one_pod() -> None:
    assert World(daemonset(), nodes(1)).sync() == (1, 0)


def test_conditions_of_a_node_do_not_matter() -> None:
    unready = with_condition(node("n0"), "Ready", "False")
    no_network = with_condition(node("n1"), "NetworkUnavailable", "True")
    assert World(daemonset(), [unready]).sync() == (1, 0)
    assert World(daemonset(), [no_network]).sync() == (1, 0)


def test_resources_and_pods_of_others_do_not_matter() -> None:
    full = msgspec.structs.replace(node("n0"), status=NodeStatus(allocatable={"cpu": "1m"}))
    request = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "64"}}}]}
    world = World(daemonset(spec=request), [full])
    world.pods["x"] = pod("x", "n0", owned_by=owner("someone-else"), labels={"app": "x"})
    assert world.sync() == (1, 0)
    assert world.sync() == (0, 0)


def test_host_port_of_its_own_pod_is_no_conflict() -> None:
    ports = {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}
    world = World(daemonset(spec=ports), nodes(1))
    assert world.sync() == (1, 0)
    assert world.sync() == (0, 0)


def test_a_foreign_pod_with_another_host_port_does_not_matter() -> None:
    ports = {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}
    world = World(daemonset(spec=ports), nodes(1))
    world.pods["x"] = pod("x", "n0", owned_by=None, labels={"app": "x"})
    assert world.sync() == (1, 0)


def test_node_selector_with_a_full_node() -> None:
    full = msgspec.structs.replace(node("n0"), status=NodeStatus(allocatable={"cpu": "0"}))
    chosen = World(daemonset(spec=SELECT), [full, node("n1", labels=IN_A)]).plan()
    assert list(chosen.creates) == ["n1"]
    assert not chosen.events


def test_nothing_is_done_for_a_daemonset_being_deleted() -> None:
    world = World(daemonset(deleting=True), nodes(5))
    world.pods["o"] = pod("o", "n0", owned_by=None)
    chosen = world.plan()
    assert chosen == Plan()


def test_an_empty_selector_selects_nothing_and_says_so() -> None:
    world = World(daemonset(selector=LabelSelector()), nodes(1))
    world.pods["o"] = pod("o", "n0", owned_by=None)
    chosen = world.plan()
    assert not chosen.writes
    assert chosen.status is None
    assert [(e.reason, e.message) for e in chosen.events] == [
        (
            Reason.SELECTING_ALL,
            "This daemon set is selecting all pods. A non-empty selector is required.",
        )
    ]


@BOTH
def test_duplicates_are_pruned_and_strangers_left_alone(strategy: DaemonSetUpdateStrategy) -> None:
    world = World(daemonset(strategy=strategy), nodes(5))
    hash_ = world.hash
    for name, where, count in (("a", "n1", 1), ("b", "n2", 2), ("c", "n3", 5)):
        for index in range(count):
            world.pods[f"{name}{index}"] = pod(f"{name}{index}", where, hash_=hash_)
    world.pods["x"] = pod("x", "n4", owned_by=None, labels={"app": "x"})
    chosen = world.plan()
    assert list(chosen.creates) == ["n0", "n4"]
    assert set(deleted(chosen)) == {"b1", "c1", "c2", "c3", "c4"}


def test_the_oldest_bound_pod_is_kept() -> None:
    world = World(daemonset(strategy=ON_DELETE), nodes(1))
    for name, created_s, bound in (("c", 5, True), ("b", 3, True), ("z", 3, True), ("a", 1, False)):
        world.pods[name] = pod(name, "n0", created_s=created_s, bound=bound)
    assert set(deleted(world.plan())) == {"a", "c", "z"}


def test_node_selector_limits_nodes() -> None:
    found = [*nodes(4), *(node(f"a{i}", labels=IN_A) for i in range(3))]
    assert World(daemonset(spec=SELECT), found).sync() == (3, 0)


def test_pods_on_nodes_that_no_longer_match_are_deleted() -> None:
    found = [*nodes(5), *(node(f"a{i}", labels=IN_A) for i in range(5))]
    world = World(daemonset(spec=SELECT), found)
    for i in range(4):
        world.pods[f"p{i}"] = pod(f"p{i}", f"n{i}")
    assert world.sync() == (5, 4)


def test_node_selector_with_many_duplicates() -> None:
    found = [*nodes(5), *(node(f"a{i}", labels=IN_A) for i in range(5))]
    world = World(daemonset(spec=SELECT, strategy=ON_DELETE), found)
    for where, count in (("n0", 1), ("n1", 3), ("n2", 4), ("a0", 5), ("a1", 9)):
        for i in range(count):
            world.pods[f"{where}-{i}"] = pod(f"{where}-{i}", where)
    assert world.sync() == (3, 20)


def test_no_node_matches_the_node_selector() -> None:
    assert World(daemonset(spec={"nodeSelector": {"zone": "x"}}), nodes(4)).sync() == (0, 0)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"nodeName": "a0"}, (1, 0)),
        ({"nodeName": "nowhere"}, (0, 0)),
        ({"nodeName": "a0", **SELECT}, (1, 0)),
        ({"nodeName": "n0", **SELECT}, (0, 0)),
    ],
)
def test_node_name_in_the_template(spec: dict[str, object], expected: tuple[int, int]) -> None:
    assert World(daemonset(spec=spec), [*nodes(2), node("a0", labels=IN_A)]).sync() == expected


def test_selector_with_expressions() -> None:
    expression = LabelSelectorRequirement(key="app", operator="In", values=["a", "b"])
    world = World(daemonset(selector=LabelSelector(match_expressions=[expression])), nodes(3))
    assert world.sync() == (3, 0)
    assert world.sync() == (0, 0)


def test_required_node_affinity_limits_nodes() -> None:
    expression = {"key": "zone", "operator": "In", "values": ["a"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    found = [*nodes(4), *(node(f"a{i}", labels=IN_A) for i in range(3))]
    assert World(daemonset(spec={"affinity": affinity}), found).sync() == (3, 0)


def test_ready_pods_are_counted_when_they_turn_ready() -> None:
    world = World(daemonset(), nodes(2))
    world.sync()
    world.sync()
    assert world.ds.status.number_ready == 0
    world.make_ready()
    world.sync()
    assert world.ds.status.number_ready == 2


def test_observed_generation_follows() -> None:
    world = World(daemonset(generation=7), nodes(1))
    world.sync()
    assert world.ds.status.observed_generation == 7


def test_a_terminating_pod_is_waited_for() -> None:
    world = World(daemonset(), nodes(1))
    world.pods["p"] = pod("p", "n0", deleting=True)
    assert world.sync() == (0, 0)


def test_a_finished_terminating_pod_makes_room() -> None:
    world = World(daemonset(), nodes(1))
    world.pods["p"] = pod("p", "n0", deleting=True, phase="Succeeded")
    chosen = world.plan()
    assert list(chosen.creates) == ["n0"]
    assert not chosen.deletes


def test_unbound_pod_of_a_missing_node_is_deleted_a_bound_one_is_not() -> None:
    world = World(daemonset(strategy=ON_DELETE), nodes(1))
    world.pods["ok"] = pod("ok", "n0")
    world.pods["bound"] = pod("bound", "gone")
    world.pods["unbound"] = pod("unbound", "gone", bound=False)
    assert deleted(world.plan()) == ["unbound"]


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute", "PreferNoSchedule"])
def test_taint_under_a_running_pod(effect: str) -> None:
    world = World(daemonset(), [node("n0", taints=[taint("x", effect)])])
    world.pods["p"] = pod("p", "n0", hash_=world.hash, ready=True)
    assert world.sync() == (0, 1 if effect == "NoExecute" else 0)


def test_no_pod_for_a_tainted_node() -> None:
    tainted = [node("n0", taints=[taint("x")])]
    assert World(daemonset(), tainted).sync() == (0, 0)
    toleration = {"tolerations": [{"key": "x", "operator": "Exists"}]}
    assert World(daemonset(spec=toleration), tainted).sync() == (1, 0)
    assert World(daemonset(spec=toleration), nodes(1)).sync() == (1, 0)


@pytest.mark.parametrize(
    ("key", "effect", "host_network", "creates"),
    [
        ("not-ready", "NoExecute", False, 1),
        ("unreachable", "NoExecute", False, 1),
        ("memory-pressure", "NoSchedule", False, 1),
        ("disk-pressure", "NoSchedule", False, 1),
        ("pid-pressure", "NoSchedule", False, 1),
        ("unschedulable", "NoSchedule", False, 1),
        ("not-ready", "NoSchedule", False, 0),
        ("network-unavailable", "NoSchedule", False, 0),
        ("network-unavailable", "NoSchedule", True, 1),
    ],
)
def test_daemon_pods_tolerate_the_conditions_of_nodes(
    key: str, effect: str, host_network: bool, creates: int
) -> None:
    tainted = [node("n0", taints=[taint(f"node.kubernetes.io/{key}", effect)])]
    assert World(daemonset(spec={"hostNetwork": host_network}), tainted).sync() == (creates, 0)


def test_burst_of_250() -> None:
    world = World(daemonset(), nodes(600))
    assert [world.sync()[0] for _ in range(4)] == [BURST_REPLICAS, BURST_REPLICAS, 100, 0]


def test_misscheduled_pods_are_counted() -> None:
    world = World(daemonset(), [node("n0", taints=[taint("x")]), node("n1")])
    world.pods["p"] = pod("p", "n0", ready=True)
    world.sync()
    world.sync()
    status = world.ds.status
    assert (status.number_misscheduled, status.desired_number_scheduled) == (1, 1)
    assert status.current_number_scheduled == 1
    assert status.number_unavailable == 1


def test_a_sync_of_a_settled_daemonset_writes_nothing() -> None:
    world = World(daemonset(), nodes(3))
    world.settle()
    chosen = world.plan()
    assert not chosen.writes
    assert (chosen.status, chosen.requeue_after_s, list(chosen.events)) == (None, None, [])


def test_status_waits_for_min_ready_seconds() -> None:
    world = World(daemonset(min_ready_s=10), nodes(1))
    world.sync()
    world.make_ready()
    chosen = world.plan()
    assert chosen.status is not None
    assert (chosen.status.ready, chosen.status.available) == (1, 0)
    assert chosen.requeue_after_s == 10
    world.time_s = 10
    later = world.plan()
    assert later.status is not None
    assert later.status.available == 1
    assert later.requeue_after_s is None


def test_status_counts_the_first_pod_of_a_node_only() -> None:
    ds = daemonset(strategy=ON_DELETE, status=DaemonSetStatus())
    unready_first = pod("a", "n0", created_s=1)
    ready_later = pod("b", "n0", created_s=2, ready=True)
    chosen = World(ds, nodes(1), {"b": ready_later, "a": unready_first}).plan()
    assert chosen.status is not None
    assert chosen.status.ready == 0


def test_pods_of_another_namespace_are_no_candidates_for_adoption() -> None:
    world = World(daemonset(), nodes(1))
    world.pods["o"] = pod("o", "n0", owned_by=None, namespace="other")
    chosen = world.plan()
    assert not chosen.adopt_pods
    assert list(chosen.creates) == ["n0"]


@pytest.mark.parametrize(
    ("observed_generation", "numbers", "since_s", "expected_s"),
    [
        (1, StatusNumbers(desired=2, current=2), 0.05, 0.15),
        (1, StatusNumbers(desired=2, current=2), 0.3, 0.0),
        (1, StatusNumbers(desired=2, current=2), 0.2 - 1e-9, 0.0),
        (1, None, 0.05, 0.15),
        (0, StatusNumbers(desired=2, current=2), 0.0, 0.0),
        (0, None, 0.0, 0.0),
        (1, StatusNumbers(desired=2, current=2, ready=2, available=2, updated=2), 0.0, 0.0),
        (1, StatusNumbers(desired=2, current=2, ready=2, available=2, updated=1), 0.0, 0.2),
        (1, StatusNumbers(misscheduled=1), 0.0, 0.2),
        (1, StatusNumbers(), 0.0, 0.0),
    ],
)
def test_a_status_may_wait_while_a_rollout_goes_on(
    observed_generation: int, numbers: StatusNumbers | None, since_s: float, expected_s: float
) -> None:
    kept = DaemonSetStatus(observed_generation=observed_generation)
    assert status.wait_s(kept, 1, numbers, since_s) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (StatusNumbers(desired=9, current=9, updated=9, ready=3, available=2), 7),
        (StatusNumbers(desired=9, current=9, updated=9, ready=9, available=9), 0),
        (StatusNumbers(desired=9, current=9, updated=8, available=2), 0),
        (StatusNumbers(desired=9, current=8, updated=8, available=2), 0),
        (StatusNumbers(desired=9, current=9, updated=9, available=2, misscheduled=1), 0),
    ],
)
def test_pods_are_awaited_where_there_is_nothing_else_to_do(
    numbers: StatusNumbers, expected: int
) -> None:
    assert numbers.awaited == expected
