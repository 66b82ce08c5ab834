"""What is drawn of a herd at one moment, as values. Times are seconds since the epoch.

They are encoded as JSON as they are, so the names of their fields are what the dashboard reads.
"""

from enum import StrEnum
from typing import Final

import msgspec

_MAX_DIGITS: Final = 18


class Health(StrEnum):
    """What the Node object says of a node."""

    READY = "ready"
    NOT_READY = "not-ready"
    UNREACHABLE = "unreachable"
    """Its condition Ready is Unknown: nobody has heard of it."""
    GONE = "gone"
    """There is no such Node; pods say that they are on it."""


class Look(StrEnum):
    """The state of a pod at a glance."""

    WAITING = "waiting"
    RUNNING = "running"
    """Not Ready."""
    READY = "ready"
    TERMINATING = "terminating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pod."""

    uid: str
    namespace: str
    name: str
    node: str
    """"" while it has none."""
    owner: str
    """``DaemonSet shop/agent``; "" for none."""
    revision: str
    """The hash of the template it was made of; "" if no label tells."""
    look: Look
    restarts: int = 0
    why: str = ""
    """What is wrong with it, in a word: ``CrashLoopBackOff``."""


class Taint(msgspec.Struct, frozen=True):
    """A taint of a node."""

    key: str
    effect: str


class Tile(msgspec.Struct):
    """A node and its pods. `changed` and `beaten` say at which change of the herd it changed last,
    and a heartbeat was heard last."""

    name: str
    health: Health = Health.GONE
    zone: str = ""
    cordoned: bool = False
    taints: tuple[Taint, ...] = ()
    labels: dict[str, str] = {}
    beat: float = 0.0
    """When a heartbeat was last heard; 0: never."""
    pods: dict[str, Cell] = {}
    """By uid, oldest first."""
    faults: tuple[str, ...] = ()
    """Kinds of the faults that hurt it."""
    process: str = ""
    """What is wrong with its agent's process: ``frozen``, ``down``; "" for nothing."""
    changed: int = 0
    beaten: int = 0


class Revision(msgspec.Struct, frozen=True, omit_defaults=True):
    """One revision of a workload."""

    hash: str
    number: int
    images: tuple[str, ...] = ()
    cause: str = ""
    """``kubernetes.io/change-cause``."""
    object: str = ""
    """The name of the ControllerRevision or ReplicaSet."""


class Rollout(msgspec.Struct, omit_defaults=True):
    """How far a workload is."""

    kind: str
    namespace: str
    name: str
    desired: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    budget: int = 0
    """How many may be unavailable at once."""
    surge: int = 0
    """How many more than desired there may be."""
    revisions: tuple[Revision, ...] = ()
    """Oldest first; the last is the wanted one."""
    strategy: str = ""
    paused: bool = False
    observed: bool = True
    """Whether its controller has seen the newest spec."""
    changed: int = 0

    @property
    def key(self) -> str:
        """``DaemonSet namespace/name``, as `Cell.owner`."""
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def owners(self) -> frozenset[str]:
        """Who owns its pods, as `Cell.owner`: of a Deployment its ReplicaSets."""
        if self.kind != "Deployment":
            return frozenset({self.key})
        return frozenset(f"ReplicaSet {self.namespace}/{one.object}" for one in self.revisions)

    @property
    def unavailable(self) -> int:
        """How many of the desired are not available."""
        return max(self.desired - self.available, 0)

    @property
    def done(self) -> bool:
        """Whether all desired pods are of the wanted revision and available."""
        return self.observed and self.updated >= self.desired and self.unavailable == 0


class ProcessSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process of the cluster."""

    name: str
    running: bool
    ready: bool
    why: str = ""
    """The phase, or how it ended."""


class News(msgspec.Struct, frozen=True):
    """A line about something that happened."""

    at: float
    what: str
    """``event``, ``warning``, ``fault``, ``leader``, ``process``, ``violation``, ``step``."""
    about: str
    """``Pod shop/agent-x``, ``Node node-3``; "" for what concerns no object."""
    text: str


class Part(StrEnum):
    """A part of a herd that is told as a whole when anything in it changes."""

    UNBOUND = "unbound"
    FAULTS = "faults"
    PROCESSES = "processes"
    LEADERS = "leaders"


def natural(name: str) -> tuple[str, int, str]:
    """node-2 before node-10."""
    head = name.rstrip("0123456789")
    return (head, int(name[len(head) :][:_MAX_DIGITS] or 0), name)
