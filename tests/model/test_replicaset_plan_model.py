"""What holds for every plan of the ReplicaSet controller, whatever pods there are."""

from collections import Counter
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replicaset_world import World, controlled_by, pod, replicaset

from kubeherd.cluster.api.helpers.podutil import is_active
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.replicaset.model import BURST_REPLICAS, Failure, FailureReason, Plan

NODES = ("", "n1", "n2", "n3")
LABELS: tuple[dict[str, str], ...] = ({"app": "a"}, {"app": "a", "extra": "x"}, {"app": "b"}, {})
OWNERS = (controlled_by(), controlled_by(), controlled_by(), None, controlled_by("other"))


@st.composite
def pods(draw: st.DrawFn, name: str) -> Pod:
    ready = draw(st.booleans())
    return pod(
        name,
        node=draw(st.sampled_from(NODES)),
        phase=draw(st.sampled_from(("Pending", "Running", "Unknown", "Failed", "Succeeded"))),
        ready=ready,
        ready_at_s=draw(st.sampled_from((None, -1000.0, -20.0, -3.0, 0.0))),
        created_s=draw(st.sampled_from((None, -5000.0, -1000.0, -20.0))),
        restarts=draw(st.integers(0, 2)),
        cost=draw(st.sampled_from((None, "-1", "5", "nonsense"))),
        deleting=draw(st.integers(0, 4)) == 0,
        labels=draw(st.sampled_from(LABELS)),
        owner=draw(st.sampled_from(OWNERS)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    rs = replicaset(
        draw(st.integers(0, 8)),
        min_ready_s=draw(st.sampled_from((0, 10))),
        deleting=draw(st.integers(0, 9)) == 0,
        template_labels=draw(st.sampled_from(LABELS[:2])),
    )
    there = [draw(pods(f"p{number}")) for number in range(draw(st.integers(0, 8)))]
    return World(rs, {each.metadata.name: each for each in there})


def mine(world: World) -> list[Pod]:
    """The active pods that are the ReplicaSet's, or will be once it adopts."""
    uid, found = world.rs.metadata.uid, []
    for each in world.pods.values():
        controller = each.metadata.controller()
        adoptable = controller is None and world.rs.metadata.deletion_timestamp is None
        if (
            is_active(each)
            and (adoptable or (controller is not None and controller.uid == uid))
            and each.metadata.labels.get("app") == "a"
        ):
            found.append(each)
    return found


def lives(world: World) -> bool:
    return world.rs.metadata.deletion_timestamp is None


def check_changes(world: World, chosen: Plan) -> None:
    """Exactly what is missing is made, exactly what is too much goes, and all of it is own."""
    active, uid = mine(world), world.rs.metadata.uid
    difference = len(active) - (world.rs.spec.replicas or 0)
    if lives(world):
        assert (chosen.create, len(chosen.delete)) == (max(0, -difference), max(0, difference))
    else:
        assert not chosen.writes
    names = [each.metadata.name for each in chosen.delete]
    assert len(names) == len(set(names))
    assert set(names) <= {each.metadata.name for each in active}
    assert all(each.metadata.controller() is None for each in chosen.adopt)
    for each in (*chosen.release, *chosen.delete):
        controller = each.metadata.controller()
        assert controller is None or controller.uid == uid


@given(worlds())
def test_exactly_what_is_missing_is_made_and_what_is_too_much_goes(world: World) -> None:
    check_changes(world, world.plan())


def outranked(chosen: Plan, world: World) -> list[tuple[str, str]]:
    """Pairs of a pod that goes and one that stays though it serves less."""
    gone = {each.metadata.name for each in chosen.delete}
    stay = [each for each in mine(world) if each.metadata.name not in gone]
    return [
        (one.metadata.name, other.metadata.name)
        for one in chosen.delete
        for other in stay
        if serves(other) < serves(one)
    ]


def serves(found: Pod) -> tuple[bool, int, bool]:
    phases = {"Unknown": 1, "Running": 2}
    return bool(found.spec.node_name), phases.get(found.status.phase, 0), found.ready


@given(worlds())
def test_no_pod_goes_before_one_that_serves_less_or_as_much_and_is_cheaper(world: World) -> None:
    chosen = world.plan()
    assert outranked(chosen, world) == []
    gone = {each.metadata.name for each in chosen.delete}
    for one in chosen.delete:
        for other in mine(world):
            if other.metadata.name not in gone and serves(one) == serves(other):
                assert cost(one) <= cost(other)


def cost(found: Pod) -> int:
    text = found.metadata.annotations.get("controller.kubernetes.io/pod-deletion-cost", "")
    return {"-1": -1, "5": 5}.get(text, 0)


@given(worlds())
def test_the_numbers_add_up(world: World) -> None:
    numbers = world.plan().count.numbers
    assert 0 <= numbers.available <= numbers.ready <= numbers.replicas == len(mine(world))
    assert 0 <= numbers.fully_labeled <= numbers.replicas
    assert numbers.terminating is not None
    assert numbers.replicas + numbers.terminating <= len(world.pods)


@given(worlds())
def test_a_plan_carried_out_is_a_fixed_point(world: World) -> None:
    world.sync()
    second = world.sync()
    assert not second.writes
    assert not world.write_status(second.count.numbers)
    if lives(world):
        assert second.count.numbers.replicas == world.rs.spec.replicas


@given(worlds())
def test_whoever_is_not_available_will_be_looked_at_in_time(world: World) -> None:
    """Looked at again when the plan says, and so on, every ready pod becomes available."""
    for _ in range(5):
        count = world.plan().count
        if count.requeue_after_s is None:
            break
        assert 0 < count.requeue_after_s <= world.rs.spec.min_ready_seconds
        world.time_s += count.requeue_after_s
    known = [p for p in mine(world) if p.ready and p.status.conditions[0].last_transition_time]
    assert world.plan().count.numbers.available >= len(known)


@given(worlds(), st.randoms(use_true_random=False))
def test_how_many_go_does_not_hang_on_the_order_of_the_cache(world: World, chance: Random) -> None:
    first = world.plan()
    shuffled = list(world.pods.items())
    chance.shuffle(shuffled)
    world.pods = dict(shuffled)
    second = world.plan()
    assert first.count == second.count
    assert (first.create, len(first.delete)) == (second.create, len(second.delete))
    assert Counter(map(serves, first.delete)) == Counter(map(serves, second.delete))


@settings(max_examples=20)
@given(st.integers(0, 1300), st.integers(0, 1300))
def test_large_changes_go_in_bursts(start: int, end: int) -> None:
    world = World(replicaset(end))
    template = pod("p", phase="Pending")
    for number in range(start):
        metadata = msgspec.structs.replace(template.metadata, name=f"p{number}", uid=f"u{number}")
        world.pods[f"p{number}"] = msgspec.structs.replace(template, metadata=metadata)
    syncs = 0
    while (chosen := world.sync()).writes:
        assert max(chosen.create, len(chosen.delete)) <= BURST_REPLICAS
        syncs += 1
    assert len(world.pods) == end
    assert syncs == -(-abs(end - start) // BURST_REPLICAS)


@given(worlds(), st.lists(st.sampled_from((None, *FailureReason)), max_size=6))
def test_the_condition_is_there_exactly_while_syncs_fail(
    world: World, failures: list[FailureReason | None]
) -> None:
    first: FailureReason | None = None
    for reason in failures:
        failure = None if reason is None else Failure(reason, "it broke")
        first = None if reason is None else first or reason
        world.write_status(world.plan().count.numbers, failure)
        told = [each.reason for each in world.rs.status.conditions]
        assert told == ([] if first is None else [first])


def test_the_check_of_the_order_can_fail() -> None:
    """A plan that takes the wrong pod is found."""
    world = World(replicaset(1))
    for made in (pod("good", node="n", ready=True), pod("bad", node="n")):
        world.pods[made.metadata.name] = made
    right = world.plan()
    assert outranked(right, world) == []
    wrong = msgspec.structs.replace(right, delete=[world.pods["good"]])
    assert outranked(wrong, world) == [("good", "bad")]


def test_the_check_of_the_changes_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that counts pods that have ended is found."""
    world = World(replicaset(1), {"p": pod("p", phase="Failed")})
    check_changes(world, world.plan())
    monkeypatch.setattr("kubeherd.controller.replicaset.plan.active_pods", list)
    with pytest.raises(AssertionError):
        check_changes(world, world.plan())
