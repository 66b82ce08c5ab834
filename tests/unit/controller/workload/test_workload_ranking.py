"""Which pods are deleted first: the tables of upstream's controller_utils_test.go."""

import random
from typing import Any

import msgspec
import pytest
from replicaset_world import ages, pod

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.workload.pods.ranking import (
    deletion_cost,
    deletion_order,
    ranked_deletion_order,
)

HOUR_S = 3600.0
NOW_S = 0.0
MONTH_AGO_S = -30 * 24 * HOUR_S


def named(pods: list[Pod]) -> list[str]:
    return [each.metadata.name for each in pods]


def test_active_pods_are_sorted_as_upstream_sorts_them() -> None:
    def running(name: str, **fields: Any) -> Pod:
        defaults = {"node": "foo", "ready": True, "created_s": None, "ready_at_s": MONTH_AGO_S}
        return pod(name, **{**defaults, **fields})

    pods = [
        pod("unscheduled", phase="Pending", created_s=None),
        pod("scheduled but pending", node="bar", phase="Pending", created_s=None),
        pod("unknown phase", node="foo", phase="Unknown", created_s=None),
        pod("running but not ready", node="foo", created_s=None),
        running("no transition time", ready_at_s=None, restarts=3),
        running("ready now", ready_at_s=NOW_S, restarts=3),
        running("ready for long", restarts=3),
        running("more restarts of a sidecar", restarts=2, sidecar_restarts=2, created_s=NOW_S),
        running("as many restarts, new", restarts=2, created_s=NOW_S),
        running("oldest", restarts=2, created_s=MONTH_AGO_S),
    ]
    want = named(pods)
    for seed in range(20):
        shuffled = random.Random(seed).sample(pods, len(pods))
        assert named(deletion_order(shuffled)) == want


UNSCHEDULED = pod("unscheduled", phase="Pending", created_s=None)
PENDING = pod("pending", node="n", phase="Pending", created_s=None)
UNKNOWN = pod("unknown", node="n", phase="Unknown", created_s=None)
NOT_READY = pod("not ready", node="n", created_s=None)


def ready(name: str, since_s: float | None, created_s: float | None, **fields: Any) -> Pod:
    defaults = {"node": "n", "uid": ""}
    times = {"ready_at_s": since_s, "created_s": created_s}
    return pod(name, ready=True, **{**defaults, **times, **fields})


NO_TRANSITION = ready("no transition time", None, None)
READY_NOW = ready("ready now", NOW_S, NOW_S)
READY_LONG = ready("ready for long", MONTH_AGO_S, MONTH_AGO_S)
RESTARTED = ready("restarted", NOW_S, NOW_S, restarts=9001)
SIDECAR_RESTARTED = ready("sidecar restarted", NOW_S, NOW_S, restarts=9001, sidecar_restarts=9001)
OLD_READY_NOW = ready("old, ready now", NOW_S, MONTH_AGO_S)
CHEAP = ready("cheap", NOW_S, MONTH_AGO_S, cost="10")
DEAR = ready("dear", NOW_S, MONTH_AGO_S, cost="100")
PENDING_5H = pod("5 h", phase="Pending", created_s=-5 * HOUR_S, uid="")
PENDING_8H = pod("8 h", phase="Pending", created_s=-8 * HOUR_S, uid="")
READY_2H = ready("2 h", -2 * HOUR_S, MONTH_AGO_S, node="")
READY_5H = ready("5 h", -5 * HOUR_S, MONTH_AGO_S, node="")
READY_8H = ready("8 h", -8 * HOUR_S, MONTH_AGO_S, node="")


def ranked(first: tuple[Pod, int], second: tuple[Pod, int]) -> list[str]:
    """The order of two pods whose ranks are given, whatever their nodes."""
    placed, related = [], []
    for number, (each, rank) in enumerate((first, second)):
        # a rank is a number of pods on a node: give each its own node, if it has one
        node = f"{number}" if each.spec.node_name else ""
        placed.append(_on(each, node))
        related += [pod("r", node=node)] * (rank if node else 0)
    return named(ranked_deletion_order(placed, related, ages(NOW_S)))


def _on(found: Pod, node: str) -> Pod:
    spec = msgspec.structs.replace(found.spec, node_name=node)
    return msgspec.structs.replace(found, spec=spec)


@pytest.mark.parametrize(
    ("lesser", "greater"),
    [
        ((UNSCHEDULED, 1), (PENDING, 2)),
        ((UNSCHEDULED, 2), (PENDING, 1)),
        ((PENDING, 1), (UNKNOWN, 2)),
        ((UNKNOWN, 1), (NOT_READY, 2)),
        ((NOT_READY, 1), (NO_TRANSITION, 1)),
        ((NO_TRANSITION, 1), (READY_NOW, 1)),
        ((READY_NOW, 2), (NO_TRANSITION, 1)),
        ((READY_NOW, 1), (READY_LONG, 1)),
        ((READY_NOW, 2), (READY_LONG, 1)),
        ((RESTARTED, 1), (READY_NOW, 1)),
        ((SIDECAR_RESTARTED, 1), (RESTARTED, 1)),
        ((READY_NOW, 2), (RESTARTED, 1)),
        ((READY_NOW, 1), (OLD_READY_NOW, 1)),
        ((OLD_READY_NOW, 2), (READY_NOW, 1)),
        ((CHEAP, 2), (DEAR, 1)),
        ((CHEAP, 1), (DEAR, 2)),
        ((READY_2H, 1), (READY_5H, 1)),
    ],
)
def test_one_pod_goes_before_the_other(lesser: tuple[Pod, int], greater: tuple[Pod, int]) -> None:
    want = [lesser[0].metadata.name, greater[0].metadata.name]
    assert ranked(lesser, greater) == want
    assert ranked(greater, lesser) == want


@pytest.mark.parametrize(("one", "other"), [(PENDING_5H, PENDING_8H), (READY_5H, READY_8H)])
def test_ages_of_one_magnitude_are_equal(one: Pod, other: Pod) -> None:
    assert ranked((one, 1), (other, 1)) == named([one, other])
    assert ranked((other, 1), (one, 1)) == named([other, one])


def test_the_uid_decides_between_ages_of_one_magnitude() -> None:
    young = ready("young", -5 * HOUR_S, MONTH_AGO_S, uid="b")
    old = ready("old", -8 * HOUR_S, MONTH_AGO_S, uid="a")
    assert ranked((young, 1), (old, 1)) == ["old", "young"]


def test_only_active_related_pods_count() -> None:
    crowded, alone = ready("crowded", 0, 0, node="1"), ready("alone", 0, 0, node="2")
    gone = [pod("d", node="2", deleting=True), pod("e", node="2", phase="Failed")] * 2
    order = ranked_deletion_order([alone, crowded], [crowded, *gone], ages(NOW_S))
    assert named(order) == ["crowded", "alone"]


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("10", 10),
        ("-10", -10),
        ("0", 0),
        ("-008", -8),
        ("2147483647", 2147483647),
        ("-2147483648", -2147483648),
        # not valid
        (None, 0),
        ("", 0),
        ("+10", 0),
        ("008", 0),
        ("1_0", 0),
        ("٣", 0),
        ("-", 0),
        ("2147483648", 0),
        ("1" * 5000, 0),
        ("cheap", 0),
    ],
)
def test_deletion_cost(text: str | None, cost: int) -> None:
    assert deletion_cost(pod("p", cost=text)) == cost
