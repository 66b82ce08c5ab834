"""Properties of the DaemonSet plan over random clusters (hypothesis).

Each test states one guarantee: no double creates, deletions within the budget, convergence to a
fixed point, and the arithmetic of the status.
"""

from collections import Counter

import msgspec
from daemonset_world import (
    ON_DELETE,
    World,
    by_node,
    created,
    daemonset,
    deleted,
    node,
    now,
    owner,
    pod,
    revision,
    rolling,
    taint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.helpers.podutil import is_available, is_terminating
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import DaemonSet, DaemonSetUpdateStrategy, Node, Pod
from kubeherd.controller.daemonset import limits
from kubeherd.controller.daemonset.nodes import NodeRule

IMAGES = ("img:1", "img:2", "img:3")
NAMES = [f"n{i}" for i in range(6)]

numbers = st.one_of(st.integers(1, 6), st.sampled_from(["1%", "20%", "50%", "100%"]))
strategies = st.one_of(
    st.just(ON_DELETE),
    numbers.map(lambda number: rolling(number, 0)),
    numbers.map(lambda number: rolling(0, number)),
)
taints = st.lists(
    st.sampled_from([taint("x"), taint("x", "NoExecute"), taint("x", "PreferNoSchedule")]),
    max_size=1,
)
SPECS: list[JsonObject] = [
    {},
    {"nodeSelector": {"zone": "a"}},
    {"tolerations": [{"key": "x", "operator": "Exists"}]},
    {"nodeName": "n1"},
]
specs = st.sampled_from(SPECS)


@st.composite
def daemonsets(draw: st.DrawFn, strategy: st.SearchStrategy[DaemonSetUpdateStrategy]) -> DaemonSet:
    return daemonset(
        draw(st.sampled_from(IMAGES)),
        spec=draw(specs),
        strategy=draw(strategy),
        min_ready_s=draw(st.sampled_from([0, 10])),
        history_limit=draw(st.sampled_from([None, 0, 1])),
    )


@st.composite
def cluster_nodes(draw: st.DrawFn) -> list[Node]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return [
        node(name, labels=draw(st.sampled_from([{}, {"zone": "a"}])), taints=draw(taints))
        for name in names
    ]


@st.composite
def cluster_pods(draw: st.DrawFn) -> dict[str, Pod]:
    pods = {}
    for index in range(draw(st.integers(0, 10))):
        name = f"q{index}"
        phase = draw(st.sampled_from(["Running", "Running", "Pending", "Failed", "Succeeded"]))
        pods[name] = pod(
            name,
            draw(st.sampled_from([*NAMES, "gone"])),
            hash_=draw(st.sampled_from(["h1", "h2", "h3", ""])),
            phase=phase,
            ready=phase == "Running" and draw(st.booleans()),
            ready_at_s=draw(st.sampled_from([0.0, 95.0])),
            created_s=draw(st.integers(0, 3)),
            bound=draw(st.booleans()),
            deleting=draw(st.sampled_from([False, False, False, True])),
            owned_by=draw(st.sampled_from([owner(), owner(), None, owner("someone")])),
        )
    return pods


@st.composite
def worlds(
    draw: st.DrawFn, strategy: st.SearchStrategy[DaemonSetUpdateStrategy] = strategies
) -> World:
    ds = draw(daemonsets(strategy))
    revisions = [
        revision(ds, draw(st.integers(1, 4)), image=image, hash_=f"h{index + 1}")
        for index, image in enumerate(IMAGES)
        if draw(st.booleans())
    ]
    return World(
        ds,
        draw(cluster_nodes()),
        pods=draw(cluster_pods()),
        revisions=revisions,
        time_s=100.0,
        graceful=draw(st.booleans()),
    )


def mine(world: World) -> list[Pod]:
    """The pods that belong to the DaemonSet, or will after this sync."""
    adopted = {p.metadata.name for p in world.plan().adopt_pods}
    uid = world.ds.metadata.uid
    return [
        p
        for p in world.pods.values()
        if p.metadata.name in adopted
        or ((ref := p.metadata.controller()) is not None and ref.uid == uid)
    ]


@given(worlds())
def test_no_node_gets_two_pods_in_one_plan(world: World) -> None:
    chosen = world.plan()
    assert all(count == 1 for count in Counter(created(chosen)).values())
    assert all(count == 1 for count in Counter(deleted(chosen)).values())


@given(worlds())
def test_pods_are_created_only_where_they_should_run(world: World) -> None:
    rule = NodeRule(world.ds.spec.template)
    wanted = {n.metadata.name for n in world.nodes if rule.decide(n).should_run}
    assert set(created(world.plan())) <= wanted


@given(worlds(numbers.map(lambda number: rolling(number, 0))))
def test_without_surge_no_pod_joins_a_living_one(world: World) -> None:
    present = {
        name
        for name, pods in by_node(mine(world)).items()
        if any(not is_terminating(p) for p in pods)
    }
    assert present.isdisjoint(created(world.plan()))


rolls = numbers.map(lambda number: rolling(number, 0))
surges = numbers.map(lambda number: rolling(0, number))


@st.composite
def rollouts(
    draw: st.DrawFn, strategy: st.SearchStrategy[DaemonSetUpdateStrategy] = rolls
) -> World:
    """A rollout under way: plain nodes with at most one pod each, new or old, available or not."""
    world = World(daemonset(strategy=draw(strategy)), [node(name) for name in NAMES])
    hash_ = world.hash
    for name in NAMES:
        if draw(st.integers(0, 9)) == 0:
            continue
        world.pods[name] = pod(
            name,
            name,
            hash_=hash_ if draw(st.booleans()) else "old",
            ready=draw(st.sampled_from([True, True, False])),
            deleting=draw(st.integers(0, 9)) == 0,
        )
    return world


@given(st.one_of(rollouts(), worlds(numbers.map(lambda number: rolling(number, 0)))))
def test_available_pods_are_deleted_only_within_the_budget(world: World) -> None:
    """Of the nodes that should run and have exactly one living pod, at most maxUnavailable may end
    up without an available one; nodes that had none already use that budget up."""
    rule = NodeRule(world.ds.spec.template)
    should_run = [n.metadata.name for n in world.nodes if rule.decide(n).should_run]
    _, budget = limits.surge_and_unavailable(world.ds, len(should_run))
    gone = set(deleted(world.plan()))
    min_ready_s = world.ds.spec.min_ready_seconds
    pods = by_node(mine(world))
    before = after = 0
    for name in should_run:
        available = [
            p
            for p in pods.get(name, ())
            if not is_terminating(p)
            and p.status.phase == "Running"
            and is_available(p, min_ready_s, now(world.time_s).age_s)
        ]
        living = [
            p
            for p in pods.get(name, ())
            if not is_terminating(p) and p.status.phase in ("Running", "Pending")
        ]
        if len(living) > 1:
            continue  # duplicates are pruned by age, whatever they are (5.2)
        before += not available
        after += all(p.metadata.name in gone for p in available)
    lost = after - before
    assert lost <= max(0, budget - before)


@given(rollouts(surges), st.data())
def test_no_more_nodes_surge_than_allowed(world: World, data: st.DataObject) -> None:
    """Nodes with an available old pod get a second pod only as far as maxSurge goes; a node whose
    new pod is not available yet uses it up."""
    for name in data.draw(st.lists(st.sampled_from(NAMES), unique=True)):
        old = world.pods.get(name)
        if old is not None and not is_terminating(old):
            ready = data.draw(st.booleans())
            world.pods[f"{name}-new"] = pod(f"{name}-new", name, hash_=world.hash, ready=ready)
            world.pods[name] = pod(name, name, hash_="old", ready=True)
    budget, _ = limits.surge_and_unavailable(world.ds, len(world.nodes))
    surging = sum(
        f"{name}-new" in world.pods and not world.pods[f"{name}-new"].ready for name in NAMES
    )
    beside_available = [
        name for name in created(world.plan()) if name in world.pods and world.pods[name].ready
        and not is_terminating(world.pods[name])
    ]  # fmt: skip
    assert len(beside_available) <= max(0, budget - surging)


@given(worlds())
def test_what_ends_already_is_not_deleted_again(world: World) -> None:
    bound = {name for name, found in world.pods.items() if found.spec.node_name}
    ending = {name for name, found in world.pods.items() if is_terminating(found)}
    assert not set(deleted(world.plan())) & ending & bound


@given(rollouts(), st.integers(0, 30))
def test_available_means_ready_for_long_enough(world: World, min_ready_s: int) -> None:
    spec = msgspec.structs.replace(world.ds.spec, min_ready_seconds=min_ready_s)
    world.ds = msgspec.structs.replace(world.ds, spec=spec)
    world.time_s = 15.0
    chosen = world.plan()
    ready = sum(found.ready for found in world.pods.values())
    assert chosen.status is not None
    assert chosen.status.ready == ready
    assert chosen.status.available == (ready if min_ready_s <= 15 else 0)


@given(worlds())
@settings(max_examples=40)
def test_a_plan_carried_out_to_the_end_is_a_fixed_point(world: World) -> None:
    world.pods.pop("gone", None)
    # A pod bound to a node that does not exist is not for this controller to remove (5.4).
    world.pods = {k: p for k, p in world.pods.items() if p.spec.node_name != "gone"}
    for _ in range(60):
        chosen = world.plan()
        world.apply(chosen)
        world.finish_deletions()
        if world.ds.spec.update_strategy.type == "RollingUpdate":
            world.make_ready(*(p.metadata.name for p in mine(world) if _lives(p)))
        world.time_s += 1000.0
        if not chosen.writes and chosen.status is None:
            break
    else:
        raise AssertionError("no fixed point after 60 syncs")
    again = world.plan()
    assert not again.writes
    assert again.status is None
    _check_converged(world)


def _lives(found: Pod) -> bool:
    return found.status.phase in ("Running", "Pending") and not is_terminating(found)


def _check_converged(world: World) -> None:
    rule = NodeRule(world.ds.spec.template)
    pods = by_node(mine(world))
    for found in world.nodes:
        decision = rule.decide(found)
        here = pods.get(found.metadata.name, [])
        if decision.should_run:
            assert len(here) == 1, found.metadata.name
        elif not decision.should_continue:
            assert not here
    current = [
        r for r in world.revisions if r.metadata.labels["controller-revision-hash"] == world.hash
    ]
    assert len(current) == 1
    assert current[0].revision == max(r.revision for r in world.revisions)


@given(worlds())
def test_the_numbers_of_the_status_add_up(world: World) -> None:
    world.apply(world.plan())
    status = world.ds.status
    desired = status.desired_number_scheduled
    assert desired == status.number_available + status.number_unavailable
    assert 0 <= status.current_number_scheduled <= desired <= len(world.nodes)
    assert 0 <= status.number_available <= status.number_ready <= status.current_number_scheduled
    assert 0 <= status.updated_number_scheduled <= status.current_number_scheduled
    assert desired + status.number_misscheduled <= len(world.nodes)


@given(worlds())
def test_the_same_input_gives_the_same_plan(world: World) -> None:
    assert world.plan() == world.plan()


@given(worlds())
def test_nobody_elses_pod_is_touched(world: World) -> None:
    chosen = world.plan()
    foreign = {
        name
        for name, found in world.pods.items()
        if (ref := found.metadata.controller()) is not None and ref.uid == "someone"
    }
    touched = {p.metadata.name for p in (*chosen.adopt_pods, *chosen.release_pods)}
    assert foreign.isdisjoint(touched | set(deleted(chosen)))


@given(worlds())
def test_a_daemonset_being_deleted_is_left_alone(world: World) -> None:
    metadata = msgspec.structs.replace(world.ds.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    world.ds = msgspec.structs.replace(world.ds, metadata=metadata)
    chosen = world.plan()
    assert not chosen.writes
    assert chosen.status is None
