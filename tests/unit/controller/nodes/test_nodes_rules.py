"""Node lifecycle, the pure rules: silence, taints, zones and rates."""

import pytest

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, Node, NodeSpec, NodeStatus, ObjectMeta, Taint
from kubeherd.controller.nodes import health, taints, zones
from kubeherd.controller.nodes.health import Health
from kubeherd.controller.nodes.zones import TokenBucket, ZoneQueue, ZoneState

NOW = "2026-01-01T00:10:00Z"
CREATED = "2026-01-01T00:00:00Z"
KEY = "node.kubernetes.io/"


def a_node(
    conditions: dict[str, str] | None = None,
    *present: tuple[str, str],
    heartbeat: str = "h1",
    unschedulable: bool = False,
) -> Node:
    return Node(
        metadata=ObjectMeta(name="n", resource_version="7"),
        spec=NodeSpec(
            unschedulable=unschedulable,
            taints=[Taint(key=key, effect=effect) for key, effect in present],
        ),
        status=NodeStatus(
            conditions=[
                Condition(type=kind, status=status, last_heartbeat_time=heartbeat)
                for kind, status in (conditions or {}).items()
            ]
        ),
    )


# --- probe times and grace ---


def test_first_sight_of_a_ready_condition_is_a_sign_of_life() -> None:
    seen = health.observe(None, a_node({"Ready": "True"}), None, 100.0, created_s=10.0)
    assert seen == Health(100.0, "h1", "", "True")


def test_a_node_without_condition_is_as_old_as_its_creation() -> None:
    seen = health.observe(None, a_node(), None, 100.0, created_s=10.0)
    assert seen.probe_s == 10.0
    assert not health.is_silent(seen, 70.0)
    assert health.is_silent(seen, 70.1), "startup grace is 60 s"


def test_grace_of_a_node_that_reported_is_50_s() -> None:
    known = Health(100.0, "h1", "", "True")
    assert not health.is_silent(known, 150.0)
    assert health.is_silent(known, 150.1)


@pytest.mark.parametrize(
    ("heartbeat", "renew_time", "probe_s"),
    [
        ("h1", "r1", 100.0),
        ("h2", "r1", 200.0),
        ("h1", "r2", 200.0),
        ("h1", "r0", 100.0),
        ("h1", None, 100.0),
    ],
)
def test_heartbeat_or_newer_renewal_moves_the_probe_time(
    heartbeat: str, renew_time: str | None, probe_s: float
) -> None:
    known = Health(100.0, "h1", "r1", "True")
    node = a_node({"Ready": "True"}, heartbeat=heartbeat)
    assert health.observe(known, node, renew_time, 200.0, 0.0).probe_s == probe_s


# --- conditions of a silent node ---


