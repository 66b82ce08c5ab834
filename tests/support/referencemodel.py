"""What the API server is compared with: objects in a dictionary, and the rules of the API in as
few words as possible. It knows no schema but of the few fields that the test writes, and says of
each request which status it has and what it leaves.

Of an object it knows metadata and two values, one of the spec and one of the status: those that the
test writes. Deletion, preconditions, finalizers, selectors and watches look at no more.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Key = tuple[str, str, str]
"""(plural, namespace, name)."""


@dataclass
class Object:
    """One object as far as the model knows it."""

    labels: dict[str, str] = field(default_factory=dict)
    finalizers: list[str] = field(default_factory=list)
    value: Any = None
    status: Any = None
    owner: str = ""
    terminating: bool = False
    uid: str = ""
    revision: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Happened:
    """A write that changed something: the object before and after it."""

    revision: int
    key: Key
    before: Object | None
    after: Object | None


class Model:
    """The state, and all that happened."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.log: list[Happened] = []
        self.closed: dict[str, int] = {}
        """Namespaces that take nothing new, and the status of an attempt."""

    # --- writes: each returns the status that the answer has to have ---

    def create(self, key: Key) -> int:
        """POST. A namespace that terminates or is gone takes nothing new."""
        if key[1] in self.closed:
            return self.closed[key[1]]
        return 409 if key in self.objects else 201

    def change(
        self, key: Key, mutate: Callable[[Object], None], *, revision: int = 0, uid: str = ""
    ) -> tuple[int, Object | None]:
        """PUT or PATCH: the status, and the object after it; None where it is gone."""
        old = self.objects.get(key)
        if old is None:
            return 404, None
        if (revision and revision != old.revision) or (uid and uid != old.uid):
            return 409, old
        new = copy.deepcopy(old)
        mutate(new)
        if old.terminating and set(new.finalizers) - set(old.finalizers):
            return 422, old
        gone = new.terminating and not new.finalizers
        return 200, None if gone else new

    def delete(self, key: Key, *, revision: int = 0, uid: str = "") -> tuple[int, Object | None]:
        """DELETE, without grace: what has finalizers only begins to terminate."""
        old = self.objects.get(key)
        if old is None:
            return 404, None
        if (revision and revision != old.revision) or (uid and uid != old.uid):
            return 409, old
        if not old.finalizers:
            return 200, None
        new = copy.deepcopy(old)
        new.terminating = True
        return 200, new

    def writes(self, key: Key, new: Object | None) -> int:
        """How many revisions it takes to get there: a pod is seen to terminate before it goes."""
        old = self.objects.get(key)
        if new == old:
            return 0
        return 2 if self._terminates_first(key, old, new) else 1

    def _terminates_first(self, key: Key, old: Object | None, new: Object | None) -> bool:
        return key[0] == "pods" and new is None and old is not None and not old.terminating

    def store(self, key: Key, new: Object | None, revision: int) -> None:
        """What a write that was carried out has left, at the revision that the server gave it."""
        before = self.objects.get(key)
        if before is None and new is None:
            return
        if before is not None and self._terminates_first(key, before, new):
            last = replace(before, terminating=True)
            self.log.append(Happened(revision - 1, key, before, last))
            before = last
        if new is None:
            self.objects.pop(key, None)
        else:
            new.revision = revision
            self.objects[key] = new
        self.log.append(Happened(revision, key, before, new))

    # --- reads ---

    def state(self, plural: str, revision: int) -> dict[Key, Object]:
        """All objects of a kind as of a revision."""
        found: dict[Key, Object] = {}
        for one in self.log:
            if one.revision <= revision and one.key[0] == plural:
                found.pop(one.key, None)
                if one.after is not None:
                    found[one.key] = one.after
        return found

    def listed(
        self, plural: str, namespace: str, labels: Mapping[str, str], revision: int
    ) -> list[tuple[Key, Object]]:
        """A list with a selector, in order."""
        state = self.state(plural, revision)
        return [
            (key, state[key])
            for key in sorted(state, key=lambda key: f"{key[1]}/{key[2]}")
            if selected(key, state[key], namespace, labels)
        ]

    def events(
        self, plural: str, namespace: str, labels: Mapping[str, str], since: int
    ) -> Iterator[tuple[str, str, int]]:
        """What a watch after a revision is told: type, name, revision."""
        for one in self.log:
            if one.key[0] != plural or one.revision <= since:
                continue
            was = one.before is not None and selected(one.key, one.before, namespace, labels)
            now = one.after is not None and selected(one.key, one.after, namespace, labels)
            if was or now:
                type_ = "DELETED" if not now else "MODIFIED" if was else "ADDED"
                yield type_, one.key[2], one.revision


def selected(key: Key, one: Object, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether an object is in the namespace ("" is all) and has the labels."""
    return namespace in ("", key[1]) and labels.items() <= one.labels.items()
