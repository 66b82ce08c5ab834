"""Earlier moments of a herd: as it was then, however much has been forgotten."""

import msgspec
import pytest
from herdrecords import daemonset, node, pod, revision, write

from kubeherd.dashboard import views
from kubeherd.dashboard.past import archive
from kubeherd.dashboard.past.lanes import MAX_SAMPLES, Recorder
from kubeherd.dashboard.past.moments import Forgotten, Moments
from kubeherd.faults import Fault, Nodes
from kubeherd.faults.effects import Freeze
from kubeherd.herd.herd import Herd
from kubeherd.herd.saving import restored, saved
from kubeherd.history import FaultBegan, Heartbeat, Leads, Process, Record, Step, Verb, Write

TAINTS = [{"key": "k", "effect": "NoSchedule"}]
RUN: tuple[Record, ...] = (
    node("n-1", at=1.0, zone="a", spec={"unschedulable": True, "taints": TAINTS}),
    daemonset(2, 1, 1, at=2.0),
    revision(1, "one", "agent:1"),
    pod("p", "n-1", at=3.0),
    pod("q", at=4.0, containers=[{"state": {"waiting": {"reason": "ErrImagePull"}}}]),
    pod("r", "n-1", at=4.5, deleted=True, containers=[{"restartCount": 3}]),
    pod("s", "n-1", at=4.6, phase="Failed"),
    Process(at=5.0, name="agent-0", running=True, why="frozen", nodes=("n-1",)),
    Leads(at=6.0, lease="kube-system/x", holder="me"),
    FaultBegan(
        at=7.0, fault=Fault(id="f", target=Nodes(names=("n-1",)), effect=Freeze(), at=7.0)
    ),
    Step(at=8.0, name="step", text="on"),
    Heartbeat(at=9.0, node="n-1"),
    node("n-2", at=10.0),
    pod("p", "n-1", Verb.DELETE, at=11.0),
    node("n-1", "Unknown", at=12.0),
)  # fmt: skip


def see(moments: Moments, herd: Herd, record: Record) -> None:
    told = moments.shape(record) if isinstance(record, Write) else record
    moments.see(told, herd)
    herd.see(told)


def shown(herd: Herd) -> bytes:
    """All of a herd that is shown, but not when it changed."""
    return msgspec.json.encode(msgspec.structs.replace(views.state(herd, at=0.0), sequence=0))


def test_every_moment_is_as_it_was():
    moments, herd, states = Moments(), Herd(), {}
    for record in RUN:
        see(moments, herd, record)
        states[herd.now] = shown(herd)
    assert {at: shown(moments.at(at)()) for at in states} == states
    assert shown(moments.at(11.5)()) == states[11.0]
    with pytest.raises(Forgotten):
        moments.at(0.5)


def test_what_is_kept_of_an_object_shows_the_same_herd():
    whole, slim = Herd(), Herd()
    moments = Moments()
    for record in RUN:
        whole.see(record)
        see(moments, slim, record)
        assert shown(whole) == shown(slim)


def test_a_herd_is_the_same_when_it_is_read_back():
    herd = Herd()
    for record in RUN:
        herd.see(record)
        again = restored(saved(herd, 100))
        assert shown(again) == shown(herd)
    herd.see(pod("q", verb=Verb.DELETE))
    again.see(pod("q", verb=Verb.DELETE))
    assert shown(again) == shown(herd)


def test_a_lease_is_a_heartbeat():
    def lease(at: float) -> Write:
        metadata = {"name": "n-1", "namespace": "kube-node-lease"}
        tree = {"metadata": metadata, "spec": {"renewTime": "1970-01-01T00:00:07Z"}}
        return write("leases.coordination.k8s.io", tree, at=at)

    moments, herd = Moments(), Herd()
    for record in (node("n-1", at=1.0), lease(8.0), lease(18.0)):
        see(moments, herd, record)
    assert [moments.at(at)().nodes["n-1"].beat for at in (2.0, 9.0, 19.0)] == [0.0, 8.0, 18.0]


def test_the_oldest_is_forgotten_and_the_rest_stays_true(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, "PART_BYTES", 4000)
    monkeypatch.setattr(archive, "_BLOCK_BYTES", 1000)
    moments, herd, states = Moments(limit=6000), Herd(), {}
    for number in range(400):
        see(moments, herd, pod(f"p-{number % 7}", "n-1", at=float(number), hash=str(number)))
        states[float(number)] = shown(herd)
    oldest, newest = moments.range
    assert (0.0 < oldest < 399.0, newest) == (True, 399.0)
    known = [at for at in states if at >= oldest]
    assert all(shown(moments.at(at)()) == states[at] for at in known)
    with pytest.raises(Forgotten):
        moments.at(oldest - 1)


def test_objects_as_they_were_and_that_they_are_gone():
    moments, herd = Moments(), Herd()
    for record in RUN:
        see(moments, herd, record)
    past = [moments.object("pods", "x", "p", at)() for at in (2.0, 3.5, 99.0)]
    assert [one and one.gone for one in past] == [None, False, True]
    assert past[1] is not None
    assert past[1].object["metadata"]["ownerReferences"]


def test_what_is_written_of_an_object_after_a_moment():
    moments, herd = Moments(), Herd()
    for record in RUN:
        see(moments, herd, record)
    found = [moments.next_write("pods", "x", "p", at)() for at in (2.0, 3.0, 11.0)]
    assert [one and (one.at, one.verb) for one in found] == [
        (3.0, Verb.UPDATE),
        (11.0, Verb.DELETE),
        None,
    ]


def test_a_timeline_begins_with_what_there_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, "PART_BYTES", 1)  # each record begins a part
    moments, herd = Moments(), Herd()
    for record in RUN:
        see(moments, herd, record)
    whole = moments.picture(float("-inf"), float("inf"), "t")()
    late = moments.picture(10.5, float("inf"), "t")()
    assert (whole.zero, late.zero, late.duration) == (1.0, 10.0, 2.0)
    rows = {row.name: row for row in late.rows}
    assert rows["n-1"].bars[0].label == "p"
    assert [piece.look for piece in rows["n-1"].background] == ["good", "unknown"]
    assert rows["n-1"].faults[0].label == "freeze n-1"
    assert set(late.revisions) == {"DaemonSet agent: one (agent:1)"}


def test_lanes_are_bounded_and_keep_beginning_and_end():
    recorder, herd = Recorder(), Herd()
    for number in range(3 * MAX_SAMPLES):
        herd.see(node(f"n-{number % 50}", str(number % 3 == 0), at=float(number)))
        recorder.look(herd, herd.now)
        recorder.look(herd, herd.now + 0.5)
    lanes = recorder.lanes()
    assert len(lanes.samples) <= MAX_SAMPLES
    assert (lanes.samples[0].at, lanes.samples[-1].at) == (0.0, 3.0 * MAX_SAMPLES - 1)
    assert [one.at for one in lanes.samples] == sorted(one.at for one in lanes.samples)


def test_lanes_have_the_marks():
    recorder, herd = Recorder(), Herd()
    for record in RUN:
        herd.see(record)
        recorder.look(herd, herd.now)
    assert [(one.what, one.text) for one in recorder.lanes().marks] == [
        ("leader", "me holds kube-system/x"),
        ("fault", "fault freeze n-1"),
        ("step", "step on"),
    ]
