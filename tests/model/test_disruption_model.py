"""The arithmetic of disruption budgets, and of what an eviction spends, over generated input."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, ObjectMeta, Pod, PodStatus
from kubeherd.cluster.apiserver.handlers.pods import budgets
from kubeherd.controller.disruption import plan
from kubeherd.controller.disruption.objects import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)

NOW = "2026-01-01T00:00:00Z"
numbers = st.one_of(st.integers(0, 12), st.integers(0, 100).map(lambda n: f"{n}%"))
specs = st.one_of(
    numbers.map(lambda number: PodDisruptionBudgetSpec(min_available=number)),
    numbers.map(lambda number: PodDisruptionBudgetSpec(max_unavailable=number)),
)


@st.composite
def pod_lists(draw: st.DrawFn) -> list[Pod]:
    return [
        Pod(
            metadata=ObjectMeta(
                name=f"p{number}", deletion_timestamp=draw(st.sampled_from([None, None, NOW]))
            ),
            status=PodStatus(
                phase="Running",
                conditions=[
                    Condition(type="Ready", status=draw(st.sampled_from(["True", "True", "False"])))
                ],
            ),
        )
        for number in range(draw(st.integers(0, 10)))
    ]


granted = st.dictionaries(st.sampled_from([f"p{number}" for number in range(12)]), st.just(NOW))


@settings(max_examples=50, deadline=None)
@given(specs, pod_lists(), st.integers(0, 12), granted, st.sampled_from([0.0, 60.0, 500.0]))
def test_what_is_allowed_leaves_what_is_desired(
    spec: PodDisruptionBudgetSpec,
    pods: list[Pod],
    scale: int,
    disrupted: dict[str, str],
    age_s: float,
) -> None:
    budget = PodDisruptionBudget(
        metadata=ObjectMeta(name="b", generation=3),
        spec=spec,
        status=PodDisruptionBudgetStatus(disrupted_pods=disrupted),
    )
    wanted = plan.expected(spec, len(pods), scale)
    counts = plan.count(budget.status, pods, wanted, lambda _time: age_s)
    assert 0 <= counts.disruptions_allowed <= counts.current_healthy <= len(pods)
    if counts.disruptions_allowed:
        assert counts.current_healthy - counts.disruptions_allowed == counts.desired_healthy
        assert counts.expected_pods > 0
    assert set(counts.disrupted) <= set(disrupted)
    assert not counts.disrupted or counts.recheck_s is not None
    tree = plan.status(budget, counts, NOW)
    assert tree is not None
    written = msgspec.structs.replace(
        budget, status=msgspec.convert(tree, PodDisruptionBudgetStatus)
    )
    again = plan.count(written.status, pods, wanted, lambda _time: age_s)
    assert plan.status(written, again, "later") is None, "a fixed point"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 5), st.integers(1, 8))
def test_no_more_is_spent_than_is_allowed(allowed: int, evictions: int) -> None:
    budget: JsonObject = {
        "metadata": {"name": "b", "generation": 1},
        "status": {"disruptionsAllowed": allowed, "observedGeneration": 1},
    }
    spent = 0
    for number in range(evictions):
        try:
            budget = budgets.spend(budget, f"p{number}", NOW)
        except errors.TooManyRequests:
            continue
        spent += 1
    assert spent == min(allowed, evictions)
    assert len(budget["status"].get("disruptedPods") or {}) == spent
