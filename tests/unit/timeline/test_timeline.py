"""From records to rows, bars, shades and marks, and to a page that is one file."""

import json
import re

from kubeherd.checks.checker import Checked
from kubeherd.faults import Clients, Component, Fault, Nodes, effects
from kubeherd.history import (
    Began,
    FaultBegan,
    FaultEnded,
    Heartbeat,
    Leads,
    Process,
    Record,
    Step,
    Verb,
    Violation,
    Write,
)
from kubeherd.timeline.model import MAX_BEATS, Kind, Look, Piece, Shade, paint
from kubeherd.timeline.page import page


def node(at: float, name: str, ready: str) -> Write:
    tree = {
        "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }
    return Write(at=at, revision=1, verb=Verb.UPDATE, resource="nodes", name=name, object=tree)


def pod(at: float, name: str, verb: Verb = Verb.UPDATE, **facts: object) -> Write:
    tree = {
        "metadata": {
            "name": name,
            "labels": {"controller-revision-hash": facts.get("revision", "one")},
            "ownerReferences": [{"kind": "DaemonSet", "name": "agent"}],
            **({"deletionTimestamp": "now"} if facts.get("deleted") else {}),
        },
        "spec": {"nodeName": facts.get("node", ""), "containers": [{"image": "app:1"}]},
        "status": {
            "phase": facts.get("phase", "Pending"),
            "conditions": [{"type": "Ready", "status": str(facts.get("ready", False))}],
        },
    }
    return Write(
        at=at, revision=1, verb=verb, resource="pods", namespace="x", name=name, uid=f"u-{name}",
        object=tree,
    )  # fmt: skip


def rows(history: list[Record]) -> dict:
    return {row.name: row for row in paint(history).rows}


def test_a_pod_is_a_bar_on_its_node_in_the_pieces_of_its_life():
    history: list[Record] = [
        Began(at=100.0, nodes=("n-1",)),
        pod(101, "a", Verb.CREATE),
        pod(102, "a", node="n-1", phase="Running"),
        pod(103, "a", node="n-1", phase="Running", ready=True),
        pod(105, "a", node="n-1", phase="Running", deleted=True),
        pod(106, "a", Verb.DELETE, node="n-1", phase="Running", deleted=True),
    ]
    (bar,) = rows(history)["n-1"].bars
    assert (bar.label, bar.about, bar.begin, bar.end) == ("a", "x/a", 1, 6)
    assert bar.pieces == [
        Piece(1, 2, Look.WAITING),
        Piece(2, 3, Look.RUNNING),
        Piece(3, 5, Look.READY),
        Piece(5, 6, Look.TERMINATING),
    ]


def test_bars_at_the_same_time_have_lanes_of_their_own_and_revisions_colours():
    history: list[Record] = [
        Began(at=0.0),
        pod(1, "a", node="n-1"),
        pod(2, "b", node="n-1", revision="two"),
        pod(3, "a", Verb.DELETE, node="n-1"),
        pod(4, "c", node="n-1", revision="two"),
        pod(5, "d"),
    ]
    picture = paint(history)
    by_name = {row.name: row for row in picture.rows}
    assert {bar.label: bar.lane for bar in by_name["n-1"].bars} == {"a": 0, "b": 1, "c": 0}
    colours = {bar.label: picture.revisions[bar.colour] for bar in by_name["n-1"].bars}
    assert colours["b"] == colours["c"] == "DaemonSet agent: two (app:1)"
    assert colours["a"] == "DaemonSet agent: one (app:1)"
    assert by_name["n-1"].lanes == 2
    assert [bar.label for bar in by_name["no node"].bars] == ["d"]


def test_rows_come_by_kind_and_natural_name():
    history: list[Record] = [
        Began(at=0.0, nodes=("node-10", "node-2")),
        Process(at=1.0, name="apiserver", running=True, ready=True),
        Leads(at=2.0, lease="kube-system/kube-controller-manager", holder="me"),
        pod(3.0, "a"),
    ]
    assert [(row.name, row.kind) for row in paint(history).rows] == [
        ("leader", Kind.LEADER),
        ("apiserver", Kind.PROCESS),
        ("node-2", Kind.NODE),
        ("node-10", Kind.NODE),
        ("no node", Kind.UNBOUND),
    ]


def test_readiness_and_process_states_are_backgrounds():
    history: list[Record] = [
        Began(at=0.0),
        node(1, "n-1", "True"),
        node(5, "n-1", "Unknown"),
        Process(at=2.0, name="apiserver", running=True, ready=True),
        Process(at=6.0, name="apiserver", running=False, why="killed"),
        Step(at=8.0, name="heal"),
    ]
    found = rows(history)
    assert found["n-1"].background == [Piece(1, 5, Look.GOOD), Piece(5, 8, Look.UNKNOWN)]
    assert found["apiserver"].background[-1] == Piece(6, 8, Look.BAD)


def test_faults_shade_whom_they_hurt_and_last_to_the_end_if_nobody_undoes_them():
    crash = Fault(id="a", target=Nodes(("n-1", "n-2")), effect=effects.Crash())
    slow = Fault(id="b", target=Component("apiserver"), effect=effects.StoreSlow(delay_s=1))
    angry = Fault(id="c", target=Clients(user="x"), effect=effects.ApiError(code=500))
    history: list[Record] = [
        Began(at=0.0),
        FaultBegan(at=1.0, fault=crash),
        FaultBegan(at=2.0, fault=slow),
        FaultBegan(at=3.0, fault=angry),
        FaultEnded(at=4.0, id="a"),
        Step(at=9.0, name="settled"),
    ]
    found = rows(history)
    assert found["n-1"].faults == found["n-2"].faults == [Shade(1, 4, "crash n-1, n-2")]
    assert found["apiserver"].faults == [Shade(2, 9, "store-slow apiserver delay-s=1")]
    assert found["clients"].faults[0].end == 9


def test_who_led_and_when():
    lease = "kube-system/kube-controller-manager"
    history: list[Record] = [
        Began(at=0.0),
        Leads(at=1.0, lease=lease, holder="first"),
        Leads(at=4.0, lease=lease, holder="second"),
        Step(at=6.0, name="heal"),
    ]
    bars = rows(history)["leader"].bars
    assert [(bar.label, bar.begin, bar.end) for bar in bars] == [("first", 1, 4), ("second", 4, 6)]


def test_a_restart_is_shown_for_as_long_as_it_took():
    """It is told when all serves again."""
    fault = Fault(id="r", target=Component("apiserver"), effect=effects.Restart(), at=102.0)
    assert rows([Began(at=100.0), FaultBegan(at=105.0, fault=fault)])["apiserver"].faults == [
        Shade(2, 5, "restart apiserver")
    ]


def test_heartbeats_are_thinned_out():
    beats: list[Record] = [Heartbeat(at=float(at), node="n-1") for at in range(3 * MAX_BEATS)]
    assert MAX_BEATS / 2 < len(rows([Began(at=0.0), *beats])["n-1"].beats) <= MAX_BEATS


def test_a_page_is_one_file_and_what_is_in_the_data_stays_data():
    evil = "</script><script>alert(1)</script>"
    found = Violation(at=1.0, promise="one-pod", text=evil)
    history: list[Record] = [Began(at=0.0), found]
    checked = [Checked("one-pod", evil, 3, (found,)), Checked("other", "Silent.", 0)]
    html = page(paint(history, evil), checked)
    assert "<script>alert" not in html
    assert not re.search(r'(src|href)="', html)
    data = re.search(r'id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert data
    assert json.loads(data[1])["marks"] == [[1.0, "violation", f"one-pod: {evil}"]]
    assert 'class="verdict bad"' in html
    assert "Silent." not in html
    told = page(paint(history), checked, "no verdict: nothing <spoke>", held=False)
    assert '<p class="verdict bad">no verdict: nothing &lt;spoke&gt;</p>' in told
    assert 'class="verdict good"' in page(paint(history[:1]), held=True)
