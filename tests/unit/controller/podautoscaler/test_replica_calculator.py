"""How many replicas metrics ask for: the tables of upstream's replica_calculator_test.go.

`replica-calculations.json` has the numbers of 66 of its tests by their names: what pods there are,
what they request and use, and what is to come out.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import (
    Condition,
    Container,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from kubeherd.controller.podautoscaler import calculator, metrics
from kubeherd.controller.podautoscaler.calculator import (
    NoReplicas,
    PodMetric,
    PodsTarget,
    Proposal,
    Tolerances,
)

RECORDED: dict[str, JsonObject] = json.loads(
    (Path(__file__).parents[3] / "data" / "replica-calculations.json").read_text()
)
AGES = {"hot": 0.0, "cool": 1000.0}
"""Pods that started just now, and long ago. A time is its age here."""
WINDOW = "60s"


def age_s(time: str) -> float:
    return float(time)


def a_pod(number: int, row: JsonObject) -> Pod:
    def of(key: str, default: str) -> str:
        given = row.get(key) or []
        return str(given[number]) if number < len(given) else default

    requests = row.get("resource", {}).get("requests", [])
    wanted = {row["resource"]["name"]: requests[number]} if number < len(requests) else {}
    amounts = ResourceRequirements(requests=wanted)
    started = AGES[of("start", "cool")]
    deleted = of("deleted", "False") == "True"
    return Pod(
        metadata=ObjectMeta(name=f"test-pod-{number}", deletion_timestamp="0" if deleted else None),
        spec=PodSpec(
            containers=tuple(Container(name=f"container{n}", resources=amounts) for n in (1, 2))
        ),
        status=PodStatus(
            phase=of("phase", "Running"),
            start_time=str(started),
            conditions=[
                Condition(
                    type="Ready", status=of("ready", "True"), last_transition_time=str(started)
                )
            ],
        ),
    )


def pods_of(row: JsonObject) -> list[Pod]:
    return [a_pod(number, row) for number in range(max(row["current"], len(row.get("phase", []))))]


def pod_metrics(resource: JsonObject) -> list[JsonObject]:
    """What metrics.k8s.io would answer."""
    names = resource.get("podNames", [])
    return [
        {
            "metadata": {"name": names[number] if number < len(names) else f"test-pod-{number}"},
            "timestamp": "0",
            "window": WINDOW,
            "containers": [
                {"name": f"container{n}", "usage": {resource["name"]: f"{level}m"}}
                for n, level in enumerate(levels, 1)
            ],
        }
        for number, levels in enumerate(resource["levels"])
    ]


def calculated(row: JsonObject) -> Proposal:
    allowed = Tolerances(*row.get("tolerances", (0.1, 0.1)))
    current, pods = row["current"], pods_of(row)
    if resource := row.get("resource"):
        container = row.get("container", "")
        used = metrics.used(pod_metrics(resource), resource["name"], container, age_s)
        if not used:
            text = f"unable to get metrics for resource {resource['name']}: {metrics.NO_RESOURCE}"
            raise NoReplicas(text)
        percent = resource["targetUtilization"]
        target = PodsTarget(resource["name"], percent=percent, container=container)
        return calculator.of_pods(current, target, pods, used, allowed, age_s)
    metric = row["metric"]
    value, target_value = sum(metric["levels"]), metric["targetUsage"]
    value = min(value, 2**63 - 1)
    match metric["type"]:
        case "podMetric":
            target = PodsTarget("", average=target_value)
            values = {
                f"test-pod-{number}": PodMetric(level)
                for number, level in enumerate(metric["levels"])
            }
            return calculator.of_pods(current, target, pods, values, allowed, age_s)
        case "objectMetric" | "externalMetric":
            return calculator.of_value(current, value, target_value, pods, allowed)
        case _:
            average = metric["perPodTargetUsage"]
            return calculator.of_average(current, value, average, allowed)


@pytest.mark.parametrize("name", RECORDED)
def test_replica_calculations(name: str) -> None:
    row = RECORDED[name]
    if "error" in row:
        with pytest.raises(NoReplicas) as refused:
            calculated(row)
        assert row["error"] in str(refused.value)
        return
    proposal = calculated(row)
    assert proposal.replicas == row["replicas"]
    if resource := row.get("resource"):
        assert proposal.percent == resource["expectedUtilization"]
        assert proposal.usage == resource["expectedValue"]
    else:
        assert proposal.usage == row["metric"]["expectedUsage"]


@pytest.mark.parametrize(
    ("tolerances", "target", "replicas"),
    [
        # TestReplicaCalcConfigurableTolerance: three pods use 909 of 1000
        ((0.1, 0.1), 100, 3), ((0.05, 0.1), 100, 3), ((0.1, 0.1), 80, 4), ((0.1, 0.3), 80, 3),
        ((0.36, 0.0), 140, 3), ((0.34, 0.0), 140, 2),
    ],
)  # fmt: skip
def test_configurable_tolerances(
    tolerances: tuple[float, float], target: int, replicas: int
) -> None:
    row: dict[str, Any] = {
        "current": 3,
        "resource": {"name": "cpu", "requests": ["0.9", "1.0", "1.1"],
                     "levels": [[909, 909], [1010, 1010], [1111, 1111]]},
    }  # fmt: skip
    if target == 140:
        row["resource"]["levels"] = [[909, 909], [909, 909], [909, 909]]
    used = metrics.used(pod_metrics(row["resource"]), "cpu", "", age_s)
    found = calculator.of_pods(
        3, PodsTarget("cpu", percent=target), pods_of(row), used, Tolerances(*tolerances), age_s
    )
    assert found.replicas == replicas


def started(ago_s: float, ready: str, changed_s: float) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="p"),
        status=PodStatus(
            phase="Running",
            start_time=str(ago_s),
            conditions=[Condition(type="Ready", status=ready, last_transition_time=str(changed_s))],
        ),
    )


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        (started(200, "True", 100), True),
        (started(200, "False", 100), False),
        (started(200, "True", 30), False),
        (started(400, "True", 10), True),
        (started(400, "False", 399), False),
        (started(400, "False", 100), True),
        (Pod(metadata=ObjectMeta(name="p"), status=PodStatus(phase="Running")), False),
    ],
)
def test_group_pods_by_what_their_cpu_is_worth(pod: Pod, counts: bool) -> None:
    metric = {"p": PodMetric(1, age_s=5, window_s=60)}
    groups = calculator.group([pod], metric, "cpu", age_s)
    assert (groups.ready == 1, groups.unready == {"p"}) == (counts, not counts)
    assert calculator.group([pod], metric, "memory", age_s).ready == 1


def test_calculate_requests() -> None:
    def spec(whole: dict[str, str], *requests: dict[str, str], sidecar: str = "") -> Pod:
        containers = tuple(
            Container(name=f"c{n}", resources=ResourceRequirements(requests=dict(amounts)))
            for n, amounts in enumerate(requests)
        )
        beside = Container(
            name="side",
            restart_policy="Always",
            resources=ResourceRequirements(requests={"cpu": sidecar}),
        )
        return Pod(
            metadata=ObjectMeta(name="p"),
            spec=PodSpec(
                containers=containers,
                init_containers=(beside,) if sidecar else (),
                resources=ResourceRequirements(requests=dict(whole)) if whole else None,
            ),
        )

    def request(pod: Pod, container: str = "") -> int:
        return calculator.requests_of([pod], "cpu", container)["p"]

    half = {"cpu": "500m"}
    assert request(spec({}, half, half)) == 1000
    assert request(spec({}, half, half, sidecar="50m")) == 1050
    assert request(spec({}, half, half), "c1") == 500
    assert request(spec({"cpu": "2"}, half)) == 2000
    assert request(spec({"cpu": "2"}, half), "c0") == 500
    assert request(spec({"memory": "1Gi"}, half)) == 500
    with pytest.raises(NoReplicas, match="missing pod-level request for cpu in Pod p"):
        request(spec({"memory": "1Gi"}, {}))
    with pytest.raises(NoReplicas, match="missing request for cpu in container c0 of Pod p"):
        request(spec({}, {}))
    with pytest.raises(NoReplicas, match="container nope not found in Pod p"):
        request(spec({}, half), "nope")


def test_a_value_for_no_replicas_at_all() -> None:
    allowed = Tolerances(0.1, 0.1)
    assert calculator.of_value(0, 2500, 1000, [], allowed).replicas == 3
    assert calculator.of_average(0, 2500, 1000, allowed).replicas == 3
