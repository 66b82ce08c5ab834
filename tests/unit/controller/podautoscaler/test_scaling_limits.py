"""Windows, rates and bounds: the tables of upstream's horizontal_test.go."""

import json
from pathlib import Path

import pytest

from kubeherd.controller.podautoscaler import limits
from kubeherd.controller.podautoscaler.limits import Bounds, Memory, Stamped
from kubeherd.controller.podautoscaler.model import (
    Behavior,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)

Row = tuple[str, list[int], list[int], list[int], list[int], int, int, int, int, int, str]
RECORDED: list[Row] = json.loads(
    (Path(__file__).parents[3] / "data" / "scaling-rules.json").read_text()
)
"""TestScalingWithRules: name, changes up and down and in how many seconds, rules up and down,
least, most, current and asked replicas, those that come out, and the reason."""
NOW_S = 10_000.0
MINUTE_S = 60.0


def rules(given: list[int], default: ScalingRules) -> ScalingRules:
    """Pods, their period, percent, its period, and the window."""
    if not given:
        return default
    pods, pods_s, percent, percent_s, window_s = given
    policies = [
        ScalingPolicy(type=kind, value=value, period_seconds=period_s)
        for kind, value, period_s in (("Pods", pods, pods_s), ("Percent", percent, percent_s))
        if value
    ]
    return ScalingRules(stabilization_window_seconds=window_s, policies=policies)


def changes(given: list[int]) -> list[Stamped]:
    """Spread over the last seconds, each in the middle of its share."""
    if not given:
        return []
    *values, period_s = given
    share_s = period_s / len(values)
    return [
        Stamped(value, NOW_S - int(period_s - share_s * (number + 1) + share_s / 2))
        for number, value in enumerate(values)
    ]


UP = rules([4, 15, 100, 15, 0], ScalingRules())
DOWN = rules([0, 0, 100, 15, 300], ScalingRules())


@pytest.mark.parametrize("row", RECORDED, ids=[row[0] for row in RECORDED])
def test_scaling_with_rules(row: Row) -> None:
    _, ups, downs, up, down, least, most, current, asked, replicas, reason = row
    behavior = Behavior(scale_up=rules(up, UP), scale_down=rules(down, DOWN))
    memory = Memory(ups=changes(ups), downs=changes(downs))
    found = limits.limit(asked, Bounds(current, least, most, behavior), memory, NOW_S)
    assert (found.replicas, found.limited.reason) == (replicas, reason)
    assert found.held == (reason != "DesiredWithinRange")


@pytest.mark.parametrize(
    ("current", "asked", "least", "most", "replicas", "reason"),
    [
        (5, 7, 3, 8, 7, "DesiredWithinRange"),
        (3, 1, 2, 8, 2, "TooFewReplicas"),
        (1, 0, 0, 10, 0, "DesiredWithinRange"),
        (20, 1000, 1, 10, 10, "TooManyReplicas"),
        (3, 1000, 1, 2000, 6, "ScaleUpLimit"),
        (1, 1000, 1, 2000, 4, "ScaleUpLimit"),
    ],
)
def test_convert_desired_replicas_with_rules(
    current: int, asked: int, least: int, most: int, replicas: int, reason: str
) -> None:
    found = limits.limit(asked, Bounds(current, least, most), Memory(), NOW_S)
    assert (found.replicas, found.limited.reason) == (replicas, reason)


def remembered(*given: tuple[int, float]) -> Memory:
    """Recommendations and how many minutes ago they were."""
    return Memory([Stamped(value, NOW_S - minutes * MINUTE_S) for value, minutes in given])


@pytest.mark.parametrize(
    ("memory", "stabilized"),
    [
        (remembered(), 3),
        (remembered((4, 2), (5, 1)), 5),
        (remembered((1, 2), (2, 1)), 3),
        (remembered((10, 10), (9, 9)), 3),
        (remembered((10, 10), (4, 1), (5, 2), (9, 9)), 5),
    ],
)
def test_normalize_desired_replicas(memory: Memory, stabilized: int) -> None:
    found = limits.limit(3, Bounds(100, 0, 1000), memory, NOW_S)
    assert found.replicas == stabilized
    wanted = "ReadyForNewScale" if stabilized == 3 else "ScaleDownStabilized"
    assert found.stabilized.reason == wanted


@pytest.mark.parametrize(
    ("memory", "current", "asked", "up_s", "down_s", "stabilized"),
    [
        (remembered(), 100, 5, 0, 0, 5),
        (remembered((4, 2), (5, 1)), 100, 3, 0, 180, 5),
        (remembered((4, 2), (5, 1)), 1, 7, 300, 0, 4),
        (remembered((1, 2), (2, 1)), 100, 3, 300, 0, 3),
        (remembered((4, 2), (5, 1)), 1, 3, 0, 300, 3),
        (remembered((10, 10), (9, 9)), 100, 3, 0, 0, 3),
        (remembered((10, 10), (9, 9)), 1, 100, 0, 0, 100),
        (remembered((10, 10), (4, 1), (5, 2), (9, 9)), 100, 3, 0, 180, 5),
        (remembered((10, 100), (6, 1), (5, 2), (9, 3)), 1, 100, 300, 0, 5),
        (remembered((2, 100), (3, 3)), 2, 1, 300, 300, 2),
        (remembered((2, 100), (1, 3)), 2, 3, 300, 300, 2),
    ],
)
def test_normalize_desired_replicas_with_behavior(
    memory: Memory, current: int, asked: int, up_s: int, down_s: int, stabilized: int
) -> None:
    every = ScalingPolicy(type="Percent", value=100_000, period_seconds=15)
    behavior = Behavior(
        scale_up=ScalingRules(stabilization_window_seconds=up_s, policies=[every]),
        scale_down=ScalingRules(stabilization_window_seconds=down_s, policies=[every]),
    )
    found = limits.limit(asked, Bounds(current, 0, 1000, behavior), memory, NOW_S)
    assert found.replicas == stabilized
    if stabilized != asked:
        way = "Up" if asked >= current else "Down"
        assert found.stabilized.reason == f"Scale{way}Stabilized"


def test_select_policies() -> None:
    both = [
        ScalingPolicy(type="Pods", value=4, period_seconds=60),
        ScalingPolicy(type="Percent", value=50, period_seconds=60),
    ]

    def found(select: SelectPolicy, asked: int) -> int:
        one = ScalingRules(stabilization_window_seconds=0, select_policy=select, policies=both)
        bounds = Bounds(20, 0, 1000, Behavior(scale_up=one, scale_down=one))
        return limits.limit(asked, bounds, Memory(), NOW_S).replicas

    assert [found(select, 900) for select in SelectPolicy] == [30, 24, 20]
    assert [found(select, 1) for select in SelectPolicy] == [10, 16, 20]


def test_memory_is_bounded() -> None:
    memory = Memory()
    memory.began(3, 0.0)
    for look in range(2000):
        memory.recommended(look, look * 15.0)
        memory.scaled(look, look + 1, look * 15.0)
        memory.scaled(look + 1, look, look * 15.0)
    assert len(memory.recommendations) == len(memory.ups) == len(memory.downs) == 241
