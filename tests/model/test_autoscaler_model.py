"""Properties of the autoscaler's arithmetic: bounds, direction, fixed points."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.objects import Condition, ObjectMeta, Pod, PodStatus
from kubeherd.controller.podautoscaler import calculator, limits
from kubeherd.controller.podautoscaler.calculator import (
    NoReplicas,
    PodMetric,
    PodsTarget,
    Tolerances,
)
from kubeherd.controller.podautoscaler.limits import Bounds, Memory, Stamped
from kubeherd.controller.podautoscaler.model import (
    AutoscalerStatus,
    Behavior,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from kubeherd.controller.podautoscaler.status import ConditionType, Draft

TENTH = Tolerances(0.1, 0.1)
NOW_S = 100_000.0
policies = st.builds(
    ScalingPolicy,
    type=st.sampled_from(["Pods", "Percent"]),
    value=st.integers(1, 200),
    period_seconds=st.integers(1, 1800),
)
rules = st.builds(
    ScalingRules,
    stabilization_window_seconds=st.integers(0, 3600),
    select_policy=st.sampled_from([one.value for one in SelectPolicy]),
    policies=st.lists(policies, min_size=1, max_size=3),
)
behaviors = st.one_of(st.none(), st.builds(Behavior, scale_up=rules, scale_down=rules))
history = st.lists(
    st.tuples(st.integers(1, 50), st.floats(0, 4000)).map(
        lambda one: Stamped(one[0], NOW_S - one[1])
    ),
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 200), st.integers(1, 100), st.integers(1, 20), st.integers(0, 80), behaviors,
    history, history, history,
)  # fmt: skip
def test_what_is_set_lies_between_what_there_is_and_what_is_asked_for(
    asked: int,
    current: int,
    least: int,
    room: int,
    behavior: Behavior | None,
    recommendations: list[Stamped],
    ups: list[Stamped],
    downs: list[Stamped],
) -> None:
    most = least + room
    current = min(max(current, least), most)
    bounds = Bounds(current, least, most, behavior)
    memory = Memory(list(recommendations), list(ups), list(downs))
    found = limits.limit(asked, bounds, memory, NOW_S)
    assert least <= found.replicas <= most
    if behavior is not None:
        stable = found.stabilized.replicas
        low, high = sorted((current, stable))
        assert min(low, max(least, low)) <= found.replicas <= max(high, least)
        if behavior.scale_up.select_policy == SelectPolicy.DISABLED:
            assert found.replicas <= current
        if behavior.scale_down.select_policy == SelectPolicy.DISABLED:
            assert found.replicas >= current
    assert found.held == (found.limited.reason != "DesiredWithinRange")


def running(number: int, ready: bool, phase: str) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=f"p{number}"),
        status=PodStatus(
            phase=phase,
            start_time="9999",
            conditions=[Condition(type="Ready", status=str(ready), last_transition_time="9999")],
        ),
    )


pods = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["Running"] * 5 + ["Pending", "Failed"])),
    min_size=1,
    max_size=12,
).map(lambda given: [running(number, *one) for number, one in enumerate(given)])
values = st.dictionaries(
    st.sampled_from([f"p{number}" for number in range(12)]),
    st.integers(0, 5000).map(PodMetric),
    min_size=1,
)


@settings(max_examples=50, deadline=None)
@given(pods, values, st.integers(1, 3000))
def test_the_average_decides_the_direction(
    these: list[Pod], metrics: dict[str, PodMetric], target: int
) -> None:
    known = {pod.metadata.name for pod in these}
    metrics = {name: metric for name, metric in metrics.items() if name in known}
    current = len(these)
    try:
        found = calculator.of_pods(
            current, PodsTarget("cpu", average=target), these, metrics, TENTH, float
        )
    except NoReplicas:
        return
    ready = calculator.group(these, metrics, "cpu", float).ready
    if TENTH.hold(found.usage / target) and ready == current:
        assert found.replicas == current
    if ready == current:
        assert found.replicas == current or (found.replicas > current) == (found.usage > target)
    else:
        most = max(current, len(these) * max(1, -(-5000 // target)))
        assert 0 <= found.replicas <= most


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(0, 100_000), st.integers(1, 3000))
def test_an_even_share_is_a_fixed_point(current: int, value: int, target: int) -> None:
    first = calculator.of_average(current, value, target, TENTH).replicas
    if first:
        assert calculator.of_average(first, value, target, TENTH).replicas in (
            first, -(-value // target),
        )  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ConditionType), st.booleans()), max_size=6))
def test_a_status_that_was_written_is_not_written_again(
    conditions: list[tuple[ConditionType, bool]],
) -> None:
    draft = Draft(AutoscalerStatus(), "now")
    for kind, holds in conditions:
        draft.set(kind, holds, "Reason", "text")
    draft.numbers(2, 3, [{"type": ""}], rescaled=False)
    tree = draft.tree()
    assert tree is not None
    kinds = [one["type"] for one in tree["conditions"]]
    assert len(kinds) == len(set(kinds))
    stored = AutoscalerStatus(
        current_replicas=2,
        desired_replicas=3,
        current_metrics=tree["currentMetrics"],
        conditions=tree["conditions"],
    )
    draft = Draft(stored, "later")
    for kind, holds in dict(conditions).items():
        draft.set(kind, holds, "Reason", "text")
    draft.numbers(2, 3, [{"type": ""}], rescaled=False)
    assert draft.tree() is None
