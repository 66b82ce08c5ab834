"""Properties of the StatefulSet plan over random clusters (hypothesis).

Each test states one guarantee: never two for one ordinal, order, the budget of an update,
convergence to a fixed point, the arithmetic of the status. The last tests show that the properties
can fail.
"""

from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statefulset_world import (
    ON_DELETE,
    RETENTION,
    UID,
    World,
    claim,
    created,
    deleted,
    deleting,
    owner,
    pod,
    revision,
    rolling,
    statefulset,
)

from kubeherd.cluster.api.helpers.podutil import is_available, is_terminal, is_terminating
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.statefulset import replicas
from kubeherd.controller.statefulset.identity import NO_ORDINAL, ordinals, parse
from kubeherd.controller.statefulset.model import Plan, PodWork, Verb
from kubeherd.controller.workload.apps import StatefulSet, StatefulSetUpdateStrategy
from kubeherd.controller.workload.revisions import REVISION_LABEL

IMAGES = ("img:1", "img:2", "img:3")
PHASES = ("Running", "Running", "Running", "Pending", "Failed", "Succeeded")

strategies = st.one_of(
    st.just(ON_DELETE),
    st.just(StatefulSetUpdateStrategy(type="RollingUpdate")),
    st.integers(0, 4).map(rolling),
)


@st.composite
def statefulsets(draw: st.DrawFn) -> StatefulSet:
    return statefulset(
        draw(st.integers(0, 5)),
        image=draw(st.sampled_from(IMAGES)),
        parallel=draw(st.booleans()),
        strategy=draw(strategies),
        start=draw(st.sampled_from([None, 0, 2])),
        claims=draw(st.sampled_from([(), ("data",), ("a", "b")])),
        retention=draw(st.sampled_from(RETENTION)),
        min_ready_seconds=draw(st.sampled_from([0, 10])),
        revision_history_limit=draw(st.sampled_from([None, 0, 1])),
    )


@st.composite
def pods_of(draw: st.DrawFn) -> dict[str, Pod]:
    found = {}
    for ordinal in draw(st.lists(st.integers(0, 8), unique=True)):
        name = f"web-{ordinal}"
        phase = draw(st.sampled_from(PHASES))
        found[name] = pod(
            name,
            revision=draw(st.sampled_from(["web-r1", "web-r2", "web-r3", ""])),
            phase=phase,
            ready=phase == "Running" and draw(st.sampled_from([True, True, False])),
            ready_at_s=draw(st.sampled_from([0.0, 95.0])),
            deleting=draw(st.integers(0, 4)) == 0,
            owned_by=draw(st.sampled_from([owner(), owner(), owner(), None, owner("someone")])),
        )
    for name in draw(st.lists(st.sampled_from(["web-01", "other-1", "web-x"]), unique=True)):
        found[name] = pod(name)
    return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    of = draw(statefulsets())
    revisions = [
        revision(of, index + 1, image=image)
        for index, image in enumerate(IMAGES)
        if draw(st.booleans())
    ]
    current = draw(st.sampled_from(["", "web-r1", "web-r2", "web-r3"]))
    status = msgspec.structs.replace(
        of.status, current_revision=current, current_replicas=draw(st.integers(0, 5))
    )
    of = msgspec.structs.replace(of, status=status)
    world = World(of, draw(pods_of()), revisions, time_s=100.0, graceful=draw(st.booleans()))
    owners = st.sampled_from([[], [owner()], [owner("old", "web-1", "Pod")]])
    for template in of.spec.volume_claim_templates:
        for ordinal in draw(st.lists(st.integers(0, 8), unique=True)):
            name = f"{template['metadata']['name']}-web-{ordinal}"
            world.claims[name] = claim(name, draw(owners), deleting=draw(st.integers(0, 9)) == 0)
    return world


def mine(world: World) -> list[Pod]:
    """The pods that belong to the StatefulSet, or will after this sync."""
    chosen = world.plan()
    adopted = {p.metadata.name for p in chosen.adopt_pods}
    released = {p.metadata.name for p in chosen.release_pods}

    def is_mine(found: Pod) -> bool:
        controller = found.metadata.controller()
        return controller is not None and controller.uid == UID

    return [
        found
        for name, found in world.pods.items()
        if name in adopted or (is_mine(found) and name not in released)
    ]


