"""From records to nodes, their pods, faults, leaders and news."""

import pytest
from herdrecords import node, pod, write

from kubeherd.faults import Component, Fault, Nodes, effects
from kubeherd.herd.herd import Herd
from kubeherd.herd.model import Health, Look, Taint, natural
from kubeherd.history import (
    FaultBegan,
    FaultEnded,
    Heartbeat,
    Leads,
    Process,
    Record,
    Verb,
    Violation,
)


def herd(*records: Record) -> Herd:
    seen = Herd()
    for record in records:
        seen.see(record)
    return seen


def test_a_node_is_as_its_object_says():
    taint = {"key": "k", "effect": "NoSchedule"}
    spec = {"unschedulable": True, "taints": [taint]}
    tile = herd(node("n-1", zone="a", spec=spec)).nodes["n-1"]
    assert (tile.health, tile.zone, tile.cordoned) == (Health.READY, "a", True)
    assert tile.taints == (Taint("k", "NoSchedule"),)
    for said, health in (("False", Health.NOT_READY), ("Unknown", Health.UNREACHABLE)):
        assert herd(node("n-1", said)).nodes["n-1"].health is health


@pytest.mark.parametrize(
    ("facts", "look"),
    [
        ({}, Look.READY),
        ({"ready": False}, Look.RUNNING),
        ({"ready": False, "phase": "Pending"}, Look.WAITING),
        ({"deleted": True}, Look.TERMINATING),
        ({"deleted": True, "phase": "Failed"}, Look.FAILED),
        ({"phase": "Succeeded"}, Look.SUCCEEDED),
    ],
)
def test_a_pod_looks_as_its_status_says(facts: dict, look: Look):
    cell = herd(node("n-1"), pod("p", "n-1", **facts)).nodes["n-1"].pods["u-p"]
    assert (cell.look, cell.owner, cell.revision) == (look, "DaemonSet x/agent", "one")


def test_a_pod_is_on_its_node_from_when_it_has_one_until_it_is_gone():
    seen = herd(node("n-1"), pod("p", phase="Pending"))
    assert list(seen.unbound) == ["u-p"]
    seen.see(pod("p", "n-1"))
    assert not seen.unbound
    assert list(seen.nodes["n-1"].pods) == ["u-p"]
    seen.see(pod("p", "n-1", Verb.DELETE))
    assert not list(seen.pods())


def test_a_node_that_is_gone_is_shown_as_long_as_pods_say_that_they_are_on_it():
    seen = herd(node("n-1"), pod("p", "n-1"), node("n-1", verb=Verb.DELETE))
    assert seen.nodes["n-1"].health is Health.GONE
    seen.see(pod("p", "n-1", Verb.DELETE))
    assert seen.nodes == {}


def test_restarts_and_what_a_container_waits_for():
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}
    cell = next(herd(pod("p", "n-1", containers=[waiting, {"restartCount": 1}])).pods())
    assert (cell.restarts, cell.why) == (4, "CrashLoopBackOff")


def test_a_heartbeat_is_a_lease_that_is_renewed_or_a_record_of_its_own():
    lease = {
        "metadata": {"name": "n-1", "namespace": "kube-node-lease"},
        "spec": {"renewTime": "1970-01-01T00:00:07Z"},
    }
    leases = "leases.coordination.k8s.io"
    seen = herd(node("n-1"), write(leases, lease, at=50.0, restored=True))
    assert seen.nodes["n-1"].beat == 7.0  # when it is only read back it was as old as it says
    seen.see(write(leases, lease, at=60.0))
    assert seen.nodes["n-1"].beat == 60.0
    seen.see(Heartbeat(at=70.0, node="n-1"))
    seen.see(Heartbeat(at=65.0, node="n-1"))
    assert seen.nodes["n-1"].beat == 70.0
    assert not seen.leaders


def test_who_leads():
    lease = {"metadata": {"name": "l", "namespace": "s"}, "spec": {"holderIdentity": "a"}}
    seen = herd(write("leases.coordination.k8s.io", lease, restored=True))
    assert (seen.leaders, list(seen.news)) == ({"s/l": "a"}, [])
    seen.see(Leads(at=1.0, lease="s/l", holder="b"))
    seen.see(Leads(at=2.0, lease="s/l", holder="b"))
    assert [one.text for one in seen.news] == ["b holds s/l"]


