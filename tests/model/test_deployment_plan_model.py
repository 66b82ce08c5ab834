"""Properties of the Deployment plan over random rollouts (hypothesis).

Each test states one guarantee: a fixed point, at most so many pods and at least so many available
ones, one ReplicaSet for a template, what scaling in proportion adds up to, the arithmetic of the
status. The last tests show that the budgets' check can fail.
"""

import msgspec
import pytest
from deployment_world import World, deployment, replica_set, running, sized
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.controller.deployment import limits, rolling
from kubeherd.controller.deployment.annotations import REVISION, highest_revision
from kubeherd.controller.deployment.replicasets import Divided, divide, size, wanted
from kubeherd.controller.deployment.scaling import scale
from kubeherd.controller.workload.apps import Deployment, ReplicaSet, ReplicaSetStatus

IMAGES = ("web:1", "web:2", "web:3")

numbers = st.one_of(st.integers(0, 6), st.sampled_from(["0%", "1%", "25%", "50%", "100%"]))


@st.composite
def deployments(draw: st.DrawFn, strategy: str = "RollingUpdate") -> Deployment:
    return deployment(
        draw(st.integers(0, 8)),
        surge=draw(numbers),
        unavailable=draw(numbers),
        strategy=strategy,
        image=draw(st.sampled_from(IMAGES)),
        revision_history_limit=draw(st.sampled_from([None, 0, 1])),
        progress_deadline_seconds=draw(st.sampled_from([None, 600])),
    )


@st.composite
def replica_sets(draw: st.DrawFn, of: Deployment, *, noted: bool = True) -> list[ReplicaSet]:
    """Some of the Deployment's, in the middle of something; `noted`: scaled to what is wanted."""
    found = []
    for number, image in enumerate(IMAGES, 1):
        if draw(st.booleans()):
            replicas = draw(st.integers(0, 6))
            one = replica_set(f"v{number}", replicas, image=image, age=number, revision=str(number))
            there = draw(st.integers(0, replicas))
            status = ReplicaSetStatus(
                replicas=replicas,
                ready_replicas=there,
                available_replicas=there,
                terminating_replicas=draw(st.integers(0, 2)),
                observed_generation=1,
            )
            one = msgspec.structs.replace(one, status=status)
            found.append(sized(one, of) if noted or draw(st.booleans()) else one)
    return found


@st.composite
def worlds(draw: st.DrawFn, strategies: tuple[str, ...] = ("RollingUpdate", "Recreate")) -> World:
    given_ = draw(deployments(draw(st.sampled_from(strategies))))
    return World(given_, draw(replica_sets(given_)))


rollouts = worlds(("RollingUpdate",))


def up(sets: dict[str, ReplicaSet]) -> int:
    """Available pods that stay, if those that are not available are deleted first."""
    return sum(min(one.status.available_replicas, size(one)) for one in sets.values())


@given(worlds())
def test_a_rollout_ends_with_all_pods_new_and_nothing_more_to_do(world: World) -> None:
    world.until_settled()
    replicas = limits.desired(world.deployment)
    new = divide(world.deployment, world.sets.values()).new
    assert new is not None
    assert {one.metadata.name: size(one) for one in world.sets.values() if size(one)} == (
        {new.metadata.name: replicas} if replicas else {}
    )
    status = world.deployment.status
    assert status.updated_replicas == status.available_replicas == status.replicas == replicas
    assert not status.unavailable_replicas
    assert world.deployment.metadata.annotations[REVISION] == str(
        highest_revision(world.sets.values())
    )
    limit = world.deployment.spec.revision_history_limit
    assert limit is None or len(world.sets) <= limit + 1


@given(worlds())
def test_the_same_input_gives_the_same_plan(world: World) -> None:
    assert world.plan() == world.plan()


def check_budgets(world: World) -> None:
    given_ = world.deployment
    most = limits.max_replicas(given_)
    least = limits.min_available(given_)
    for _ in range(40):
        total, available = wanted(world.sets.values()), up(world.sets)
        chosen = world.sync()
        assert wanted(world.sets.values()) <= max(total, most), "more pods than maxSurge allows"
        assert up(world.sets) >= min(available, least), "fewer pods than maxUnavailable allows"
        if not chosen.writes:
            world.settle(*list(world.sets)[:1])
            world.settle(*list(world.sets)[-1:])


@given(rollouts)
def test_a_rolling_update_keeps_its_budgets(world: World) -> None:
    check_budgets(world)