def pods_by_ordinal(world: World) -> dict[int, Pod]:
    """Of two with the same, the one whose name is the ordinal's."""
    pods = sorted(mine(world), key=lambda p: len(p.metadata.name), reverse=True)
    return {parse(p.metadata.name).ordinal: p for p in pods}


def is_well(world: World, found: Pod) -> bool:
    return (
        found.status.phase == "Running"
        and not is_terminating(found)
        and is_available(found, world.of.spec.min_ready_seconds, world.age_s)
    )


# --- each a property: False is a violation ---


def no_pod_is_made_or_deleted_twice(world: World, chosen: Plan) -> bool:
    return all(count == 1 for count in Counter([*created(chosen), *deleted(chosen)]).values())


def only_wanted_ordinals_that_are_free_are_made(world: World, chosen: Plan) -> bool:
    wanted = {f"web-{ordinal}" for ordinal in ordinals(world.of)}
    taken = {parse(found.metadata.name).ordinal for found in mine(world)}
    return all(name in wanted and parse(name).ordinal not in taken for name in created(chosen))


def only_own_pods_are_deleted_and_none_that_is_going(world: World, chosen: Plan) -> bool:
    could = {p.metadata.name for p in mine(world) if not is_terminating(p)}
    return set(deleted(chosen)) <= could


def in_order_nothing_is_made_or_scaled_away_while_a_lower_one_is_unwell(
    world: World, chosen: Plan
) -> bool:
    """One work that changes the number of pods at most, and all wanted pods below are well."""
    if not chosen.is_ordered:
        return True
    changes = [*created(chosen), *deleted(chosen)]
    if len(changes) > 1:
        return False
    by_ordinal = pods_by_ordinal(world)
    for name in changes:
        for ordinal in ordinals(world.of):
            below = by_ordinal.get(ordinal)
            if ordinal < parse(name).ordinal and (below is None or not is_well(world, below)):
                return False
    return True


def an_update_takes_one_well_pod_at_most(world: World, chosen: Plan) -> bool:
    """What is deleted of wanted pods that have not ended: one, old, not below the partition, and
    everything above it is well."""
    by_ordinal = pods_by_ordinal(world)
    wanted = ordinals(world.of)
    gone = [by_ordinal[parse(name).ordinal] for name in deleted(chosen)]
    updated = [p for p in gone if parse(p.metadata.name).ordinal in wanted and not is_terminal(p)]
    if not updated:
        return True
    strategy = world.of.spec.update_strategy
    (one, *others) = updated
    ordinal = parse(one.metadata.name).ordinal
    partition = strategy.rolling_update.partition if strategy.rolling_update else 0
    above = [by_ordinal.get(index) for index in wanted if index > ordinal]
    return (
        not others
        and strategy.type != "OnDelete"
        and ordinal >= wanted.start + (partition or 0)
        and one.metadata.labels.get(REVISION_LABEL) != world.history.update.name
        and all(p is not None and is_available(p, 0, world.age_s) for p in above)
    )


def what_is_being_deleted_writes_nothing(world: World, chosen: Plan) -> bool:
    if world.of.metadata.deletion_timestamp is None:
        return True
    return not any((*chosen.phases, chosen.adopt_pods, chosen.release_pods))


def the_status_adds_up(world: World, chosen: Plan) -> bool:
    numbers = chosen.status
    alive = sum(parse(p.metadata.name).ordinal != NO_ORDINAL for p in mine(world))
    return (
        0 <= numbers.available <= numbers.ready <= numbers.replicas <= alive
        and 0 <= numbers.current <= numbers.replicas
        and 0 <= numbers.updated <= numbers.replicas
        and 0 <= chosen.status_rolled.current <= numbers.current
        and (
            numbers.current_revision == numbers.update_revision
            or numbers.current + numbers.updated <= numbers.replicas
        )
    )


def claims_are_made_for_wanted_pods_only(world: World, chosen: Plan) -> bool:
    wanted = {
        f"{template['metadata']['name']}-web-{ordinal}"
        for template in world.of.spec.volume_claim_templates
        for ordinal in ordinals(world.of)
    }
    names = [
        tree["metadata"]["name"]
        for phase in chosen.phases
        for work in phase
        for tree in work.create_claims
    ]
    return len(names) == len(set(names)) and set(names) <= wanted - set(world.claims)