def test_a_fault_is_on_its_nodes_until_it_is_healed():
    fault = Fault(id="f", target=Nodes(("n-1",)), effect=effects.Freeze(), at=5.0)
    seen = herd(node("n-1"), FaultBegan(at=5.0, fault=fault))
    assert (seen.nodes["n-1"].faults, list(seen.faults)) == (("freeze",), ["f"])
    seen.see(FaultEnded(at=6.0, id="f"))
    seen.see(FaultEnded(at=7.0, id="f"))
    assert (seen.nodes["n-1"].faults, seen.faults) == ((), {})
    assert [one.text for one in seen.news] == ["fault freeze n-1", "healed: freeze n-1"]


def test_a_fault_that_cannot_be_undone_is_only_told():
    fault = Fault(id="f", target=Component("apiserver"), effect=effects.Restart(), at=5.0)
    seen = herd(FaultBegan(at=5.0, fault=fault))
    assert (seen.faults, len(seen.news)) == ({}, 1)


def test_the_process_of_a_node_and_of_a_fleet():
    seen = herd(
        node("n-1"),
        node("n-2"),
        Process(at=1.0, name="agent-1", running=True, why="running", nodes=("n-2",)),
        Process(at=2.0, name="agent-1", running=True, why="frozen", nodes=("n-2",)),
        Process(at=3.0, name="n-1", running=False),
    )
    assert [seen.nodes[name].process for name in ("n-1", "n-2")] == ["killed", "frozen"]
    assert [one.text for one in seen.news] == ["agent-1 runs (frozen)", "n-1 does not run"]
    seen.see(Process(at=4.0, name="n-1", running=True, why="running"))
    assert seen.nodes["n-1"].process == ""


def test_news_are_events_that_happen_and_promises_that_break():
    of = {"kind": "Pod", "namespace": "x", "name": "p"}
    tree = {
        "metadata": {"name": "e", "namespace": "x"},
        "involvedObject": of, "type": "Warning", "reason": "Failed", "message": "no",
    }  # fmt: skip
    seen = herd(write("events", tree, restored=True), write("events", tree, at=3.0))
    seen.see(Violation(at=4.0, promise="one-pod", text="two", objects=("pods x/p",)))
    assert [(one.what, one.about, one.text) for one in seen.news] == [
        ("warning", "Pod x/p", "Failed: no"),
        ("violation", "pods x/p", "one-pod: two"),
    ]


def test_what_is_told_of_a_node_that_is_not_there_waits_for_it():
    fault = Fault(id="f", target=Nodes(names=("n-1",)), effect=effects.Crash())
    seen = herd(
        Process(at=1.0, name="n-1", running=False, why="down", nodes=("n-1",)),
        FaultBegan(at=1.0, fault=fault),
    )
    assert seen.nodes == {}
    seen.see(node("n-1"))
    assert (seen.nodes["n-1"].process, seen.nodes["n-1"].faults) == ("down", ("crash",))
    seen.see(node("n-1", verb=Verb.DELETE))
    seen.see(FaultEnded(at=2.0, id="f"))
    assert seen.nodes == {}


def test_names_are_ordered_by_their_numbers_however_long():
    names = ["node-10", "node-2", "node", "a-1", f"node-{'9' * 5000}"]
    assert sorted(names, key=natural)[:4] == ["a-1", "node", "node-2", "node-10"]


def test_what_changed_says_when_it_did():
    seen = herd(node("n-1"), node("n-2"))
    before = seen.sequence
    seen.see(pod("p", "n-2"))
    assert [name for name, tile in seen.nodes.items() if tile.changed > before] == ["n-2"]


def test_a_report_that_says_nothing_new_and_a_heartbeat_are_no_change():
    seen = herd(node("n-1"))
    moved, changed = seen.moved, seen.nodes["n-1"].changed
    seen.see(node("n-1"))
    seen.see(Heartbeat(at=70.0, node="n-1"))
    assert (seen.moved, seen.nodes["n-1"].changed) == (moved, changed)
    assert seen.nodes["n-1"].beaten == seen.sequence > moved
    seen.see(node("n-1", spec={"unschedulable": True}))
    assert seen.nodes["n-1"].changed == seen.moved > moved