@given(worlds(("Recreate",)))
def test_recreate_never_has_new_pods_beside_old_ones(world: World) -> None:
    for _ in range(10):
        before = divide(world.deployment, world.sets.values())
        old = sum(one.status.replicas + size(one) for one in before.old)
        new = 0 if before.new is None else size(before.new)
        world.sync()
        after = divide(world.deployment, world.sets.values()).new
        assert not old or (0 if after is None else size(after)) <= new
        world.settle()


@given(worlds())
def test_there_is_one_replica_set_for_a_template(world: World) -> None:
    """Also if the cache does not show yet that it was made: then its name is the same."""
    before = dict(world.sets)
    first = world.sync()
    made = len(world.sets) - len(before) + len(first.deletes)
    assert made == (first.create is not None)
    again = World(world.deployment, before.values()).plan()
    if first.create is not None and again.create is not None:
        assert again.create.name == first.create.name
    for _ in range(20):
        world.settle()
        assert world.sync().create is None or first.create is None


@given(st.data())
def test_scaling_in_proportion_adds_up(data: st.DataObject) -> None:
    given_ = data.draw(deployments())
    sets = Divided(None, data.draw(replica_sets(given_, noted=False)))
    chosen = scale(given_, sets)
    before = wanted(sets.all)
    after = sum(chosen.sizes.get(one.metadata.name, size(one)) for one in sets.all)
    assert all(replicas >= 0 for replicas in chosen.sizes.values())
    if chosen.annotated:
        replicas = limits.desired(given_)
        allowed = limits.max_replicas(given_) if replicas else 0
        assert min(before, allowed) <= after <= max(before, allowed)
        grown = [chosen.sizes.get(one.metadata.name, size(one)) - size(one) for one in sets.all]
        assert all(step >= 0 for step in grown) or all(step <= 0 for step in grown)


@given(worlds(), st.integers(0, 9))
def test_a_scaled_deployment_ends_with_the_new_size(world: World, replicas: int) -> None:
    world.sync()
    spec = msgspec.structs.replace(world.deployment.spec, replicas=replicas)
    world.deployment = msgspec.structs.replace(world.deployment, spec=spec)
    world.until_settled()
    assert world.deployment.status.available_replicas == replicas


@given(worlds())
def test_a_paused_deployment_makes_no_replica_set_and_stays_so(world: World) -> None:
    spec = msgspec.structs.replace(world.deployment.spec, paused=True)
    world.deployment = msgspec.structs.replace(world.deployment, spec=spec)
    before = set(world.sets)
    world.until_settled()
    assert set(world.sets) <= before


@given(worlds())
def test_the_arithmetic_of_the_status(world: World) -> None:
    chosen = world.sync()
    status, sets = world.deployment.status, list(world.sets.values())
    if chosen.status is None or chosen.deletes:
        return
    new = divide(world.deployment, sets).new
    assert status.replicas == sum(one.status.replicas for one in sets)
    assert status.ready_replicas == sum(one.status.ready_replicas for one in sets)
    assert status.available_replicas == sum(one.status.available_replicas for one in sets)
    assert status.updated_replicas == (new.status.replicas if new else 0)
    assert status.unavailable_replicas == max(0, wanted(sets) - status.available_replicas)
    assert status.terminating_replicas == sum(one.status.terminating_replicas or 0 for one in sets)
    assert status.observed_generation == world.deployment.metadata.generation
    assert len({one.type for one in status.conditions}) == len(status.conditions)


def all_at_once(_given: Deployment, sets: Divided, _new: ReplicaSet) -> list[rolling.Step]:
    """A rolling update without a care."""
    return [(old.metadata.name, 0) for old in sets.old]


def without_a_limit(given_: Deployment, _sets: Divided, _new: ReplicaSet) -> int:
    return limits.desired(given_)


@pytest.mark.parametrize(
    ("broken", "mutant", "message"),
    [
        ("old_steps", all_at_once, "maxUnavailable"),
        ("new_size", without_a_limit, "maxSurge"),
    ],
)
def test_a_plan_that_breaks_a_budget_is_found_out(
    monkeypatch: pytest.MonkeyPatch, broken: str, mutant: object, message: str
) -> None:
    given_ = deployment(4, surge=1, unavailable=1, image="web:2")
    world = World(given_, [sized(running(replica_set("v1", 4, revision="1")), given_)])
    monkeypatch.setattr(rolling, broken, mutant)
    with pytest.raises(AssertionError, match=message):
        check_budgets(world)
