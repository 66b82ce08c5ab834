"""The numbers of a PodDisruptionBudget."""

import pytest

from kubeherd.cluster.api.objects import Condition, ObjectMeta, Pod, PodStatus
from kubeherd.controller.disruption import plan
from kubeherd.controller.disruption.objects import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)

NOW = "2026-01-01T00:00:00Z"


def pods(ready: int, unready: int = 0) -> list[Pod]:
    return [
        Pod(
            metadata=ObjectMeta(name=f"p{number}", namespace="ns"),
            status=PodStatus(
                phase="Running",
                conditions=[Condition(type="Ready", status=str(number < ready))],
            ),
        )
        for number in range(ready + unready)
    ]


def counted(
    spec: PodDisruptionBudgetSpec, these: list[Pod], scale: int, age_s: float = 0.0
) -> plan.Counts:
    wanted = plan.expected(spec, len(these), scale)
    granted = PodDisruptionBudgetStatus(disrupted_pods={"p0": NOW, "gone": NOW})
    status = granted if age_s else PodDisruptionBudgetStatus()
    return plan.count(status, these, wanted, lambda _time: age_s)


@pytest.mark.parametrize(
    ("spec", "ready", "unready", "scale", "expected", "desired", "allowed"),
    [
        # a number counts the pods that are there, anything else what their controllers want
        (PodDisruptionBudgetSpec(min_available=2), 3, 0, 9, 3, 2, 1),
        (PodDisruptionBudgetSpec(min_available=2), 1, 2, 9, 3, 2, 0),
        (PodDisruptionBudgetSpec(min_available="50%"), 3, 0, 3, 3, 2, 1),
        (PodDisruptionBudgetSpec(min_available="28%"), 3, 0, 10, 10, 3, 0),
        (PodDisruptionBudgetSpec(max_unavailable=1), 3, 0, 3, 3, 2, 1),
        (PodDisruptionBudgetSpec(max_unavailable=1), 2, 1, 3, 3, 2, 0),
        (PodDisruptionBudgetSpec(max_unavailable=1), 3, 0, 7, 7, 6, 0),
        (PodDisruptionBudgetSpec(max_unavailable="34%"), 3, 0, 3, 3, 1, 2),
        (PodDisruptionBudgetSpec(max_unavailable="100%"), 3, 0, 3, 3, 0, 3),
        (PodDisruptionBudgetSpec(max_unavailable=10), 3, 0, 7, 7, 0, 3),
        (PodDisruptionBudgetSpec(max_unavailable=0), 0, 0, 0, 0, 0, 0),
        (PodDisruptionBudgetSpec(min_available=1), 0, 0, 0, 0, 1, 0),
        (PodDisruptionBudgetSpec(), 1, 0, 1, 0, 0, 0),
    ],
)
def test_desired_and_allowed(
    spec: PodDisruptionBudgetSpec,
    ready: int,
    unready: int,
    scale: int,
    expected: int,
    desired: int,
    allowed: int,
) -> None:
    counts = counted(spec, pods(ready, unready), scale)
    assert counts.expected_pods == expected
    assert (counts.desired_healthy, counts.disruptions_allowed) == (desired, allowed)


def test_what_is_neither_a_number_nor_a_percentage() -> None:
    with pytest.raises(plan.SyncFailed, match="invalid value for IntOrString"):
        plan.expected(PodDisruptionBudgetSpec(max_unavailable="half"), 1, 1)


def test_granted_evictions_count_until_they_time_out() -> None:
    spec = PodDisruptionBudgetSpec(min_available=1)
    fresh = counted(spec, pods(3), 0, 20.0)
    assert (fresh.current_healthy, dict(fresh.disrupted), fresh.recheck_s) == (2, {"p0": NOW}, 100)
    assert not fresh.given_up
    stale = counted(spec, pods(3), 0, 121.0)
    assert (stale.current_healthy, dict(stale.disrupted)) == (3, {})
    assert [pod.metadata.name for pod in stale.given_up] == ["p0"]


def test_terminal_pods_are_expected_and_not_healthy() -> None:
    ended = Pod(metadata=ObjectMeta(name="ended"), status=PodStatus(phase="Succeeded"))
    counts = counted(PodDisruptionBudgetSpec(min_available=1), [*pods(2), ended], 0)
    assert (counts.expected_pods, counts.current_healthy, counts.disruptions_allowed) == (3, 2, 1)


def test_the_status_is_written_when_something_changed() -> None:
    budget = PodDisruptionBudget(
        metadata=ObjectMeta(name="b", generation=2), spec=PodDisruptionBudgetSpec(min_available=1)
    )
    counts = counted(budget.spec, pods(2), 0)
    tree = plan.status(budget, counts, NOW)
    assert tree == {
        "observedGeneration": 2,
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 2,
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": "True",
                "observedGeneration": 2,
                "lastTransitionTime": NOW,
                "reason": "SufficientPods",
                "message": "",
            }
        ],
    }
    status = PodDisruptionBudgetStatus(
        observed_generation=2, disruptions_allowed=1, current_healthy=2, desired_healthy=1,
        expected_pods=2, conditions=tree["conditions"],
    )  # fmt: skip
    written = PodDisruptionBudget(metadata=budget.metadata, spec=budget.spec, status=status)
    assert plan.status(written, counts, "later") is None
    failed = plan.failed_status(written, "why", "later")
    assert failed is not None
    assert (failed["disruptionsAllowed"], failed["currentHealthy"]) == (0, 2)
    (condition,) = failed["conditions"]
    assert condition == {
        "type": "DisruptionAllowed", "status": "False", "observedGeneration": 2,
        "lastTransitionTime": "later", "reason": "SyncFailed", "message": "why",
    }  # fmt: skip
    still = PodDisruptionBudgetStatus(observed_generation=2, conditions=[condition])
    again = PodDisruptionBudget(metadata=budget.metadata, spec=budget.spec, status=still)
    assert plan.failed_status(again, "why", "even later") is None
    assert plan.failed_status(again, "another", "even later") is not None


@pytest.mark.parametrize(
    ("condition", "phase", "left_s"),
    [
        (Condition(type="DisruptionTarget", status="True", reason="PreemptionByScheduler"),
         "Running", 20.0),
        (Condition(type="DisruptionTarget", status="True", reason="TerminationByKubelet"),
         "Running", None),
        (Condition(type="DisruptionTarget", status="False"), "Running", None),
        (Condition(type="DisruptionTarget", status="True"), "Failed", None),
        (Condition(type="Ready", status="True"), "Running", None),
    ],
)  # fmt: skip
def test_how_long_a_disruption_is_believed(
    condition: Condition, phase: str, left_s: float | None
) -> None:
    since = Condition(
        type=condition.type, status=condition.status, reason=condition.reason,
        last_transition_time=NOW,
    )  # fmt: skip
    target = Pod(metadata=ObjectMeta(name="p"), status=PodStatus(phase=phase, conditions=[since]))
    assert plan.stale_target_s(target, lambda _time: 100.0) == left_s
