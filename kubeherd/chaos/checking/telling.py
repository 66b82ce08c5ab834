"""What `kubeherd check` prints: a violation and the events around it, a table. Pure."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from kubeherd.checks.checker import Verdict
from kubeherd.checks.objects import going, key, part, ready, text
from kubeherd.history import (
    FaultBegan,
    FaultEnded,
    Leads,
    Process,
    Record,
    Step,
    Verb,
    Violation,
    Write,
)

BEFORE: Final = 12
AFTER: Final = 5
"""Records around a violation that are shown."""


class Surroundings:
    """Keeps the records around the first violation; `complete` when there are enough after it."""

    def __init__(self) -> None:
        self.violation: Violation | None = None
        self._before: deque[Record] = deque(maxlen=BEFORE)
        self._after: list[Record] = []

    def see(self, record: Record, found: Sequence[Violation]) -> None:
        """The next record, and the violations that it shows."""
        if line(record):
            if self.violation is None:
                self._before.append(record)
            elif not self.complete:
                self._after.append(record)
        if found and self.violation is None:
            self.violation = found[0]

    def ended(self, found: Sequence[Violation]) -> None:
        """What turned out only when all had been seen: then the records before do not matter."""
        if found and self.violation is None:
            self.violation = found[0]
            self._before.clear()

    @property
    def complete(self) -> bool:
        """Whether nothing more is needed."""
        return self.violation is not None and len(self._after) >= AFTER

    def lines(self) -> Iterator[str]:
        """The violation, and what was before and after it."""
        violation = self.violation
        if violation is None:
            return
        at = f" at revision {violation.revision}" if violation.revision else ""
        yield f"{violation.promise} is broken{at}: {violation.text}"
        for record in (*self._before, *self._after):
            shows = bool(violation.revision) and _revision(record) == violation.revision
            yield f"{'>' if shows else ' '} {line(record)}"


def _revision(record: Record) -> int:
    return record.revision if isinstance(record, Write | Leads) else 0


def line(record: Record) -> str:
    """A record in one line; "" for one that no story needs."""
    moment = datetime.fromtimestamp(record.at, UTC).strftime("%H:%M:%S.%f")[:-3]
    match record:
        case Write() if record.restored or _renewal(record):
            return ""
        case Write():
            name = f"{record.resource} {key(record.namespace, record.name)}"
            who = f" by {record.actor.user}" if record.actor and record.actor.user else ""
            facts = ", ".join(_facts(record))
            told = f"{record.revision:>8}  {record.verb:6} {name}{f' ({facts})' * bool(facts)}{who}"
        case FaultBegan():
            told = f"{'':8}  fault  {record.fault}"
        case FaultEnded():
            told = f"{'':8}  healed {record.id}"
        case Leads():
            told = f"{record.revision:>8}  leads  {record.holder or 'nobody'} ({record.lease})"
        case Process():
            state = "runs" if record.running else f"ended ({record.why})"
            told = f"{'':8}  {record.name} {state}"
        case Step():
            told = f"{'':8}  step   {record.name} {record.text}".rstrip()
        case _:
            return ""
    return f"{moment} {told}"


def _renewal(write: Write) -> bool:
    """A lease that its holder keeps: it is written all the time. A new holder's has just been
    acquired."""
    spec = part(write.object, "spec")
    return (
        write.resource == "leases.coordination.k8s.io"
        and write.verb is Verb.UPDATE
        and bool(spec.get("holderIdentity"))
        and spec.get("acquireTime") != spec.get("renewTime")
    )


def _facts(write: Write) -> Iterator[str]:
    tree = write.object
    if write.resource == "pods":
        yield text(tree, "status", "phase") or "no phase"
        if ready(tree):
            yield "ready"
        node = text(tree, "spec", "nodeName")
        if node:
            yield f"on {node}"
    elif write.resource == "nodes":
        yield "ready" if ready(tree) else "not ready"
    elif write.resource == "leases.coordination.k8s.io":
        yield f"holder {text(tree, 'spec', 'holderIdentity') or 'nobody'}"
    elif write.resource == "events":
        yield f"{text(tree, 'reason')}: {text(tree, 'message') or text(tree, 'note')}"
    elif "replicas" in part(tree, "spec"):
        yield f"{part(tree, 'spec')['replicas']} replicas"
    if going(tree):
        yield "being deleted"


def table(verdict: Verdict) -> Iterator[str]:
    """A line for each promise: how often it was looked at, and whether it was broken."""
    width = max((len(one.name) for one in verdict.checked), default=0)
    for one in verdict.checked:
        if one.violations:
            first, more = one.violations[0], len(one.violations) - 1
            state = f"BROKEN: {first.text}{f' (and {more} more)' * bool(more)}"
        elif one.looked_at:
            state = f"kept, looked at {one.looked_at:,} times"
        else:
            state = "not checked: nothing spoke of it"
        yield f"{one.name:{width}}  {state}"
