"""The rules of the scheduler: filters, messages, scores, the cache and conditions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import (
    Condition,
    Container,
    ContainerPort,
    Node,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
    Taint,
    Toleration,
)
from kubeherd.controller.scheduler import messages, plan, scores
from kubeherd.controller.scheduler.cache import Cache
from kubeherd.controller.scheduler.filters import reject
from kubeherd.controller.scheduler.nodeinfo import NodeInfo, PodInfo, placement, pod_info
from kubeherd.controller.scheduler.writer import condition_tree


def a_node(name: str = "a", *taints: Taint, unschedulable: bool = False, pods: int = 10) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels={"disk": "ssd"}),
        spec=NodeSpec(taints=list(taints), unschedulable=unschedulable),
        status=NodeStatus(allocatable={"cpu": "2", "memory": "1Gi", "pods": str(pods)}),
    )


def a_pod(
    name: str = "p",
    cpu: str = "",
    port: ContainerPort | None = None,
    node_name: str = "",
    phase: str = "Pending",
    generation: int = 1,
    nominated: str = "",
    **spec: Any,
) -> Pod:
    requests: dict[str, str | int | float] = {"cpu": cpu} if cpu else {}
    container = Container(
        name="c",
        resources=ResourceRequirements(requests=requests),
        ports=(port,) if port else (),
    )
    return Pod(
        metadata=ObjectMeta(name=name, namespace="ns", uid=f"uid-{name}", generation=generation),
        spec=PodSpec(containers=(container,), node_name=node_name, **spec),
        status=PodStatus(phase=phase, nominated_node_name=nominated),
    )


def info_of(node: Node, *pods: Pod) -> NodeInfo:
    info = NodeInfo(node.metadata.name)
    info.set_node(node)
    for one in pods:
        info.add(pod_info(one))
    return info


def reasons(pod: Pod, info: NodeInfo) -> tuple[str, ...]:
    rejection = reject(pod_info(pod), placement(pod), info)
    return () if rejection is None else rejection.reasons


def affinity(*terms: JsonObject) -> JsonObject:
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def named(*names: str) -> JsonObject:
    fields = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in names]
    return {"matchFields": fields}


ANYTHING = Toleration(operator="Exists")


# --- filters ---


def test_cordoned_nodes_need_the_toleration() -> None:
    info = info_of(a_node(unschedulable=True))
    assert reasons(a_pod(), info) == ("node(s) were unschedulable",)
    assert reasons(a_pod(tolerations=(ANYTHING,)), info) == ()


@pytest.mark.parametrize(
    ("effect", "rejected"),
    [("NoSchedule", True), ("NoExecute", True), ("PreferNoSchedule", False)],
)
def test_untolerated_taints_reject_a_node(effect: str, rejected: bool) -> None:
    info = info_of(a_node("a", Taint(key="k", value="v", effect=effect)))
    wanted = ("node(s) had untolerated taint(s)",) if rejected else ()
    assert reasons(a_pod(), info) == wanted
    equal = Toleration(key="k", operator="Equal", value="v")
    assert reasons(a_pod(tolerations=(equal,)), info) == ()


def test_node_selector_and_affinity() -> None:
    text = ("node(s) didn't match Pod's node affinity/selector",)
    assert reasons(a_pod(node_selector={"disk": "hdd"}), info_of(a_node())) == text
    assert reasons(a_pod(node_selector={"disk": "ssd"}), info_of(a_node())) == ()
    assert reasons(a_pod(affinity=affinity(named("b"))), info_of(a_node("a"))) == text


def test_a_node_of_another_name_is_rejected() -> None:
    wrong = ("node(s) didn't match the requested node name",)
    assert reasons(a_pod(node_name="b"), info_of(a_node("a"))) == wrong


@pytest.mark.parametrize(
    ("wanted", "used", "free"),
    [
        (ContainerPort(host_port=80), ContainerPort(host_port=80), False),
        (ContainerPort(host_port=80), ContainerPort(host_port=81), True),
        (ContainerPort(host_port=80, protocol="UDP"), ContainerPort(host_port=80), True),
        (
            ContainerPort(host_port=80, host_ip="127.0.0.1"),
            ContainerPort(host_port=80, host_ip="127.0.0.2"),
            True,
        ),
        (ContainerPort(host_port=80, host_ip="127.0.0.1"), ContainerPort(host_port=80), False),
        (ContainerPort(container_port=80), ContainerPort(container_port=80), True),
    ],
)
def test_host_ports_in_use_reject_a_node(
    wanted: ContainerPort, used: ContainerPort, free: bool
) -> None:
    info = info_of(a_node(), a_pod("other", port=used))
    text = ("node(s) didn't have free ports for the requested pod ports",)
    assert reasons(a_pod(port=wanted), info) == (() if free else text)


def test_all_short_resources_are_named_and_too_large_a_request_is_unresolvable() -> None:
    info = info_of(a_node(pods=1), a_pod("other", cpu="1500m"))
    short = reject(pod_info(a_pod(cpu="1")), placement(a_pod()), info)
    assert short is not None
    assert short.reasons == ("Too many pods", "Insufficient cpu")
    assert short.resolvable
    hopeless = reject(pod_info(a_pod(cpu="3")), placement(a_pod()), info)
    assert hopeless is not None
    assert not hopeless.resolvable


def test_a_pod_that_requests_nothing_needs_only_a_slot() -> None:
    full = info_of(a_node(), a_pod("other", cpu="2"))
    assert reasons(a_pod(), full) == ()


def test_the_first_plugin_speaks_alone() -> None:
    info = info_of(a_node("a", Taint(key="k", effect="NoSchedule"), pods=0))
    assert reasons(a_pod(cpu="5"), info) == ("node(s) had untolerated taint(s)",)


# --- one attempt over all nodes, and its message ---


def attempt(pod: Pod, *infos: NodeInfo, nominated: plan.Nominated | None = None) -> plan.Attempt:
    nodes = {info.name: info for info in infos}
    return plan.attempt(pod_info(pod), placement(pod), nodes, nominated or {})


def test_a_daemon_pod_examines_one_node() -> None:
    infos = [info_of(a_node(name)) for name in "abc"]
    result = attempt(a_pod(affinity=affinity(named("b"))), *infos)
    assert [info.name for info in result.feasible] == ["b"]
    assert result.examined == 1


def test_messages_of_daemon_pods() -> None:
    pod = a_pod(cpu="1", affinity=affinity(named("b")))
    full = info_of(a_node("b"), a_pod("other", cpu="2"))
    result = attempt(pod, info_of(a_node("a")), full, info_of(a_node("c")))
    assert plan.failure_message(result) == (
        "0/3 nodes are available: 1 Insufficient cpu,"
        " 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    absent = attempt(a_pod(affinity=affinity(named("x"))), info_of(a_node("a")))
    assert plan.failure_message(absent) == (
        "0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    torn = attempt(a_pod(affinity=affinity(named("a", "b"))), info_of(a_node("a")))
    assert plan.failure_message(torn) == ("0/1 nodes are available: pod affinity terms conflict.")
    assert plan.failure_message(attempt(pod)) == "no nodes available to schedule pods"


def test_reasons_are_sorted_as_strings() -> None:
    counts = {"Insufficient cpu": 10, "Too many pods": 9, "node(s) were unschedulable": 1}
    assert messages.histogram(counts) == (
        "1 node(s) were unschedulable, 10 Insufficient cpu, 9 Too many pods"
    )


def test_room_is_kept_for_nominated_pods_of_no_lower_priority() -> None:
    node = info_of(a_node())
    vip = pod_info(a_pod("vip", cpu="2", priority=10))
    assert attempt(a_pod(cpu="1"), node, nominated={"a": [vip]}).feasible == []
    assert attempt(a_pod(cpu="1", priority=11), node, nominated={"a": [vip]}).feasible == [node]


def test_a_nominated_node_that_fits_is_taken_first() -> None:
    infos = [info_of(a_node(name)) for name in "abc"]
    assert [i.name for i in attempt(a_pod(nominated="c"), *infos).feasible] == ["c"]


@pytest.mark.parametrize(
    ("nodes", "enough"), [(50, 50), (100, 100), (200, 100), (1000, 420), (6000, 300)]
)
def test_large_clusters_are_not_searched_to_the_end(nodes: int, enough: int) -> None:
    assert plan.enough_feasible(nodes) == enough


def test_long_notes_are_cut_at_1024_bytes() -> None:
    assert messages.cut_note("x" * 1024) == "x" * 1024
    cut = messages.cut_note("ä" * 1000)
    assert cut.endswith(" ...")
    assert len(cut.encode()) <= 1024


# --- scores ---


def test_emptier_untainted_and_preferred_nodes_win() -> None:
    pod = pod_info(a_pod(cpu="100m"))
    empty, busy = info_of(a_node("a")), info_of(a_node("b"), a_pod("other", cpu="1500m"))
    assert scores.score(pod, [empty, busy])["a"] > scores.score(pod, [empty, busy])["b"]
    disliked = info_of(a_node("b", Taint(key="k", effect="PreferNoSchedule")))
    assert scores.score(pod, [empty, disliked])["a"] > scores.score(pod, [empty, disliked])["b"]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
    preferred = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]
        }
    }
    fan = pod_info(a_pod(cpu="100m", affinity=preferred))
    other = info_of(a_node("b"))
    assert scores.score(fan, [empty, other])["b"] > scores.score(fan, [empty, other])["a"]


def test_equals_are_left_to_chance() -> None:
    assert plan.choose({"a": 1.0, "b": 2.0, "c": 2.0}, lambda names: names[-1]) == "c"


# --- the cache ---


def test_assumed_pods_count_until_forgotten_or_confirmed() -> None:
    cache = Cache()
    cache.set_node(a_node())
    waiting = pod_info(a_pod(cpu="2"))
    cache.assume(waiting, "a")
    assert cache.nodes["a"].requested == {"cpu": 2000}
    assert cache.forget("uid-p") == "a"
    assert cache.nodes["a"].requested == {"cpu": 0}
    cache.assume(waiting, "a")
    cache.set_pod(a_pod(cpu="2", node_name="a"))
    assert cache.forget("uid-p") is None, "confirmed by the watch"
    assert cache.nodes["a"].requested == {"cpu": 2000}


def test_ended_and_deleted_pods_give_their_room_back() -> None:
    cache = Cache()
    cache.set_node(a_node())
    cache.set_pod(a_pod(cpu="1", node_name="a"))
    assert cache.set_pod(a_pod(cpu="1", node_name="a", phase="Succeeded"))
    assert cache.nodes["a"].pods == {}
    cache.set_pod(a_pod(cpu="1", node_name="a"))
    assert cache.remove_pod("uid-p") == "a"
    assert cache.nodes["a"].requested == {"cpu": 0}


def test_a_shrunk_pod_gives_room_back_and_a_status_change_does_not() -> None:
    cache = Cache()
    cache.set_node(a_node())
    cache.set_pod(a_pod(cpu="1", node_name="a"))
    assert not cache.set_pod(a_pod(cpu="1", node_name="a", phase="Running"))
    assert cache.set_pod(a_pod(cpu="500m", node_name="a", generation=2))
    assert cache.nodes["a"].requested == {"cpu": 500}


@given(
    st.lists(st.tuples(st.sampled_from(("1", "500m")), st.booleans(), st.booleans()), min_size=1),
    st.booleans(),
)
def test_what_a_pod_takes_is_that_of_its_newest_spec(
    changes: list[tuple[str, bool, bool]], counted: bool
) -> None:
    """Also on servers that count no generations of pods (`counted` False), or count one more
    though the spec is the same, as when a deletion begins."""
    cache = Cache()
    cache.set_node(a_node())
    generation, before = 1, ""
    for cpu, runs, ports in changes:
        generation += 1
        port = ContainerPort(host_port=80) if ports else None
        phase = "Running" if runs else "Pending"
        newest = a_pod("p", cpu, port, "a", phase, generation if counted else 0)
        assert cache.set_pod(newest) == (before == "1" and cpu == "500m")
        before = cpu
        assert cache.nodes["a"] == info_of(a_node(), newest)
        assert cache.nodes["a"].pods[newest.metadata.uid].pod is newest


@pytest.mark.parametrize("generation", [0, 3])
@pytest.mark.parametrize("resized", [False, True])
def test_a_deletion_that_begins_hides_no_change_of_the_spec(generation: int, resized: bool) -> None:
    """It counts as one generation; who lists again may see both at once."""
    cache = Cache()
    cache.set_node(a_node())
    cache.set_pod(a_pod("p", "1", node_name="a", generation=generation))
    last = generation and generation + 1 + resized
    newest = a_pod("p", "500m" if resized else "1", node_name="a", generation=last)
    metadata = replace(newest.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    newest = replace(newest, metadata=metadata)
    assert cache.set_pod(newest) == resized
    assert cache.nodes["a"] == info_of(a_node(), newest)
    assert not cache.set_pod(replace(newest, status=PodStatus(phase="Running")))


def test_pods_of_an_unknown_node_wait_for_it() -> None:
    cache = Cache()
    cache.set_pod(a_pod(cpu="1", node_name="a"))
    assert cache.nodes == {}
    cache.set_node(a_node())
    assert cache.nodes["a"].requested == {"cpu": 1000}
    cache.remove_node("a")
    assert cache.nodes == {}
    cache.set_node(a_node())
    assert cache.nodes["a"].requested == {"cpu": 1000}


# --- conditions ---


def test_a_condition_is_written_only_if_it_says_something_new() -> None:
    wanted = Condition(type="PodScheduled", status="False", reason="r", message="m")
    tree = condition_tree(None, wanted, "t1")
    assert tree is not None
    assert tree["lastTransitionTime"] == "t1"
    old = Condition(
        type="PodScheduled", status="False", reason="r", message="m", last_transition_time="t1"
    )
    assert condition_tree(old, wanted, "t2") is None
    changed = condition_tree(
        old, Condition(type="PodScheduled", status="False", reason="r", message="n"), "t2"
    )
    assert changed is not None
    assert changed["lastTransitionTime"] == "t1", "the status is the same"


def test_pod_info_counts_what_the_filters_ask() -> None:
    info: PodInfo = pod_info(a_pod(cpu="250m", port=ContainerPort(host_port=80), priority=7))
    assert dict(info.requests) == {"cpu": 250}
    assert info.ports[0].port == 80
    assert info.priority == 7
