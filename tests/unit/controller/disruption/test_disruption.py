"""The numbers of a PodDisruptionBudget."""

import pytest
from controllerworld import play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import PODDISRUPTIONBUDGETS, PODS
from kubeherd.cluster.api.objects import Condition, ObjectMeta, Pod, PodStatus
from kubeherd.controller.disruption import plan
from kubeherd.controller.disruption.controller import DisruptionController
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


@pytest.mark.parametrize(
    ("spec", "ready", "unready", "desired", "allowed"),
    [
        (PodDisruptionBudgetSpec(min_available=2), 3, 0, 2, 1),
        (PodDisruptionBudgetSpec(min_available=2), 1, 2, 2, 0),
        (PodDisruptionBudgetSpec(min_available="50%"), 3, 0, 2, 1),
        (PodDisruptionBudgetSpec(max_unavailable=1), 3, 0, 2, 1),
        (PodDisruptionBudgetSpec(max_unavailable=1), 2, 1, 2, 0),
        (PodDisruptionBudgetSpec(max_unavailable="34%"), 3, 0, 1, 2),
        (PodDisruptionBudgetSpec(max_unavailable="100%"), 3, 0, 0, 3),
        (PodDisruptionBudgetSpec(min_available=1), 0, 0, 1, 0),
    ],
)
def test_desired_and_allowed(
    spec: PodDisruptionBudgetSpec, ready: int, unready: int, desired: int, allowed: int
) -> None:
    budget = PodDisruptionBudget(spec=spec)
    counts = plan.count(budget, pods(ready, unready), lambda _time: 0.0)
    assert counts.expected_pods == ready + unready
    assert (counts.desired_healthy, counts.disruptions_allowed) == (desired, allowed)


def test_granted_evictions_count_until_they_time_out() -> None:
    budget = PodDisruptionBudget(
        spec=PodDisruptionBudgetSpec(min_available=1),
        status=PodDisruptionBudgetStatus(disrupted_pods={"p0": NOW, "gone": NOW}),
    )
    fresh = plan.count(budget, pods(3), lambda _time: 20.0)
    assert (fresh.current_healthy, dict(fresh.disrupted), fresh.recheck_s) == (2, {"p0": NOW}, 100)
    stale = plan.count(budget, pods(3), lambda _time: 121.0)
    assert (stale.current_healthy, dict(stale.disrupted)) == (3, {})


def test_status_follows_the_pods() -> None:
    async def scenario(api: FakeApi) -> None:
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
        meta = {"name": "b", "namespace": "ns", "generation": 1}
        api.put(PODDISRUPTIONBUDGETS, {"metadata": meta, "spec": spec})
        for name in ("x", "y"):
            tree = pod(name, "n")
            tree["metadata"]["labels"] = {"app": "a"}
            api.put(PODS, tree)
        await api.clock.sleep(1)
        budget = api.get(PODDISRUPTIONBUDGETS, "b", "ns")
        assert budget is not None
        assert budget["status"]["disruptionsAllowed"] == 1
        assert budget["status"]["conditions"][0]["reason"] == "SufficientPods"
        api.remove(PODS, "x", "ns")
        await api.clock.sleep(1)
        budget = api.get(PODDISRUPTIONBUDGETS, "b", "ns")
        assert budget is not None
        assert budget["status"]["disruptionsAllowed"] == 0
        assert budget["status"]["expectedPods"] == 1

    play(DisruptionController, scenario=scenario)
