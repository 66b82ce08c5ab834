"""The records of a history. In a file each is a line of JSON whose key `is` names it.

`at` are seconds since the epoch by the clock of whoever wrote the record: virtual ones in the
simulation; durations of the cluster are nominal, `Began.speed`, then `Speed`, says how many pass in
a second.
Records of one writer are in order; writes of a store are in the order of their revisions.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from kubeherd.faults.fault import Fault

FORMAT_VERSION: Final = 1

Object: TypeAlias = Mapping[str, Any]
"""An API object as a JSON tree, with its resourceVersion."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", omit_defaults=True):
    at: float


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who sent a request."""

    user: str = ""
    user_agent: str = ""
    fence: str = ""
    """The lease under which it acts, ``namespace/name/holder/transitions``, if it said so."""


class Verb(StrEnum):
    """What a write did to its object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Began(_Record, frozen=True, kw_only=True, tag="began"):
    """The run begins: the first record."""

    version: int = FORMAT_VERSION
    source: str = ""
    """What wrote it: ``simulation``, ``cluster`` (its API server), ``watch`` (from outside, by
    watches only), ``supervisor`` (processes and faults of a cluster, beside what that writes)."""
    seed: int = 0
    speed: float = 1.0
    """Nominal seconds in a second; 0: not known, as of a strange cluster."""
    nodes: tuple[str, ...] = ()
    revision: int = 0
    """The store's revision when it began; what exists then is in `Write`s with `restored`."""
    about: Mapping[str, str] = {}
    """Facts for people: versions, the experiment's name, the command."""


class Ended(_Record, frozen=True, kw_only=True, tag="ended"):
    """The run has ended as it should: the last record, unless the run was taken up again, as by the
    next ``kubeherd up``. A history without it is cut off."""

    revision: int = 0


class Write(_Record, frozen=True, kw_only=True, tag="write"):
    """A write that is durable. `object` is the object after it, of a delete its last state."""

    revision: int
    verb: Verb
    resource: str
    """As in RBAC, with its group: ``pods``, ``daemonsets.apps``."""
    namespace: str = ""
    name: str
    uid: str = ""
    object: Object
    actor: Actor | None = None
    """None: not known, as in a history that was made by watching."""
    restored: bool = False
    """It was there when the history began, or when a store was read back: no new write."""


class Request(_Record, frozen=True, kw_only=True, tag="request"):
    """A request and its answer, as its client saw them: `at` is when it was sent."""

    until: float
    """When the answer came, or was given up."""
    client: str
    """The name of the observer: one sequence of requests."""
    actor: Actor | None = None
    verb: str
    """As in RBAC."""
    resource: str
    namespace: str = ""
    name: str = ""
    status: int = 0
    """The HTTP status; 0: no answer, so it may or may not have been carried out."""
    revision: int = 0
    """The resourceVersion of the object or list in the answer; 0: none."""
    asked_revision: int = 0
    """The resourceVersion that was asked for, or sent as a precondition; 0: none."""
    uid: str = ""
    objects: Mapping[str, int] | None = None
    """Of a list: ``namespace/name`` (or ``name``) to resourceVersion."""
    reason: str = ""
    """The reason of a Status."""
    stale: bool = False
    """An older state was good enough for it: it asked with resourceVersion=0 or for a minimum."""
    partial: bool = False
    """Of a list: what selectors chose, or a page; `objects` is not the whole collection."""


class Told(_Record, frozen=True, kw_only=True, tag="told"):
    """An event of a watch, as an observer received it. A watch begins with type ``BEGIN`` at the
    revision after which it asked for changes, or ``LIST``, with what was listed; in one namespace
    if that event has one, else in all. Only watches without selectors are told."""

    observer: str
    watch: int
    """The number of the watch, by observer: 1, 2, ..."""
    resource: str
    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK, ERROR; BEGIN, LIST, END."""
    revision: int = 0
    namespace: str = ""
    name: str = ""
    uid: str = ""
    objects: Mapping[str, int] | None = None
    """Of a LIST: as of `Request`."""


class FaultBegan(_Record, frozen=True, kw_only=True, tag="fault"):
    """A fault is in force from here on."""

    fault: Fault


class FaultEnded(_Record, frozen=True, kw_only=True, tag="healed"):
    """A fault is undone."""

    id: str


class Process(_Record, frozen=True, kw_only=True, tag="process"):
    """A process started or ended."""

    name: str
    running: bool
    ready: bool = False
    why: str = ""
    """Of an end: ``killed``, ``exit 1``, ``stopped``; of a cluster of real processes the phase."""
    nodes: tuple[str, ...] = ()
    """The nodes whose agent it is."""


class Leads(_Record, frozen=True, kw_only=True, tag="leads"):
    """A lease has a new holder; "" for none."""

    lease: str
    """``namespace/name``."""
    holder: str
    transitions: int = 0
    revision: int = 0


HEARTBEAT_S: Final = 5.0
"""Of the heartbeats of a node one is recorded in so many nominal seconds."""


class Heartbeat(_Record, frozen=True, kw_only=True, tag="heartbeat"):
    """A node renewed its Lease; sampled: not every renewal needs a record."""

    node: str
    revision: int = 0
    renewed: float = 0.0
    """What the node's own clock says, seconds since the epoch."""


class Speed(_Record, frozen=True, kw_only=True, tag="speed"):
    """The time of the cluster goes so fast from now on, as `Began.speed` said it until now."""

    speed: float


class Step(_Record, frozen=True, kw_only=True, tag="step"):
    """What an experiment does, for people and for checks that hold from a step on.

    The steps ``heal``, ``quiet`` and ``settled`` are for all: from the first on nothing is hurt any
    more, between the second and the third the controllers have nothing to write, at the third the
    time for convergence is over.
    """

    name: str
    text: str = ""


class Violation(_Record, frozen=True, kw_only=True, tag="violation"):
    """A promise did not hold. `at` and `revision` are those of the record that showed it."""

    promise: str
    """The checker's name."""
    text: str
    """What is wrong, in one line, with the names of the objects."""
    revision: int = 0
    objects: tuple[str, ...] = ()
    """The objects concerned, ``resource namespace/name``."""


Record: TypeAlias = (
    Began
    | Ended
    | Write
    | Request
    | Told
    | FaultBegan
    | FaultEnded
    | Process
    | Leads
    | Heartbeat
    | Speed
    | Step
    | Violation
)

HEAL: Final = "heal"
QUIET: Final = "quiet"
"""Step: all has converged; until ``settled`` the controllers have nothing to write."""
SETTLED: Final = "settled"
