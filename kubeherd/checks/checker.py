"""What a checker is, and a verdict: a promise looked at on every record of a history.

A checker is made anew for each history (`Make`), sees its records in order, and yields a
`Violation` at the first record that shows one. It counts what it looked at: a promise that nothing
spoke of was not checked, which is a failure of the experiment and never a pass.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from kubeherd.checks.live import Live
from kubeherd.history import Record, Step, Violation, Write

MAX_VIOLATIONS = 100
"""What is kept of one promise: the first is what matters."""

NOTHING: Iterator[Violation] = iter(())
"""What most records show to be wrong: who gives it spares the look into it."""


class Checker(ABC):
    """One promise, on one history."""

    name: str
    """Of the promise, for commands and reports: ``at-most-one-pod-per-node``."""
    promise: str
    """One sentence for a person."""
    source: str = ""
    """Where Kubernetes promises it."""
    resources: frozenset[str] = frozenset()
    """The resources whose writes it needs, as `Write` names them; ``*``, or none: of all."""

    def __init__(self) -> None:
        self.looked_at = 0
        """Records that the promise is about."""

    @abstractmethod
    def see(self, record: Record) -> Iterator[Violation]:
        """The next record, no write but of the resources that it minds; yields what it shows to be
        wrong."""

    def end(self) -> Iterator[Violation]:
        """After the last record: what is wrong because something did not come."""
        return iter(())

    def share(self, live: Live, others: "Sequence[Checker]") -> None:
        """Use this state of all objects, which has each write before `see` is given it, and what
        these checkers, which are given each record before, keep anyway."""
        return

    def minds(self, resource: str) -> bool:
        """Whether it needs the writes of a resource."""
        return not self.resources or "*" in self.resources or resource in self.resources

    def looks_at(self, write: Write) -> bool:
        """Whether `see` has to be given a write, and all others of the same resource that were, as
        this one, restored or not; the state that it makes is shared."""
        return self.minds(write.resource)

    def violation(self, record: Record, text: str, *objects: str, revision: int = 0) -> Violation:
        """The promise does not hold, as `record` shows."""
        shown = revision or getattr(record, "revision", 0)
        return Violation(
            at=record.at, promise=self.name, text=text, revision=shown, objects=objects
        )


Make: TypeAlias = Callable[[], Checker]


class Checked(msgspec.Struct, frozen=True):
    """How one promise fared: `looked_at` 0 means that it was not checked."""

    name: str
    promise: str
    looked_at: int
    violations: Sequence[Violation] = ()


class Verdict(msgspec.Struct, frozen=True):
    """How a history fared."""

    checked: Sequence[Checked]

    @property
    def violations(self) -> Sequence[Violation]:
        """All of them, the earliest first."""
        found = [violation for one in self.checked for violation in one.violations]
        return sorted(found, key=lambda violation: violation.at)

    @property
    def unchecked(self) -> Sequence[str]:
        """Promises that nothing in the history spoke of."""
        return [one.name for one in self.checked if not one.looked_at]


class Watcher:
    """Several checkers on one stream of records, live: `see` gives the violations at once."""

    def __init__(self, makes: Iterable[Make], live: Live | None = None) -> None:
        """`live` may be shared with other watchers of the same stream."""
        self._checkers = [make() for make in makes]
        self._live = live or Live()
        for number, one in enumerate(self._checkers):
            one.share(self._live, self._checkers[:number])
        self._found: dict[str, list[Violation]] = {one.name: [] for one in self._checkers}
        self._of_writes: dict[tuple[str, bool], tuple[bool, list[Checker]]] = {}
        """Whether anybody needs the writes of a resource, restored or not, and who must be given
        them; filled as they come."""

    def see(self, record: Record) -> list[Violation]:
        """Show one record to all checkers."""
        found: list[Violation] = []
        for checker in self._minding(record):
            shown = checker.see(record)
            if shown is not NOTHING and (wrong := list(shown)):
                found += self._kept(checker, wrong)
        return found

    def end(self) -> list[Violation]:
        """There are no more records."""
        return [v for one in self._checkers for v in self._kept(one, list(one.end()))]

    def trial(self, step: Step) -> list[Violation]:
        """What a step would show, if it came now. It does not come: whatever checkers count or
        note at a step is theirs, not a part of what they hold."""
        return [v for one in self._checkers for v in copy.copy(one).see(step)]

    def _minding(self, record: Record) -> Sequence[Checker]:
        """The checkers that a record is for."""
        if not isinstance(record, Write):
            return self._checkers
        which = (record.resource, record.restored)
        known = self._of_writes.get(which)
        if known is None:
            minding = [one for one in self._checkers if one.minds(record.resource)]
            looking = [one for one in minding if one.looks_at(record)]
            known = self._of_writes[which] = (bool(minding), looking)
        if known[0]:
            self._live.take(record)
        return known[1]

    def _kept(self, checker: Checker, found: list[Violation]) -> list[Violation]:
        kept = self._found[checker.name]
        del found[max(0, MAX_VIOLATIONS - len(kept)) :]
        kept += found
        return found

    @property
    def verdict(self) -> Verdict:
        """So far."""
        return Verdict(
            [
                Checked(one.name, one.promise, one.looked_at, tuple(self._found[one.name]))
                for one in self._checkers
            ]
        )


def check(history: Iterable[Record], makes: Iterable[Make]) -> Verdict:
    """Look at a whole history."""
    watcher = Watcher(makes)
    for record in history:
        watcher.see(record)
    watcher.end()
    return watcher.verdict
