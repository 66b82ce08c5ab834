"""From the records of a history to what is drawn: rows, bars in lanes, and marks. Pure.

Times are real seconds since the history began. A row is a node, a process, or one of a few that all
runs have; the bars of a row lie in as many lanes as it takes that none covers another.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from kubeherd.checks.objects import items, labels, text
from kubeherd.faults import Fault, Nodes
from kubeherd.faults.targets import Component
from kubeherd.herd.herd import HASHES, Herd, health_of, look_of
from kubeherd.herd.model import Health, natural
from kubeherd.herd.model import Look as PodLook
from kubeherd.history import (
    Began,
    FaultBegan,
    FaultEnded,
    Heartbeat,
    Leads,
    Process,
    Record,
    Speed,
    Step,
    Verb,
    Violation,
    Write,
)

MAX_BEATS = 4000
"""Heartbeats of one node that are drawn; of more, every other one."""

UNBOUND = "no node"
CLIENTS = "clients"
LEADER = "leader"


class Kind(StrEnum):
    """What a row is about; rows come in this order."""

    LEADER = "leader"
    CLIENTS = "clients"
    PROCESS = "process"
    NODE = "node"
    UNBOUND = "unbound"


class Look(StrEnum):
    """How a piece of a bar is drawn."""

    WAITING = "waiting"
    RUNNING = "running"
    READY = "ready"
    TERMINATING = "terminating"
    ENDED = "ended"
    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    LEADS = "leads"


_LOOKS = {
    PodLook.WAITING: Look.WAITING,
    PodLook.RUNNING: Look.RUNNING,
    PodLook.READY: Look.READY,
    PodLook.TERMINATING: Look.TERMINATING,
    PodLook.SUCCEEDED: Look.ENDED,
    PodLook.FAILED: Look.ENDED,
}
_HEALTH = {
    Health.READY: Look.GOOD,
    Health.NOT_READY: Look.BAD,
    Health.UNREACHABLE: Look.UNKNOWN,
}


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A part of a bar or of a row's background."""

    begin: float
    end: float
    look: Look


class Bar(msgspec.Struct, omit_defaults=True):
    """One pod, or one holder of a lease."""

    label: str
    begin: float
    end: float
    pieces: list[Piece]
    colour: int = 0
    """Of its revision: the same number, the same revision."""
    about: str = ""
    lane: int = 0


class Shade(msgspec.Struct, frozen=True, array_like=True):
    """A fault on a row."""

    begin: float
    end: float
    label: str


