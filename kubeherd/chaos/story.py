"""What a runner keeps of the history that it hears: the cluster as it was last told, and the story
of the first violation. Pure."""

from collections import deque

from kubeherd.chaos.telling import words
from kubeherd.checks.objects import about
from kubeherd.checks.writes import NOISE
from kubeherd.history import (
    Began,
    Heartbeat,
    Record,
    Request,
    Speed,
    Told,
    Verb,
    Violation,
    Write,
)

STORY_RECORDS = 400
"""What is looked through for the story of a violation."""

LEASE = ("leases.coordination.k8s.io", "kube-system", "kube-controller-manager")


class Seen:
    """What the runner knows of the cluster, from its history: the API server may be down."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {}
        """Of the Nodes, by name."""
        self.leader = ""
        """Who holds the controller managers' lease."""
        self.speed = 1.0
        """Nominal seconds in a second."""
        self._renewed: dict[str, float] = {}
        """The newest time in the Lease of each node."""

    def see(self, record: Record) -> None:
        """The next record."""
        if isinstance(record, Began | Speed):
            self.speed = record.speed or 1.0
        elif isinstance(record, Write):
            self._write(record)

    def hears(self, beat: Heartbeat) -> bool:
        """Whether the node controller takes this for a sign of life: a Lease whose time goes back,
        as that of a clock that was ahead does, is none (checks.safety.silence)."""
        newer = beat.renewed > self._renewed.get(beat.node, 0.0)
        if newer:
            self._renewed[beat.node] = beat.renewed
        return newer

    def _write(self, record: Write) -> None:
        if record.resource == "nodes":
            if record.verb is Verb.DELETE:
                self.labels.pop(record.name, None)
            else:
                self.labels[record.name] = record.object["metadata"].get("labels") or {}
        elif (record.resource, record.namespace, record.name) == LEASE:
            self.leader = record.object["spec"].get("holderIdentity") or ""


class Story:
    """The records before the first violation that tell how it came to it."""

    def __init__(self) -> None:
        self._before: deque[Record] = deque(maxlen=STORY_RECORDS)
        self._began_at = 0.0
        self.lines: list[str] = []

    def see(self, record: Record) -> None:
        """The next record."""
        if isinstance(record, Began):
            self._began_at = record.at
        if not self.lines and not (isinstance(record, Write) and record.resource in NOISE):
            self._before.append(record)

    def end(self, violation: Violation) -> None:
        """A violation: the first one ends the story."""
        if self.lines:
            return
        told = [record for record in self._before if _concerns(record, violation)]
        self.lines = [f"{record.at - self._began_at:8.1f} s  {words(record)}" for record in told]


def _concerns(record: Record, violation: Violation) -> bool:
    """Whether it has a part in the story; one that names no objects may be about any, and about
    requests of the resources of which it speaks."""
    if isinstance(record, Write | Request | Told) and violation.objects:
        return about(record) in violation.objects and bool(words(record))
    if isinstance(record, Request | Told):
        return record.resource in violation.text
    return bool(words(record))
