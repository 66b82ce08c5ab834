"""The herd as the records of a history tell of it, one after the other. Pure.

The same code shows a cluster that lives and a moment of a recorded run: whoever wants an earlier
moment lets another `Herd` see the records up to it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from kubeherd.checks.objects import (
    at,
    condition,
    controller_of,
    going,
    items,
    key,
    labels,
    number,
    part,
    ready,
    seconds,
    text,
)
from kubeherd.faults import Fault, Nodes
from kubeherd.faults.targets import ZONE
from kubeherd.herd import rollouts
from kubeherd.herd.model import (
    Cell,
    Health,
    Look,
    News,
    Part,
    ProcessSeen,
    Rollout,
    Taint,
    Tile,
)
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
from kubeherd.history.records import Object

NEEDS: Final = frozenset(
    {
        "nodes",
        "pods",
        "events",
        "leases.coordination.k8s.io",
        "controllerrevisions.apps",
        *rollouts.WORKLOADS,
    }
)
"""The resources of which a herd is made, as RBAC names them."""
NEWS: Final = frozenset({"events"})
"""Those of them of which it takes no interest in what is there already."""
MAX_NEWS: Final = 1000
MAX_GONE: Final = 10_000
HASHES: Final = ("controller-revision-hash", "pod-template-hash")

_WELL: Final = ("", "running")
"""The phases of a process with which nothing is wrong."""
_BEATS: Final = "kube-node-lease"
_HEALTH: Final = {"True": Health.READY, "False": Health.NOT_READY}


class Herd:
    """`see` every record; read the rest. `sequence` grows with every change, from what it is given
    to begin with, and what changed says at which one it did."""

    def __init__(self, sequence: int = 0) -> None:
        self.began = Began(at=0.0)
        self.now = 0.0
        """The time of the newest record."""
        self.revision = 0
        self.sequence = self.moved = sequence
        """`moved`: the newest change that was no heartbeat."""
        self.nodes: dict[str, Tile] = {}
        self.unbound: dict[str, Cell] = {}
        """Pods without a node, by uid."""
        self.rollouts: dict[str, Rollout] = {}
        self.faults: dict[str, Fault] = {}
        self.processes: dict[str, ProcessSeen] = {}
        self.leaders: dict[str, str] = {}
        """By lease, ``namespace/name``, who holds it."""
        self.news: deque[News] = deque(maxlen=MAX_NEWS)
        self.told = 0
        """How many news there were in all."""
        self.changed = dict.fromkeys(Part, 0)
        """At which change a part changed last."""
        self.gone: deque[tuple[int, str]] = deque(maxlen=MAX_GONE)
        """The newest nodes that are no more, with the change that ended them, and.."""
        self.rollouts_gone: deque[tuple[int, str]] = deque(maxlen=MAX_GONE)
        """.. workloads."""
        self._where: dict[str, str] = {}
        """The node of each pod, by uid."""
        self._ill: dict[str, str] = {}
        """What is wrong with the process of a node."""
        self.sources = rollouts.Sources()
        """Of what the rollouts are made."""
        self._takes: dict[str, Callable[[Write], None]] = {
            "nodes": self._node,
            "pods": self._pod,
            "events": self._event,
            "leases.coordination.k8s.io": self._lease,
        }

    def see(self, record: Record) -> None:
        """The next record."""
        self.now = max(self.now, record.at)
        match record:
            case Write():
                self._write(record)
            case Heartbeat():
                self._beat(record.node, record.at)
            case Began():
                self.began = record
            case Speed():
                self.began = msgspec.structs.replace(self.began, speed=record.speed)
            case FaultBegan() | FaultEnded():
                self._fault(record)
            case Process():
                self._process(record)
            case Leads():
                self._leads(record.lease, record.holder, record.at)
            case Step():
                self._tell(record.at, "step", "", f"{record.name} {record.text}".rstrip())
            case Violation():
                about = ", ".join(record.objects)
                self._tell(record.at, "violation", about, f"{record.promise}: {record.text}")

    def take(self, nodes: Iterable[Tile], unbound: Iterable[Cell]) -> None:
        """Begin with these nodes and pods."""
        self.nodes = {one.name: one for one in nodes}
        self.unbound = {one.uid: one for one in unbound}
        self._where = {one.uid: one.node for one in self.pods()}
        self._ill = {one.name: one.process for one in self.nodes.values()}

    def pods(self) -> Iterator[Cell]:
        """All pods."""
        for tile in self.nodes.values():
            yield from tile.pods.values()
        yield from self.unbound.values()

    def holds_up(self, rollout: Rollout) -> list[str]:
        """Why a rollout does not go on, a line each; nothing if it is done."""
        return rollouts.holds_up(rollout, self.nodes, self.unbound)

    # --- objects ---

    def _write(self, write: Write) -> None:
        self.revision = max(self.revision, write.revision)
        take = self._takes.get(write.resource)
        if take is not None:
            take(write)
        elif write.resource in rollouts.SOURCES:
            changed = self.sources.see(write)
            for one in changed:
                found = self.sources.rollout(one)
                if found is None:
                    self.rollouts.pop(one, None)
                    self.rollouts_gone.append((self._next(), one))
                else:
                    found.changed = self._next()
                    self.rollouts[one] = found

    def _node(self, write: Write) -> None:
        tree = write.object
        tile = self._tile(write.name)
        if write.verb is Verb.DELETE:
            tile.changed = self._next()
            self.nodes[write.name] = gone = Tile(write.name, pods=tile.pods, changed=tile.changed)
            gone.faults, gone.process = tile.faults, tile.process
            self._tidy(write.name)
            return
        before, was = tile.health, _said(tile)
        tile.health = health_of(tree)
        tile.labels = {name: str(value) for name, value in labels(tree).items()}
        tile.zone = tile.labels.get(ZONE, "")
        tile.cordoned = at(tree, "spec", "unschedulable") is True
        tile.taints = tuple(
            Taint(text(one, "key"), text(one, "effect")) for one in items(tree, "spec", "taints")
        )
        if _said(tile) != was:
            tile.changed = self._next()
        if tile.health is not Health.UNREACHABLE:
            self._beat(write.name, seconds(condition(tree, "Ready").get("lastHeartbeatTime")))
        if not write.restored and before not in (tile.health, Health.GONE):
            what = "event" if tile.health is Health.READY else "warning"
            self._tell(write.at, what, f"Node {write.name}", f"is {tile.health}")

    def _pod(self, write: Write) -> None:
        tree = write.object
        node = text(tree, "spec", "nodeName")
        before = self._where.get(write.uid)
        if before is not None and (before != node or write.verb is Verb.DELETE):
            self._take_away(write.uid, before)
        if write.verb is Verb.DELETE:
            return
        cell = _cell(write, node)
        self._where[write.uid] = node
        if node:
            tile = self._tile(node)
            tile.pods[write.uid] = cell
            tile.changed = self._next()
        else:
            self.unbound[write.uid] = cell
            self._part(Part.UNBOUND)

    def _take_away(self, uid: str, node: str) -> None:
        del self._where[uid]
        if not node:
            del self.unbound[uid]
            self._part(Part.UNBOUND)
            return
        tile = self._tile(node)
        del tile.pods[uid]
        tile.changed = self._next()
        self._tidy(node)

    def _tidy(self, node: str) -> None:
        """A node that is gone stays for as long as pods say that they are on it."""
        tile = self.nodes[node]
        if tile.health is Health.GONE and not tile.pods:
            del self.nodes[node]
            self.gone.append((self._next(), node))

    def _lease(self, write: Write) -> None:
        gone = write.verb is Verb.DELETE
        if write.namespace == _BEATS:
            if not gone:
                self._beat(write.name, _renewed(write) if write.restored else write.at)
            return
        holder = "" if gone else text(write.object, "spec", "holderIdentity")
        self._leads(key(write.namespace, write.name), holder, write.at, quiet=write.restored)

    def _event(self, write: Write) -> None:
        tree = write.object
        if write.verb is Verb.DELETE or write.restored:
            return
        of = part(tree, "involvedObject") or part(tree, "regarding")
        about = f"{text(of, 'kind')} {key(text(of, 'namespace'), text(of, 'name'))}"
        what = "warning" if text(tree, "type") == "Warning" else "event"
        said = text(tree, "message") or text(tree, "note")
        self._tell(write.at, what, about, f"{text(tree, 'reason')}: {said}")

    # --- what else happens ---

    def _beat(self, node: str, moment: float) -> None:
        tile = self.nodes.get(node)
        if tile is not None and moment > tile.beat:
            tile.beat = moment
            self.sequence += 1
            tile.beaten = self.sequence

    def _leads(self, lease: str, holder: str, moment: float, *, quiet: bool = False) -> None:
        if self.leaders.get(lease, "") == holder:
            return
        self.leaders[lease] = holder
        self._part(Part.LEADERS)
        if not quiet:
            self._tell(moment, "leader", "", f"{holder or 'nobody'} holds {lease}")

    def _process(self, record: Process) -> None:
        is_news = record.name in self.processes or not record.running
        seen = ProcessSeen(record.name, record.running, record.ready, record.why)
        self.processes[record.name] = seen
        self._part(Part.PROCESSES)
        for name in record.nodes or ((record.name,) if record.name in self.nodes else ()):
            well = record.running and record.why in _WELL
            self._ill[name] = "" if well else record.why or "killed"
            self._hurt(name)
        if not is_news:
            return
        how = "runs" if record.running else "does not run"
        why = f" ({record.why})" if record.why else ""
        self._tell(record.at, "process", "", f"{record.name} {how}{why}")

    def _fault(self, record: FaultBegan | FaultEnded) -> None:
        if isinstance(record, FaultBegan):
            fault, word = record.fault, "fault"
            if fault.undoable:
                self.faults[fault.id] = fault
        else:
            ended = self.faults.pop(record.id, None)
            if ended is None:
                return
            fault, word = ended, "healed:"
        self._part(Part.FAULTS)
        self._tell(record.at, "fault", "", f"{word} {fault}")
        names = fault.target.names if isinstance(fault.target, Nodes) else ()
        for name in names:
            self._hurt(name)

    def _hurt(self, name: str) -> None:
        """Look at what is wrong with a node; one that is not there (yet) is not shown for that."""
        tile = self.nodes.get(name)
        if tile is None:
            return
        tile.process = self._ill.get(name, "")
        tile.faults = tuple(
            one.kind.value
            for one in self.faults.values()
            if isinstance(one.target, Nodes) and name in one.target.names
        )
        tile.changed = self._next()

    def _tile(self, name: str) -> Tile:
        if name not in self.nodes:
            self.nodes[name] = Tile(name)
            self._hurt(name)
        return self.nodes[name]

    def _tell(self, moment: float, what: str, about: str, said: str) -> None:
        self.news.append(News(moment, what, about, said))
        self.told += 1
        self._next()

    def _part(self, part: Part) -> None:
        self.changed[part] = self._next()

    def _next(self) -> int:
        self.sequence += 1
        self.moved = self.sequence
        return self.sequence


def _said(tile: Tile) -> tuple[object, ...]:
    """What a Node says besides that it is there still."""
    return tile.health, tile.labels, tile.cordoned, tile.taints


def _renewed(lease: Write) -> float:
    return seconds(at(lease.object, "spec", "renewTime"))


def _cell(write: Write, node: str) -> Cell:
    tree = write.object
    owner = controller_of(tree)
    of = f"{text(owner, 'kind')} {write.namespace}/{text(owner, 'name')}" if owner else ""
    own_labels = labels(tree)
    containers = items(tree, "status", "containerStatuses")
    return Cell(
        uid=write.uid,
        namespace=write.namespace,
        name=write.name,
        node=node,
        owner=of,
        revision=next((str(own_labels[one]) for one in HASHES if one in own_labels), ""),
        look=look_of(tree),
        restarts=sum(number(one, "restartCount") for one in containers),
        why=next(
            (why for one in containers if (why := text(one, "state", "waiting", "reason"))),
            text(tree, "status", "reason"),
        ),
    )


def health_of(node: Object) -> Health:
    """What a Node says of itself."""
    return _HEALTH.get(text(condition(node, "Ready"), "status"), Health.UNREACHABLE)


def look_of(pod: Object) -> Look:
    """The state of a pod at a glance."""
    phase = text(pod, "status", "phase")
    if phase == "Succeeded":
        return Look.SUCCEEDED
    if phase == "Failed":
        return Look.FAILED
    if going(pod):
        return Look.TERMINATING
    if ready(pod):
        return Look.READY
    return Look.RUNNING if phase == "Running" else Look.WAITING
