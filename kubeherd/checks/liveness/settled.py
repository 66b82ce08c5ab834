"""Checkers that look once: at the step ``settled``."""

from abc import abstractmethod
from collections.abc import Iterator

from kubeherd.checks.writes import WriteChecker
from kubeherd.history import Record, Step, Violation, Write
from kubeherd.history.records import SETTLED, Object


class SettledChecker(WriteChecker):
    """What must be true when the time for convergence is over."""

    def see(self, record: Record) -> Iterator[Violation]:
        """Keep the state, and judge it when it has settled."""
        if isinstance(record, Step) and record.name == SETTLED:
            yield from self.settled(record)
        else:
            yield from super().see(record)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Nothing is judged on the way."""
        return iter(())

    @abstractmethod
    def settled(self, step: Step) -> Iterator[Violation]:
        """What is wrong now."""
