"""The user's own promises: a Python function or class in a file, an expression in CEL."""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kubeherd.checks.checker import Checker, Make
from kubeherd.checks.live import Live
from kubeherd.checks.objects import key
from kubeherd.cluster.api.cel.checker.types import BOOL, DYN
from kubeherd.cluster.api.cel.engine import Environment, Program, Uncompilable, compiled
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.history import Record, Verb, Violation, Write


class UserCheckError(KubeherdError):
    """A check of the user's cannot be used: one line for a person."""


class OwnChecker(Checker):
    """A checker of the user's; its name and promise are its own, not its class's."""

    def __init__(self, name: str, promise: str) -> None:
        super().__init__()
        self.name = name
        self.promise = promise

    def asked(self, ask: Callable[[], object]) -> object:
        """The answer of the user's code; UserCheckError names the checker if it fails."""
        try:
            answer = ask()
            return list(answer) if isinstance(answer, Iterator) else answer  # its code runs now
        except Exception as error:
            raise UserCheckError(f"{self.name}: {type(error).__name__}: {error}") from error

    def found(self, record: Record, answer: object) -> Iterator[Violation]:
        """What the user's code says: nothing, a text, a Violation, or several of these."""
        if answer is None or answer is True:
            return
        if answer is False:
            yield self.violation(record, "is not so")
        elif isinstance(answer, str):
            yield self.violation(record, answer)
        elif isinstance(answer, Violation):
            yield answer
        elif isinstance(answer, Iterable):
            for one in answer:
                yield from self.found(record, one)
        else:
            raise UserCheckError(f"{self.name} answers with a {type(answer).__name__}")


class _Function(OwnChecker):
    """``check(history)``: called once, with all records."""

    def __init__(self, name: str, promise: str, function: Callable[[Sequence[Record]], object]):
        super().__init__(name, promise)
        self._function = function
        self._records: list[Record] = []

    def see(self, record: Record) -> Iterator[Violation]:
        """Keep it for the end."""
        self.looked_at += 1
        self._records.append(record)
        return iter(())

    def end(self) -> Iterator[Violation]:
        """Ask the function."""
        if self._records:
            yield from self.found(
                self._records[-1], self.asked(lambda: self._function(self._records))
            )


class _Object(OwnChecker):
    """An object with ``see(record)`` and perhaps ``end()``."""

    def __init__(self, name: str, promise: str, make: Callable[[], Any]) -> None:
        super().__init__(name, promise)
        self._seer: Any = self.asked(make)
        self._last: Record | None = None

    def see(self, record: Record) -> Iterator[Violation]:
        """Ask it."""
        self.looked_at += 1
        self._last = record
        yield from self.found(record, self.asked(lambda: self._seer.see(record)))

    def end(self) -> Iterator[Violation]:
        """Ask it for the last time."""
        end = getattr(self._seer, "end", None)
        if self._last is not None and callable(end):
            yield from self.found(self._last, self.asked(end))


def from_python(where: str, *, live: bool) -> Make:
    """``FILE.py:NAME``: a function ``check(history)``, or a class of objects with ``see(record)``,
    which a live cluster takes. UserCheckError if it is neither."""
    path, _, attribute = where.rpartition(":")
    if not path:
        raise UserCheckError(f"{where} is not FILE.py:NAME")
    found = _load(Path(path), attribute)
    promise = " ".join((found.__doc__ or where).split())
    if isinstance(found, type) and callable(getattr(found, "see", None)):
        return lambda: _Object(where, promise, found)
    if live or not callable(found):
        what = "a class of objects with see(record)"
        raise UserCheckError(f"{where} is not {what}{', which a live cluster needs' * live}")
    return lambda: _Function(where, promise, found)


def _load(path: Path, attribute: str) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UserCheckError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return getattr(module, attribute)
    except Exception as error:
        raise UserCheckError(f"{path}:{attribute}: {type(error).__name__}: {error}") from error


class _Expression(OwnChecker):
    """True of every object of a resource, at every write."""

    def __init__(self, name: str, program: Program, resource: str) -> None:
        super().__init__(name, f"Of {resource}: {program.source}")
        self.resources = frozenset({resource})
        self._program = program
        self._resource = resource
        self._live = Live()

    def see(self, record: Record) -> Iterator[Violation]:
        """Evaluate it for the object as written."""
        if not isinstance(record, Write) or record.resource != self._resource:
            return
        before = self._live.take(record)
        if record.restored or record.verb is Verb.DELETE:
            return
        self.looked_at += 1
        answer = self._program.run({"object": record.object, "oldObject": before})
        if answer.value is not True:
            name = key(record.namespace, record.name)
            why = answer.failure or f"is {answer.value}".lower()
            what = f"{record.resource} {name}"
            yield self.violation(record, f"{what}: {why}", what)


def from_cel(expression: str, resource: str) -> Make:
    """An expression over ``object`` and ``oldObject`` (null at a create) that must be true at every
    write of the resource. UserCheckError with the compiler's text if it cannot be compiled."""
    environment = Environment({"object": DYN, "oldObject": DYN})
    try:
        program = compiled(expression, environment)
    except Uncompilable as error:
        raise UserCheckError(f"the expression for {resource}: {error}") from None
    if program.type not in (BOOL, DYN):
        raise UserCheckError(f"the expression for {resource} is a {program.type}, not a bool")
    return lambda: _Expression(f"cel {resource}: {expression}", program, resource)
