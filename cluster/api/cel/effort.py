"""What the expressions of one write may take of the processor, however little Kubernetes counts it.

The costs of cel-go are those of Go: a comparison of two large objects costs one, as does a loop's
turn that takes Python a hundred times as long; and they are bounded for each policy, of which there
may be any number. So steps are counted, too, about a quarter of a microsecond each: of nodes and
loops by the interpreter, of what is in large values by the functions that look at it. All
expressions of a write share them; who has none left ends as who has exceeded the cost. Counted and
not measured, so that the same write ends the same way everywhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

STEPS: Final = 1_600_000
"""What one write may take: up to four tenths of a second. A cost of 1 is two to eight steps."""
COMPILED_CHAR: Final = 40
"""Steps of compiling a character of an expression."""
REFUSED_PATTERN: Final = 200_000
"""Steps of a regular expression that turns out too large; it is not remembered."""
_ENDLESS: Final = 2**62


SPENT: Final = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
"""What the answer to a write says whose expressions could not all be evaluated."""


class TooCostly(Exception):
    """An evaluation that costs more than it may."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class Effort:
    """The steps that are left; `left` is below 0 when there are none."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    @property
    def is_spent(self) -> bool:
        """Whether nothing more is evaluated."""
        return self.left < 0

    def affords(self, steps: int) -> bool:
        """Use some; whether there were so many left."""
        self.left -= steps
        return self.left >= 0

    def take(self, steps: int) -> None:
        """Use some; TooCostly if there were not so many left."""
        self.left -= steps
        if self.left < 0:
            raise TooCostly


_current: ContextVar[Effort | None] = ContextVar("effort", default=None)


def begin(size_bytes: int) -> None:
    """A write begins, of an object of about that size, which it takes steps to look at: what is
    evaluated from now on in this context is counted together."""
    _current.set(Effort(STEPS + size_bytes // 2))


def current() -> Effort:
    """Of the write that is under way; without an end where there is none."""
    return _current.get() or Effort(_ENDLESS)


def take(steps: int) -> None:
    """Use steps of the write that is under way; TooCostly if there were not so many left."""
    effort = _current.get()
    if effort is not None:
        effort.take(steps)


@contextmanager
def endless() -> Iterator[None]:
    """What is done meanwhile does not count: it happens once, not with every write."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)
