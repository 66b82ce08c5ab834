"""What a checker is, and a verdict: a promise looked at on every record of a history.

A checker is made anew for each history (`Make`), sees its records in order, and yields a
`Violation` at the first record that shows one. It counts what it looked at: a promise that nothing
spoke of was not checked, which is a failure of the experiment and never a pass.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from kubeherd.history import Record, Violation

MAX_VIOLATIONS = 100
"""What is kept of one promise: the first is what matters."""


class Checker(ABC):
    """One promise, on one history."""

    name: str
    """Of the promise, for commands and reports: ``at-most-one-pod-per-node``."""
    promise: str
    """One sentence for a person."""
    source: str = ""
    """Where Kubernetes promises it."""
    resources: frozenset[str] = frozenset()
    """The resources whose writes it needs, as `Write` names them; ``*``: of all."""

    def __init__(self) -> None:
        self.looked_at = 0
        """Records that the promise is about."""

    @abstractmethod
    def see(self, record: Record) -> Iterator[Violation]:
        """The next record; yields what it shows to be wrong."""

    def end(self) -> Iterator[Violation]:
        """After the last record: what is wrong because something did not come."""
        return iter(())

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

    def __init__(self, makes: Iterable[Make]) -> None:
        self._checkers = [make() for make in makes]
        self._found: dict[str, list[Violation]] = {one.name: [] for one in self._checkers}

    def see(self, record: Record) -> list[Violation]:
        """Show one record to all checkers."""
        return [v for one in self._checkers for v in self._kept(one, one.see(record))]

    def end(self) -> list[Violation]:
        """There are no more records."""
        return [v for one in self._checkers for v in self._kept(one, one.end())]

    def _kept(self, checker: Checker, violations: Iterator[Violation]) -> Iterator[Violation]:
        kept = self._found[checker.name]
        for violation in violations:
            if len(kept) < MAX_VIOLATIONS:
                kept.append(violation)
                yield violation

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
