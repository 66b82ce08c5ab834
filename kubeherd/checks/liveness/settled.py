"""Checkers that look once: at the step ``settled``."""

from abc import abstractmethod
from collections.abc import Iterator

from kubeherd.checks.checker import NOTHING
from kubeherd.checks.writes import WriteChecker
from kubeherd.history import Record, Step, Violation, Write
from kubeherd.history.records import SETTLED, Object


class SettledChecker(WriteChecker):
    """What must be true when the time for convergence is over."""

    def see(self, record: Record) -> Iterator[Violation]:
        """Keep the state, and judge it when it has settled."""
        if isinstance(record, Step) and record.name == SETTLED:
            return self.settled(record)
        return super().see(record)

    def looks_at(self, write: Write) -> bool:
        """Only if there is something to note on the way."""
        return type(self).note is not WriteChecker.note and self.minds(write.resource)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Nothing is judged on the way."""
        return NOTHING

    @abstractmethod
    def settled(self, step: Step) -> Iterator[Violation]:
        """What is wrong now."""
