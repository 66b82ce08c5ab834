"""What evaluations share: the frame of one, and the functions that expressions become."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.cel.effort import TooCostly
from kubeherd.cluster.api.cel.interpreter.datatypes import NO_OVERLOAD, NONE, Failure, Optional


class Frame:
    """An evaluation: the values of its variables, what it has cost, and what it may still do."""

    __slots__ = ("cost", "effort", "limit", "variables")

    def __init__(self, variables: Mapping[str, Any], limit: int) -> None:
        self.variables = dict(variables)
        self.cost = 0
        self.limit = limit
        self.effort = effort.current()

    def charge(self, cost: int) -> None:
        """Add to the cost; TooCostly if it is more than allowed."""
        self.cost += cost
        if self.cost > self.limit:
            raise TooCostly


Run: TypeAlias = Callable[[Frame], Any]


class Lazy:
    """A variable that is worked out when it is first used."""

    __slots__ = ("_failure", "_make", "_value")

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make: Callable[[], Any] | None = make
        self._value: Any = None
        self._failure: Failure | None = None

    def __call__(self) -> Any:
        """The value; the same Failure each time if it has none."""
        if self._make is not None:
            make, self._make = self._make, None
            try:
                self._value = make()
            except Failure as failure:
                self._failure = failure
        if self._failure is not None:
            raise self._failure
        return self._value


def optional_field(value: Any, field: str) -> Optional:
    """A field that may be missing, of a value that may be missing."""
    if isinstance(value, Optional):
        return optional_field(value.value, field) if value.present else NONE
    if not isinstance(value, dict):
        raise Failure(NO_OVERLOAD)
    return Optional(value[field]) if field in value else NONE
