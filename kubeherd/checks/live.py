"""The objects that exist as of the newest write, and what controllers may still believe.

A controller acts on its cache, which is behind the store. Where a promise is about what a
controller does, it is judged by all that the store said in the last moments (`Recent`).
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

from kubeherd.checks.objects import controller_of, key, text
from kubeherd.history import Verb, Write
from kubeherd.history.records import Object

LAG_S: Final = 5.0
"""Nominal seconds that a controller's cache may be behind without anybody's fault."""
MIN_LAG_S: Final = 2.0
"""Seconds by the writer's clock: a busy machine does not obey --speed."""

_NOTHING: Mapping[str, Object] = {}


class Live:
    """The newest state of all objects, by resource and ``namespace/name``, and by controller.

    Several checkers may share one, of which each takes every write that it needs.
    """

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self._owned: dict[str, dict[tuple[str, str], Object]] = {}
        self._newest: Write | None = None
        self._before: Object | None = None

    def take(self, write: Write) -> Object | None:
        """Take a write over, unless it was just taken over; returns the state before it."""
        if write is not self._newest:
            self._before, self._newest = self._taken(write), write
        return self._before

    def _taken(self, write: Write) -> Object | None:
        here = self._objects.setdefault(write.resource, {})
        name = key(write.namespace, write.name)
        before = here.pop(name, None)
        place = (write.resource, name)
        if before is not None:
            self._disown(text(controller_of(before), "uid"), place)
        if write.verb is not Verb.DELETE:
            here[name] = write.object
            owner = text(controller_of(write.object), "uid")
            if owner:
                self._owned.setdefault(owner, {})[place] = write.object
        return before

    def _disown(self, owner: str, place: tuple[str, str]) -> None:
        owned = self._owned.get(owner)
        if owned is not None:
            owned.pop(place, None)
            if not owned:
                del self._owned[owner]

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """An object, if it exists."""
        return self._objects.get(resource, _NOTHING).get(key(namespace, name))

    def all(self, resource: str) -> Mapping[str, Object]:
        """The objects of a resource by ``namespace/name``."""
        return self._objects.get(resource, _NOTHING)

    def resources(self) -> list[str]:
        """The resources of which something was ever written."""
        return list(self._objects)

    def owned(self, uid: str, resource: str) -> list[Object]:
        """The objects of a resource whose controller has this uid."""
        return [tree for (of, _), tree in self._owned.get(uid, {}).items() if of == resource]


class Recent:
    """The values that something had within the last moments."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, int]] = deque()

    def set(self, at: float, value: int, lag_s: float) -> None:
        """It has this value from now on."""
        if not self._values or self._values[-1][1] != value:
            self._values.append((at, value))
        self._forget(at - lag_s)

    def _forget(self, before: float) -> None:
        while len(self._values) > 1 and self._values[1][0] <= before:
            self._values.popleft()

    def most(self, at: float, lag_s: float) -> int:
        """The largest value since `lag_s` ago; 0 if it never had one."""
        self._forget(at - lag_s)
        return max((value for _, value in self._values), default=0)

    def least(self, at: float, lag_s: float) -> int:
        """The smallest value since `lag_s` ago; 0 if it never had one."""
        self._forget(at - lag_s)
        return min((value for _, value in self._values), default=0)