def test_conditions_become_unknown_and_keep_their_heartbeat() -> None:
    before: list[JsonObject] = [
        {"type": "NetworkUnavailable", "status": "False"},
        {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": "h"},
        {"type": "DiskPressure", "status": "Unknown", "reason": "old"},
        {"type": "Ready", "status": "True", "lastHeartbeatTime": "h"},
    ]
    after, ready_changed = health.silence(before, CREATED, NOW)
    assert ready_changed
    assert [c["type"] for c in after] == [
        "NetworkUnavailable",
        "MemoryPressure",
        "DiskPressure",
        "Ready",
        "PIDPressure",
    ]
    assert after[0] == before[0]
    assert after[2] == before[2]
    assert after[3] == {
        "type": "Ready",
        "status": "Unknown",
        "lastHeartbeatTime": "h",
        "lastTransitionTime": NOW,
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
    }
    assert after[4] == {
        "type": "PIDPressure",
        "status": "Unknown",
        "lastHeartbeatTime": CREATED,
        "lastTransitionTime": NOW,
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
    }


def test_nothing_is_written_unless_ready_changes() -> None:
    assert not health.silence([{"type": "Ready", "status": "Unknown"}], CREATED, NOW)[1]


def test_pod_is_marked_once_and_keeps_reason_and_neighbours() -> None:
    status: JsonObject = {
        "phase": "Running",
        "conditions": [
            {"type": "ContainersReady", "status": "True"},
            {"type": "Ready", "status": "True", "reason": "r"},
        ],
    }
    marked = health.pod_marked_not_ready(status, NOW)
    assert marked == {
        "phase": "Running",
        "conditions": [
            {"type": "ContainersReady", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "r", "lastTransitionTime": NOW},
        ],
    }
    assert health.pod_marked_not_ready(marked, NOW) is None
    assert health.pod_marked_not_ready({}, NOW) is None


def test_beta_labels_follow_stable_ones() -> None:
    labels = {"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "windows"}
    assert health.stable_labels(labels) == {"beta.kubernetes.io/os": "linux"}
    assert health.stable_labels({"beta.kubernetes.io/arch": "amd64"}) == {}


# --- taints ---


@pytest.mark.parametrize(
    ("condition", "status", "key"),
    [
        ("Ready", "False", "not-ready"),
        ("Ready", "Unknown", "unreachable"),
        ("MemoryPressure", "True", "memory-pressure"),
        ("DiskPressure", "True", "disk-pressure"),
        ("PIDPressure", "True", "pid-pressure"),
        ("NetworkUnavailable", "True", "network-unavailable"),
        ("Ready", "True", None),
        ("MemoryPressure", "Unknown", None),
    ],
)
def test_noschedule_taint_of_a_condition(condition: str, status: str, key: str | None) -> None:
    change = taints.no_schedule_change(a_node({condition: status}))
    assert change.add == (((KEY + key, "NoSchedule"),) if key else ())
    assert change.remove == ()


def test_cordoning_and_stale_taints() -> None:
    node = a_node(
        {"Ready": "True"},
        (KEY + "not-ready", "NoSchedule"),
        (KEY + "not-ready", "NoExecute"),
        ("mine", "NoSchedule"),
        unschedulable=True,
    )
    change = taints.no_schedule_change(node)
    assert change.add == ((KEY + "unschedulable", "NoSchedule"),)
    assert change.remove == ((KEY + "not-ready", "NoSchedule"),)


def test_noexecute_taints_exclude_each_other() -> None:
    node = a_node(None, (KEY + "not-ready", "NoExecute"))
    change = taints.swap_change(node.spec.taints, (KEY + "unreachable", "NoExecute"))
    assert change.add == ((KEY + "unreachable", "NoExecute"),)
    assert change.remove == ((KEY + "not-ready", "NoExecute"),)
    assert not taints.swap_change(node.spec.taints, (KEY + "not-ready", "NoExecute"))
    assert taints.clear_change(node.spec.taints).remove == ((KEY + "not-ready", "NoExecute"),)


@pytest.mark.parametrize(
    ("ready", "key"), [("False", "not-ready"), ("Unknown", "unreachable"), ("True", None)]
)
def test_noexecute_key_of_a_ready_status(ready: str, key: str | None) -> None:
    assert taints.no_execute_key(ready) == ((KEY + key, "NoExecute") if key else None)
    assert taints.no_execute_key(None) is None


def test_patches_carry_time_and_resource_version() -> None:
    node = a_node(None, ("mine", "NoSchedule"))
    added = taints.with_added(node, [("k", "NoExecute"), ("mine", "NoSchedule")], NOW)
    assert added is not None
    assert taints.taints_patch(node, added) == {
        "metadata": {"resourceVersion": "7"},
        "spec": {
            "taints": [
                {"key": "mine", "effect": "NoSchedule"},
                {"key": "k", "effect": "NoExecute", "timeAdded": NOW},
            ]
        },
    }
    assert taints.with_added(node, [("mine", "NoSchedule")], NOW) is None
    assert taints.with_removed(node, [("k", "NoExecute")]) is None
    assert taints.with_removed(node, [("mine", "NoSchedule")]) == []


# --- zones ---


@pytest.mark.parametrize(
    ("labels", "key"),
    [
        ({}, ""),
        ({"topology.kubernetes.io/zone": "z"}, ":\x00:z"),
        (
            {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"},
            "r:\x00:z",
        ),
        (
            {
                "failure-domain.beta.kubernetes.io/zone": "old",
                "topology.kubernetes.io/zone": "z",
            },
            ":\x00:old",
        ),
    ],
)
def test_the_zone_of_a_node_follows_its_labels(labels: dict[str, str], key: str) -> None:
    assert zones.zone_key(labels) == key


@pytest.mark.parametrize(
    ("ready", "not_ready", "state"),
    [
        (1, 0, ZoneState.NORMAL),
        (0, 1, ZoneState.FULL_DISRUPTION),
        (1, 2, ZoneState.NORMAL),
        (2, 3, ZoneState.PARTIAL_DISRUPTION),
        (9, 11, ZoneState.PARTIAL_DISRUPTION),
        (10, 10, ZoneState.NORMAL),
        (0, 5, ZoneState.FULL_DISRUPTION),
    ],
)
def test_the_state_of_a_zone_follows_its_nodes(
    ready: int, not_ready: int, state: ZoneState
) -> None:
    assert zones.zone_state(["True"] * ready + ["Unknown"] * not_ready) is state


@pytest.mark.parametrize(
    ("state", "size", "rate"),
    [
        (ZoneState.NORMAL, 10, 0.1),
        (ZoneState.PARTIAL_DISRUPTION, 50, 0.0),
        (ZoneState.PARTIAL_DISRUPTION, 51, 0.01),
        (ZoneState.FULL_DISRUPTION, 10, 0.1),
    ],
)
def test_the_eviction_rate_follows_the_state_of_the_zone(
    state: ZoneState, size: int, rate: float
) -> None:
    assert zones.rate_for(state, size) == rate


def test_master_disruption_clears_taints_and_stops_all_zones() -> None:
    before = {"a": ZoneState.NORMAL, "b": ZoneState.FULL_DISRUPTION}
    change = zones.disruption(before, {"a": ["Unknown"], "b": ["False"]})
    assert change.clear_all
    assert change.rates == {"a": 0.0, "b": 0.0}
    again = zones.disruption(change.states, {"a": ["Unknown"], "b": ["False"]})
    assert not again.clear_all
    assert again.rates == {}


def test_leaving_master_disruption_resets_probe_times_and_all_rates() -> None:
    before = dict.fromkeys(("a", "b"), ZoneState.FULL_DISRUPTION)
    change = zones.disruption(before, {"a": ["True"], "b": ["False"]})
    assert change.reset_probes
    assert change.rates == {"a": 0.1, "b": 0.1}


def test_one_dead_zone_among_living_ones_is_tainted_at_the_full_rate() -> None:
    before = dict.fromkeys(("a", "b"), ZoneState.NORMAL)
    change = zones.disruption(before, {"a": ["True"], "b": ["Unknown"]})
    assert not change.clear_all
    assert change.rates == {"b": 0.1}


def test_no_nodes_at_all_changes_nothing() -> None:
    change = zones.disruption({}, {})
    assert (change.clear_all, change.rates) == (False, {})


def test_bucket_gives_the_first_token_at_once_then_one_per_interval() -> None:
    queue = ZoneQueue(TokenBucket(0.1), {"a": None, "b": None})
    assert queue.next_due(0.0) == "a"
    assert queue.next_due(9.9) is None
    assert queue.next_due(10.0) == "b"
    assert queue.next_due(30.0) is None, "nobody waits, no token is spent"


def test_a_stopped_bucket_starts_empty() -> None:
    bucket = TokenBucket(0.1)
    bucket.swap(0.0, 5.0)
    assert not bucket.try_take(1000.0)
    assert bucket.ready_at_s() is None
    bucket.swap(0.1, 1000.0)
    assert not bucket.try_take(1009.0)
    assert bucket.try_take(1010.0)


def test_a_full_bucket_stays_full_when_its_rate_changes() -> None:
    bucket = TokenBucket(0.1)
    bucket.swap(0.01, 5.0)
    assert bucket.try_take(5.0)
    assert not bucket.try_take(104.0)
    assert bucket.try_take(105.0)
