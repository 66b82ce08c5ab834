"""The small pure parts: status patches, addresses, recovery, node status, durations, images."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubelet_pods import Driver, at, container, pod

from kubeherd.agents.faking import annotations
from kubeherd.agents.faking.podlog import MAX_BYTES, PodLog
from kubeherd.agents.faking.runtime import FakeRuntime
from kubeherd.agents.node import addresses
from kubeherd.agents.node import nodestatus as node
from kubeherd.agents.node.addresses import PodAddresses
from kubeherd.agents.node.nodestatus import NodeConfig, NodeIdentity
from kubeherd.agents.pods.containers import image_id, valid_reference
from kubeherd.agents.pods.durations import go_duration
from kubeherd.agents.pods.facts import Transition
from kubeherd.agents.pods.recovery import recover
from kubeherd.agents.pods.statuspatch import status_patch
from kubeherd.agents.pods.sync import LogLine
from kubeherd.cluster.runtime.clock import LoopClock


def test_status_patch_has_only_what_changed() -> None:
    known = {
        "phase": "Pending",
        "reason": "Old",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [
            {"type": "Mine", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "x", "message": "y"},
            {"type": "PodScheduled", "status": "True"},
        ],
    }
    wanted = {
        "phase": "Pending",
        "podIPs": [{"ip": "10.0.0.2"}],
        "conditions": [
            {"type": "Ready", "status": "True", "lastProbeTime": None},
            {"type": "PodScheduled", "status": "True", "lastProbeTime": None},
        ],
    }
    assert status_patch(known, wanted) == {
        "reason": None,
        "podIPs": [{"ip": "10.0.0.2"}, {"$patch": "delete", "ip": "10.0.0.1"}],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "lastProbeTime": None,
                "reason": None,
                "message": None,
            }
        ],
        "$setElementOrder/conditions": [
            {"type": "Mine"},
            {"type": "Ready"},
            {"type": "PodScheduled"},
        ],
    }


def test_status_patch_of_equal_statuses_is_none() -> None:
    status = Driver(pod()).status
    assert status_patch(status, status) is None


@pytest.mark.parametrize(
    ("index", "cidr", "ip"),
    [
        (0, "10.244.0.0/24", "10.0.0.16"),
        (1, "10.244.1.0/24", "10.0.0.17"),
        (256, "10.245.0.0/24", "10.0.1.16"),
        (3071, "10.255.255.0/24", "10.0.12.15"),
        (3072, "10.128.0.0/24", "10.0.12.16"),
    ],
)
def test_addresses_of_an_index(index: int, cidr: str, ip: str) -> None:
    assert (addresses.pod_cidr(index), addresses.node_ip(index)) == (cidr, ip)
    assert addresses.index_of(cidr) == index


def test_indexes_of_names() -> None:
    assert addresses.index_for("node-12") == 12
    assert addresses.index_for("node-12", {12}) >= 16_384
    workers = {addresses.index_for(f"worker-{i}") for i in range(2000)}
    assert len(workers) == 2000
    assert min(workers) >= 16_384
    assert addresses.index_for("db", {addresses.index_for("db")}) != addresses.index_for("db")
    assert addresses.index_of("192.168.0.0/24") is None
    assert addresses.index_of("nonsense") is None


@given(st.sets(st.integers(0, addresses.RANGES - 1), min_size=2, max_size=50))
def test_ranges_never_overlap(indexes: set[int]) -> None:
    assert len({addresses.pod_cidr(i) for i in indexes}) == len(indexes)
    assert len({addresses.node_ip(i) for i in indexes}) == len(indexes)


def test_pod_addresses_are_unique_until_released() -> None:
    free = PodAddresses("10.244.0.0/24")
    free.reserve("10.244.0.2")
    taken = [free.take() for _ in range(addresses.MAX_PODS - 1)]
    assert taken[0] == "10.244.0.3"
    assert len(set(taken)) == addresses.MAX_PODS - 1
    assert free.take() == ""
    free.release("10.244.0.9")
    assert free.take() == "10.244.0.9"


def test_the_runtime_gives_each_pod_its_address() -> None:
    runtime = FakeRuntime("10.244.0.0/24", "10.0.0.16")
    facts = recover(pod(), at(0), lambda _: 0.0)
    assert runtime.with_address(pod(), facts).pod_ip == "10.244.0.2"
    assert runtime.with_address(pod(hostNetwork=True), facts).pod_ip == "10.0.0.16"


def test_recovery_adopts_what_runs() -> None:
    running = Driver(pod(annotations={"crash-times": "1", "crash-after-seconds": "1"}))
    running.until(5)
    seen = pod(status=running.status)
    facts = recover(seen, at(100), lambda _: 40.0)
    adopted = Driver(seen, facts, now_s=100)
    assert adopted.status == running.status
    assert adopted.facts.containers["web"].started_s == 60
    assert adopted.events == []


def test_recovery_of_back_off_continues_it() -> None:
    crashing = Driver(pod(annotations={"crash-after-seconds": "1"}))
    crashing.until(5)
    seen = pod(status=crashing.status, annotations={"crash-after-seconds": "1"})
    facts = recover(seen, at(100), lambda _: 2.0)
    again = Driver(seen, facts, now_s=100)
    assert again.state()["waiting"]["reason"] == "CrashLoopBackOff"
    assert again.step.next_wake_s == 108


def test_recovery_of_an_ended_pod_keeps_its_status() -> None:
    ended = Driver(pod(annotations={"run-for-seconds": "1"}, restartPolicy="Never"))
    ended.until(1)
    seen = pod(status=ended.status, restartPolicy="Never")
    again = Driver(seen, recover(seen, at(100), lambda _: 0.0))
    assert again.status == ended.status
    assert again.events == []


def test_node_conditions_keep_their_transition_times() -> None:
    wanted = node.conditions({})
    before = {c.type: Transition("False", "early") for c in wanted}
    trees, moved, changed = node.condition_trees(wanted, before, "now")
    assert [t["lastTransitionTime"] for t in trees] == ["early", "early", "early", "now"]
    assert [c.event for c in changed] == ["NodeReady"]
    assert moved["Ready"] == Transition("True", "now")
    assert {t["lastHeartbeatTime"] for t in trees} == {"now"}


def test_reconcile_touches_only_what_the_agent_owns() -> None:
    config = NodeConfig(name="n", labels={"topology.kubernetes.io/zone": "b", "team": "x"})
    identity = NodeIdentity(pod_cidr="10.244.0.0/24", ip="10.0.0.16", boot_id="b")
    labels = {**node.default_labels("n"), "kubernetes.io/os": "plan9"}
    patch = node.reconcile_patch(config, identity, labels, dict(node.MANAGED_ATTACH))
    assert patch == {
        "labels": {"kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "b"},
        "annotations": {"kubeherd.io/pod-cidr": "10.244.0.0/24"},
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (1.5, "1.5s"), (80, "1m20s"), (300, "5m0s"), (7205, "2h0m5s")],
)
def test_durations_are_worded_as_go_words_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("image", "valid"),
    [
        ("nginx", True),
        ("localhost:5000/team/app:v1.2", True),
        ("k8s.gcr.io/fluentd-elasticsearch:1.20", True),
        ("app@sha256:" + "0" * 64, True),
        ("a/b__c:x", True),
        ("Nginx", False),
        ("nginx:", False),
        ("two words", False),
        ("", False),
    ],
)
def test_which_image_references_can_be_parsed(image: str, valid: bool) -> None:
    assert valid_reference(image) == valid


def test_an_image_id_is_the_reference_with_a_digest() -> None:
    assert image_id("nginx:1").startswith("nginx@sha256:")
    assert image_id("host:5000/app").startswith("host:5000/app@sha256:")
    assert image_id("app@sha256:abc") == "app@sha256:abc"


def test_behaviour_of_init_containers_heeds_own_annotations_only() -> None:
    given_annotations = {
        "kubeherd.io/crash-after-seconds": "1",
        "kubeherd.io/pull-delay-seconds": "2",
        "kubeherd.io/setup.run-for-seconds": "3",
    }
    ends = annotations.RUNS_TO_COMPLETION
    setup = annotations.behaviour(given_annotations, "setup", is_init=True, without_words=ends)
    assert (setup.crash_after_s, setup.pull_delay_s, setup.run_for_s) == (None, 2.0, 3.0)
    assert annotations.behaviour({}, "setup", is_init=True, without_words=ends) is ends


def test_pod_logs_are_bounded_and_go_with_the_pod(tmp_path: Path) -> None:
    log = PodLog(tmp_path, LoopClock())
    for number in range(1500):
        log.write("uid", [LogLine("web", f"line {number} " + "x" * 60)])
    file = tmp_path / "uid" / "web.log"
    lines = file.read_text().splitlines()
    assert file.stat().st_size <= MAX_BYTES
    assert " stdout F line 1499 " in lines[-1]
    assert all(" stdout F line " in line for line in lines)
    log.remove("uid")
    assert not file.exists()


def test_container_specs_with_resources_show_them() -> None:
    assert "allocatedResources" not in Driver(pod(container())).status["containerStatuses"][0]