class Row(msgspec.Struct):
    """One line of the picture."""

    name: str
    kind: Kind
    background: list[Piece] = []
    beats: list[float] = []
    bars: list[Bar] = []
    faults: list[Shade] = []
    lanes: int = 0


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A moment: ``violation``, ``step``, or what was ``did`` by users and experiment."""

    at: float
    what: str
    text: str


class Picture(msgspec.Struct):
    """All that is drawn."""

    title: str
    duration: float
    speed: float
    rows: list[Row]
    marks: list[Mark]
    revisions: list[str]
    """By colour: what it stands for."""


class _Open(msgspec.Struct):
    """A bar or background that goes on."""

    since: float
    look: Look
    pieces: list[Piece] = []
    began: float = 0.0

    def becomes(self, at: float, look: Look) -> None:
        if look is not self.look:
            self.pieces.append(Piece(self.since, at, self.look))
            self.since, self.look = at, look


class _Pod(msgspec.Struct):
    bar: _Open
    name: str
    node: str
    revision: str
    about: str


class Painter:
    """Takes the records of one history, in order; `picture` at the end."""

    def __init__(self) -> None:
        self._zero: float | None = None
        self._now = 0.0
        self._began = Began(at=0.0)
        self._rows: dict[str, Row] = {}
        self._states: dict[str, _Open] = {}
        self._pods: dict[str, _Pod] = {}
        self._leading: dict[str, tuple[str, float]] = {}
        self._faults: dict[str, tuple[Fault, float]] = {}
        self._colours: dict[str, int] = {}
        self._marks: list[Mark] = []

    def begin(self, herd: Herd, at: float) -> None:
        """Begin at a moment with what there was then, instead of with the first record."""
        self._zero, self._began = at, herd.began
        images = {
            one.hash: (*one.images, "")[0]
            for rollout in herd.rollouts.values()
            for one in rollout.revisions
        }
        for name, tile in herd.nodes.items():
            self._row(name, Kind.NODE)
            self._state(name, _HEALTH.get(tile.health, Look.UNKNOWN))
        for cell in herd.pods():
            name = _revision_name(cell.owner, cell.revision, images.get(cell.revision, ""))
            open_ = _Open(0.0, _LOOKS[cell.look])
            about = f"{cell.namespace}/{cell.name}"
            self._pods[cell.uid] = _Pod(open_, cell.name, cell.node, name, about)
        for process in herd.processes.values():
            self._process(
                Process(at=at, name=process.name, running=process.running, ready=process.ready)
            )
        for fault in herd.faults.values():
            self._faults[fault.id] = (fault, 0.0)
        for lease, holder in herd.leaders.items():
            if holder:
                self._leading[lease] = (holder, 0.0)

    def see(self, record: Record) -> None:
        """The next record."""
        if self._zero is None:
            self._zero = record.at
        self._now = max(self._now, record.at - self._zero)
        match record:
            case Began():
                self._began = record
                for name in record.nodes:
                    self._row(name, Kind.NODE)
            case Speed():
                self._began = msgspec.structs.replace(self._began, speed=record.speed)
            case Write(resource="nodes"):
                self._node(record)
            case Write(resource="pods"):
                self._pod(record)
            case Heartbeat():
                self._row(record.node, Kind.NODE).beats.append(self._now)
            case FaultBegan():
                since = record.fault.at - self._zero if record.fault.at else self._now
                self._faults[record.fault.id] = (record.fault, min(max(since, 0.0), self._now))
                if not record.fault.undoable:
                    self._shade(record.fault.id)
            case FaultEnded():
                self._shade(record.id)
            case Process():
                self._process(record)
            case Leads():
                self._leads(record)
            case Step() | Violation():
                self._marks.append(_mark(self._now, record))

    def picture(self, title: str = "") -> Picture:
        """What there is to draw."""
        for name, open_ in self._states.items():
            self._rows[name].background = [*open_.pieces, Piece(open_.since, self._now, open_.look)]
        for uid in list(self._pods):
            self._end(uid)
        for lease in list(self._leading):
            self._deposed(lease)
        for fault_id in list(self._faults):
            self._shade(fault_id)
        order = list(Kind)
        rows = sorted(
            self._rows.values(), key=lambda row: (order.index(row.kind), natural(row.name))
        )
        for row in rows:
            row.lanes = _into_lanes(row.bars)
            while len(row.beats) > MAX_BEATS:
                row.beats = row.beats[::2]
        about = self._began.about.get("experiment", "") or self._began.source
        seed = f", seed {self._began.seed}" if self._began.seed else ""
        return Picture(
            title=title or f"{about}{seed}",
            duration=max(self._now, 0.001),
            speed=self._began.speed,
            rows=rows,
            marks=self._marks,
            revisions=list(self._colours),
        )

    def _row(self, name: str, kind: Kind) -> Row:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = Row(name, kind)
        return row

    def _node(self, record: Write) -> None:
        self._row(record.name, Kind.NODE)
        look = Look.UNKNOWN if record.verb is Verb.DELETE else _HEALTH[health_of(record.object)]
        self._state(record.name, look)

    def _state(self, name: str, look: Look) -> None:
        state = self._states.get(name)
        if state is None:
            self._states[name] = _Open(self._now, look)
        else:
            state.becomes(self._now, look)

    def _pod(self, record: Write) -> None:
        tree = record.object
        pod = self._pods.get(record.uid)
        if pod is None:
            look = _LOOKS[look_of(tree)]
            pod = _Pod(
                _Open(self._now, look, began=self._now), record.name, "", _revision(tree), ""
            )
            self._pods[record.uid] = pod
        pod.node = text(tree, "spec", "nodeName") or pod.node
        pod.about = f"{record.namespace}/{record.name}"
        if record.verb is Verb.DELETE:
            self._end(record.uid)
        else:
            pod.bar.becomes(self._now, _LOOKS[look_of(tree)])

    def _end(self, uid: str) -> None:
        pod = self._pods.pop(uid)
        row = self._row(pod.node or UNBOUND, Kind.NODE if pod.node else Kind.UNBOUND)
        pieces = [*pod.bar.pieces, Piece(pod.bar.since, self._now, pod.bar.look)]
        colour = self._colours.setdefault(pod.revision, len(self._colours))
        row.bars.append(Bar(pod.name, pod.bar.began, self._now, pieces, colour, pod.about))

    def _process(self, record: Process) -> None:
        name = record.name
        is_node = name in self._rows and self._rows[name].kind is Kind.NODE
        if is_node or name in record.nodes:  # of a node its own object tells
            return
        self._row(name, Kind.PROCESS)
        good = Look.GOOD if record.ready else Look.UNKNOWN
        self._state(name, good if record.running else Look.BAD)

    def _leads(self, record: Leads) -> None:
        self._deposed(record.lease)
        if record.holder:
            self._leading[record.lease] = (record.holder, self._now)

    def _deposed(self, lease: str) -> None:
        if lease in self._leading:
            holder, since = self._leading.pop(lease)
            piece = Piece(since, self._now, Look.LEADS)
            bar = Bar(holder, since, self._now, [piece], about=lease)
            self._row(LEADER, Kind.LEADER).bars.append(bar)

    def _shade(self, fault_id: str) -> None:
        if fault_id not in self._faults:
            return
        fault, since = self._faults.pop(fault_id)
        shade = Shade(since, self._now, str(fault))
        if isinstance(fault.target, Nodes):
            rows = [self._row(name, Kind.NODE) for name in fault.target.names]
        elif isinstance(fault.target, Component):
            rows = [self._row(fault.target.name, Kind.PROCESS)]
        else:
            rows = [self._row(CLIENTS, Kind.CLIENTS)]
        for row in rows:
            row.faults.append(shade)


def paint(history: Iterable[Record], title: str = "") -> Picture:
    """The picture of a whole history."""
    painter = Painter()
    for record in history:
        painter.see(record)
    return painter.picture(title)


def _mark(at: float, record: Step | Violation) -> Mark:
    if isinstance(record, Violation):
        return Mark(at, "violation", f"{record.promise}: {record.text}")
    if record.name == "did":
        return Mark(at, "did", record.text)
    return Mark(at, "step", f"{record.name}: {record.text}")


def _revision(pod: Mapping[str, Any]) -> str:
    owners, containers = (
        items(pod, *path) for path in (("metadata", "ownerReferences"), ("spec", "containers"))
    )
    owner = f"{text(owners[0], 'kind')} {text(owners[0], 'name')}" if owners else ""
    own = labels(pod)
    found = next((str(own[label]) for label in HASHES if label in own), "")
    return _revision_name(owner, found, text(containers[0], "image") if containers else "")


def _revision_name(owner: str, revision: str, image: str) -> str:
    """``DaemonSet agent: 5d9c7b (agent:2)``; the namespace in an owner is left out."""
    kind, _, name = owner.partition(" ")
    shown = f"{kind} {name.rpartition('/')[2]}" if owner else "no owner"
    return f"{shown}: {revision} ({image})" if revision else shown


def _busy_until(bar: Bar) -> float:
    """A pod that has ended makes room: what is left of it may be drawn over."""
    last = bar.pieces[-1]
    return last.begin if last.look is Look.ENDED else last.end


def _into_lanes(bars: list[Bar]) -> int:
    """Give each bar the first lane that is free; how many lanes there are."""
    free: list[float] = []
    for bar in sorted(bars, key=lambda bar: (bar.begin, bar.label)):
        lanes = [lane for lane, until in enumerate(free) if until <= bar.begin]
        bar.lane = lanes[0] if lanes else len(free)
        free[bar.lane : bar.lane + 1] = [_busy_until(bar)]
    return len(free)