def revisions_in_use_stay(world: World, chosen: Plan) -> bool:
    live = {p.metadata.labels.get(REVISION_LABEL) for p in mine(world)}
    live |= {world.history.current.name, world.history.update.name}
    return not live & {one.metadata.name for one in chosen.delete_revisions}


Property = Callable[[World, Plan], bool]

PROPERTIES: list[Property] = [
    no_pod_is_made_or_deleted_twice,
    only_wanted_ordinals_that_are_free_are_made,
    only_own_pods_are_deleted_and_none_that_is_going,
    in_order_nothing_is_made_or_scaled_away_while_a_lower_one_is_unwell,
    an_update_takes_one_well_pod_at_most,
    what_is_being_deleted_writes_nothing,
    the_status_adds_up,
    claims_are_made_for_wanted_pods_only,
    revisions_in_use_stay,
]


@given(worlds(), st.integers(0, 9))
def test_every_plan_has_the_properties(world: World, chance: int) -> None:
    if chance == 0:
        world.of = deleting(world.of)
    chosen = world.plan()
    for property_ in PROPERTIES:
        assert property_(world, chosen), property_.__name__


@given(worlds())
@settings(max_examples=40)
def test_a_plan_carried_out_to_the_end_is_a_fixed_point(world: World) -> None:
    # A pod of somebody else, or a claim that is going for ever, can keep a name.
    world.pods = {
        n: p for n, p in world.pods.items() if p.metadata.controller() != owner("someone")
    }
    world.pods.pop("web-01", None)
    world.claims = {n: c for n, c in world.claims.items() if not c.metadata.deletion_timestamp}
    world.claims = {
        name: found
        for name, found in world.claims.items()
        if not any(one.uid == "old" for one in found.metadata.owner_references)
    }
    world.settle()
    wanted = {f"web-{ordinal}" for ordinal in ordinals(world.of)}
    assert {p.metadata.name for p in mine(world)} == wanted
    status = world.of.status
    assert status.replicas == status.ready_replicas == len(wanted)
    strategy = world.of.spec.update_strategy
    if strategy.type != "OnDelete":
        partition = (strategy.rolling_update.partition or 0) if strategy.rolling_update else 0
        new = [world.pods[f"web-{ordinal}"] for ordinal in ordinals(world.of)[partition:]]
        image = world.of.spec.template["spec"]["containers"][0]["image"]
        hashes = {p.metadata.labels[REVISION_LABEL] for p in new}
        assert hashes <= {status.update_revision}
        assert status.updated_replicas >= len(new)
        assert world.history.update.template["spec"]["containers"][0]["image"] == image


# --- the properties can fail ---


def doubled(chosen: Plan) -> Plan:
    return msgspec.structs.replace(chosen, condemned=[*chosen.replicas, *chosen.replicas])


def greedy(chosen: Plan) -> Plan:
    """Deletes a pod more."""
    work = PodWork(name="web-0", verb=Verb.DELETE, pod=pod("web-0"))
    return msgspec.structs.replace(chosen, replicas=[*chosen.replicas, work])


def miscounted(chosen: Plan) -> Plan:
    status = msgspec.structs.replace(chosen.status, available=chosen.status.replicas + 1)
    return msgspec.structs.replace(chosen, status=status)


@pytest.mark.parametrize("mutant", [doubled, greedy, miscounted])
def test_a_wrong_plan_is_found_out(mutant: Callable[[Plan], Plan]) -> None:
    world = World(statefulset(3))
    world.settle()
    world.update(image="img:2")
    del world.pods["web-1"]
    chosen = world.plan()
    assert all(property_(world, chosen) for property_ in PROPERTIES)
    wrong = mutant(chosen)
    assert not all(property_(world, wrong) for property_ in PROPERTIES)


def test_a_plan_that_takes_every_pod_for_available_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replicas, "is_unavailable", lambda *_: False)
    monkeypatch.setattr(replicas, "is_running_and_ready", lambda _: True)
    world = World(statefulset(3))
    world.sync()
    chosen = world.plan()
    assert created(chosen) == ["web-1"]
    assert not in_order_nothing_is_made_or_scaled_away_while_a_lower_one_is_unwell(world, chosen)
