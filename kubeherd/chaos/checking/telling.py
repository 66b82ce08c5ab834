"""What `kubeherd check` prints: a violation and the events around it, a table. Pure."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from kubeherd.chaos.telling import words
from kubeherd.checks.checker import Verdict
from kubeherd.history import Leads, Record, Request, Told, Violation, Write

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
    """A record with its time and revision; "" for one that this story does not need: what clients
    asked and were told."""
    told = "" if isinstance(record, Request | Told | Violation) else words(record)
    if not told:
        return ""
    moment = datetime.fromtimestamp(record.at, UTC).strftime("%H:%M:%S.%f")[:-3]
    return f"{moment} {_revision(record) or '':>8}  {told}"


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
