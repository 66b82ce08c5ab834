"""What a browser is told of a herd: whole, and as it changes."""

from typing import Any

import msgspec
from herdrecords import daemonset, node, pod

from kubeherd.dashboard.feed import Feed
from kubeherd.faults import Fault, FaultKind, Nodes
from kubeherd.faults.effects import Crash
from kubeherd.herd.herd import MAX_GONE, Herd
from kubeherd.history import FaultBegan, FaultEnded, Heartbeat, Process, Record, Speed, Verb


def feed(*records: Record) -> Feed:
    made = Feed(lambda: 100.0)
    see(made, *records)
    return made


def see(of: Feed, *records: Record) -> None:
    for record in records:
        of.herd.see(record)


def change(of: Feed, *records: Record) -> dict[str, Any]:
    """What a browser gets, in JSON, that has seen all before these records."""
    of.state()
    seen = of.seen()
    see(of, *records)
    told = of.change(seen)
    assert told is not None
    tree: dict[str, Any] = msgspec.json.decode(of.encode(told))
    assert (tree.pop("since"), tree.pop("at")) == (seen.known.sequence, 100.0)
    assert tree.pop("sequence") == of.herd.sequence
    del tree["revision"], tree["note"]
    return tree


def test_a_state_is_all_there_is():
    shown = feed(node("n-1"), pod("p", "n-1"), pod("q"), daemonset(2, 1, 1))
    state = msgspec.json.decode(shown.encode(shown.state()))
    assert [one["name"] for one in state["nodes"]] == ["n-1"]
    assert [one["name"] for one in state["nodes"][0]["pods"]] == ["p"]
    assert [one["name"] for one in state["unbound"]] == ["q"]
    assert state["rollouts"][0]["key"] == "DaemonSet x/agent"
    assert state["rollouts"][0]["unavailable"] == 1
    assert "no node yet: q" in state["rollouts"][0]["holds_up"]


def test_a_change_is_what_changed():
    shown = feed(node("n-1"), node("n-2"))
    told = change(shown, pod("p", "n-2"))
    assert [one["name"] for one in told["nodes"]] == ["n-2"]
    assert set(told) == {"nodes"}


def test_another_speed_is_told_with_all_there_is():
    shown = feed(node("n-1"))
    seen = shown.seen()
    shown.herd.see(Speed(at=2.0, speed=1.0))
    assert not shown.differs(seen)
    shown.herd.see(Speed(at=3.0, speed=20.0))
    assert shown.differs(seen)
    assert shown.change(seen) is None
    assert shown.state().speed == 20.0


def test_a_heartbeat_is_not_a_changed_node():
    shown = feed(node("n-1"))
    seen = shown.seen()
    assert change(shown, Heartbeat(at=70.0, node="n-1")) == {"beats": {"n-1": 70.0}}
    assert shown.beats(seen)
    assert not shown.differs(seen)
    both = change(shown, Heartbeat(at=80.0, node="n-1"), node("n-1", "Unknown"))
    assert "beats" not in both
    assert both["nodes"][0]["beat"] == 80.0


def test_what_is_gone_is_told_unless_it_is_back():
    shown = feed(node("n-1"), node("n-2"), daemonset(1, 1, 1))
    gone = change(
        shown,
        node("n-1", verb=Verb.DELETE),
        node("n-2", verb=Verb.DELETE),
        node("n-2"),
        daemonset(1, 1, 1, verb=Verb.DELETE),
    )
    assert gone["gone"] == ["n-1"]
    assert [one["name"] for one in gone["nodes"]] == ["n-2"]
    assert gone["rollouts_gone"] == ["DaemonSet x/agent"]


def test_a_pod_that_is_bound_is_no_longer_without_a_node():
    shown = feed(node("n-1"), pod("p"))
    assert change(shown, pod("p", "n-1"))["unbound"] == []


def test_a_workload_is_told_anew_when_what_holds_it_up_changes():
    shown = feed(node("n-1"), pod("p", "n-1"), daemonset(1, 0, 1))
    told = change(shown, node("n-1", "Unknown"))
    assert "nodes that are not Ready: n-1" in told["rollouts"][0]["holds_up"]
    assert "rollouts" not in change(shown, node("n-3"))


def test_faults_and_processes_are_told_whole():
    shown = feed(node("n-1"))
    fault = Fault(id="crash", target=Nodes(names=("n-1",)), effect=Crash(), at=5.0)
    told = change(shown, FaultBegan(at=5.0, fault=fault), Process(at=5.0, name="n-1", running=True))
    assert told["faults"] == [
        {"id": "crash", "kind": "crash", "text": "crash n-1", "nodes": ["n-1"], "since": 5.0}
    ]
    assert told["processes"] == [{"name": "n-1", "running": True, "ready": False}]
    assert told["nodes"][0]["faults"] == [FaultKind.CRASH]
    assert change(shown, FaultEnded(at=6.0, id="crash"))["faults"] == []


def test_whom_too_much_was_not_told_gets_the_state():
    shown = feed(*(node(f"n-{number}") for number in range(3)))
    seen = shown.seen()
    for _ in range(MAX_GONE + 1):
        see(shown, node("n-0", verb=Verb.DELETE), node("n-0"))
    assert shown.change(seen) is None
    shown.state()
    assert shown.change(shown.seen()) is not None


def test_another_herd_is_another_state_with_a_greater_sequence():
    shown = feed(node("n-1"))
    seen = shown.seen()
    shown.become(Herd(shown.herd.sequence + 1))
    assert shown.differs(seen)
    assert shown.change(seen) is None
    assert shown.state().sequence > seen.known.sequence
