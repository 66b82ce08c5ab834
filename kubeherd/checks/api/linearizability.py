"""Reads and writes of each object are in one order, which is that of real time.

Revisions are that order, so a history is judged without a search: a read must show the state of
some moment at which it was under way. What was known to anybody before it began is its floor; it
may show no older state. What nobody had begun to write when it ended it can not show.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from kubeherd.checks.api.acknowledged import WRITING, base, done, recorded
from kubeherd.checks.checker import NOTHING, Checker
from kubeherd.checks.objects import key
from kubeherd.history import Record, Request, Verb, Violation, Write

_REMEMBERED: Final = 500_000
_SLACK_S: Final = 0.5
"""Writes and requests may be timed by two processes."""


class _Version(msgspec.Struct, frozen=True):
    revision: int
    at: float
    exists: bool
    restored: bool


class _Object:
    """The versions of one object in order, and who asked for it."""

    def __init__(self) -> None:
        self.versions: list[_Version] = []
        self.requests: list[Request] = []

    def at(self, revision: int) -> _Version | None:
        """The version that held at a revision; None before the first that is known."""
        place = bisect_right(self.versions, revision, key=lambda version: version.revision)
        return self.versions[place - 1] if place else None

    def absent_after(self, floor: int) -> int | None:
        """A revision, no older than `floor`, at which the object was not there; 0 for one before
        all that is known; None if it was always there."""
        if not self.versions or (self.versions[0].revision > floor and not self._restored):
            return 0
        for version, after in zip(self.versions, [*self.versions[1:], None], strict=True):
            if not version.exists and (after is None or after.revision > floor):
                return version.revision
        return None

    def ended_during(self, request: Request) -> int:
        """The revision at which the object went while a request was under way; 0: it did not."""
        for version in reversed(self.versions):
            if not version.exists and request.at - _SLACK_S <= version.at <= request.until:
                return version.revision
        return 0

    @property
    def _restored(self) -> bool:
        return self.versions[0].restored


def _begun(requests: Sequence[Request]) -> dict[int, float]:
    """When the write of a revision was asked for, as far as its answer tells: by the first who was
    answered so, for later ones changed nothing; not if somebody had asked before who got no answer.
    """
    writes = [one for one in requests if one.verb in WRITING]
    lost = min((one.at for one in writes if not one.status), default=float("inf"))
    begun: dict[int, float] = {}
    for one in writes:
        if done(one) and one.asked_revision != one.revision and one.at < lost:
            begun[one.revision] = min(one.at, begun.get(one.revision, one.at))
    return begun


class Linearizable(Checker):
    """Gets and lists against the writes."""

    name = "reads-and-writes-are-linearizable"
    promise = (
        "A get or a list shows the state of a moment between its begin and its end: all that was "
        "acknowledged or read before, and nothing that was not asked for yet."
    )
    source = "API concepts: Resource versions (unset: most recent); Consistent reads from cache"

    def __init__(self) -> None:
        super().__init__()
        self._objects: dict[tuple[str, str], _Object] = {}
        self._lists: list[Request] = []
        self._count = 0

    def see(self, record: Record) -> Iterator[Violation]:
        """Keep it for the end: a read may be told before the write that it shows."""
        if self._count >= _REMEMBERED:
            return NOTHING
        if isinstance(record, Write) and recorded(record.resource, record.namespace):
            exists = record.verb is not Verb.DELETE
            version = _Version(record.revision, record.at, exists, record.restored)
            place = (record.resource, key(record.namespace, record.name))
            self._objects.setdefault(place, _Object()).versions.append(version)
            self._count += 1
        elif isinstance(record, Request) and recorded(record.resource, record.namespace):
            self._asked(record)
        return NOTHING

    def _asked(self, request: Request) -> None:
        resource, sub = base(request.resource)
        if request.verb == "list" and done(request) and not request.stale:
            self._lists.append(request)
        elif request.name and sub in ("", "status") and request.verb in ("get", "delete", *WRITING):
            place = (resource, key(request.namespace, request.name))
            self._objects.setdefault(place, _Object()).requests.append(request)
        self._count += 1

    def end(self) -> Iterator[Violation]:
        """Object by object, then list by list."""
        written = {resource for (resource, _), one in self._objects.items() if one.versions}
        for place, one in self._objects.items():
            one.versions.sort(key=lambda version: version.revision)
            if place[0] in written:
                yield from self._judge(place, one)
        yield from self._judge_lists(written)

    def _judge(self, place: tuple[str, str], one: _Object) -> Iterator[Violation]:
        floors = _Floors(one.requests)
        begun = _begun(one.requests)
        for request in sorted(one.requests, key=lambda request: request.at):
            floor = floors.before(request.at)
            if request.verb == "delete" and done(request):
                floors.read(request.until, one.ended_during(request))
            if request.verb != "get" or request.stale:
                continue
            if request.status == 404:
                self.looked_at += 1
                absent = one.absent_after(floor)
                if absent is None:
                    what = f"{request.client} is told that {' '.join(place)} is not there"
                    yield self.violation(request, f"{what}; {floor} was seen", " ".join(place))
                else:
                    floors.read(request.until, absent)
            elif request.status == 200 and request.revision:
                self.looked_at += 1
                floors.read(request.until, request.revision)
                wrong = self._wrong(one, request, floor, begun)
                if wrong:
                    what = f"{request.client} reads {' '.join(place)} at {request.revision}"
                    yield self.violation(request, f"{what}, {wrong}", " ".join(place))

    def _wrong(self, one: _Object, request: Request, floor: int, begun: dict[int, float]) -> str:
        revision = request.revision
        version = one.at(revision)
        if version is None or version.revision != revision or not version.exists:
            return "which nobody wrote"
        if revision < floor:
            return f"and {floor} was known before it asked"
        later = one.at(floor)
        asked = begun.get(revision, request.until)
        if request.until < asked <= version.at:  # who asked after it was written changed nothing
            return "which nobody had asked for yet"
        if later is not None and later.revision > revision:
            return f"and {later.revision} was known before it asked"
        return ""

    def _judge_lists(self, written: set[str]) -> Iterator[Violation]:
        by_resource: dict[str, list[tuple[str, _Object]]] = {}
        for (resource, name), one in self._objects.items():
            by_resource.setdefault(resource, []).append((name, one))
        asked = [r for one in self._objects.values() for r in one.requests if r.verb in WRITING]
        floors = _Floors([*asked, *self._lists])
        for request in sorted(self._lists, key=lambda request: request.at):
            if request.resource not in written or not request.revision:
                continue
            self.looked_at += 1
            wrong = ""
            floor = floors.before(request.at)
            if request.revision < floor:
                wrong = f"and {floor} was known before it asked"
            elif request.objects is not None:
                wrong = _unlike(request, by_resource[request.resource])
            if wrong:
                what = f"{request.client} lists {request.resource} at {request.revision}, {wrong}"
                yield self.violation(request, what)


class _Floors:
    """What was known at a moment: the newest revision of all that had been answered before."""

    def __init__(self, requests: Sequence[Request]) -> None:
        known = [
            (r.until, r.revision)
            for r in requests
            if done(r) and r.revision and (r.verb in WRITING or r.verb == "list")
        ]
        self._known = deque(sorted(known))
        self._reads: list[tuple[float, int]] = []
        self._floor = 0

    def read(self, until: float, revision: int) -> None:
        """A read that ended then has shown this revision."""
        self._reads.append((until, revision))

    def before(self, at: float) -> int:
        """The floor of what begins at `at`; moments must be asked in order."""
        while self._known and self._known[0][0] < at:
            self._floor = max(self._floor, self._known.popleft()[1])
        kept = []
        for until, revision in self._reads:
            if until < at:
                self._floor = max(self._floor, revision)
            else:
                kept.append((until, revision))
        self._reads = kept
        return self._floor


def _unlike(request: Request, objects: Sequence[tuple[str, _Object]]) -> str:
    """How a list differs from the state at its revision."""
    shown = request.objects or {}
    prefix = f"{request.namespace}/" if request.namespace else ""
    for name, one in objects:
        version = one.at(request.revision)
        there = version is not None and version.exists
        if name in shown:
            if version is None or not there or shown[name] != version.revision:
                has = version.revision if version is not None and there else "nothing"
                return f"with {name} at {shown[name]}, where {has} was"
        elif there and name.startswith(prefix) and not request.partial:
            return f"without {name}, which was there"
    return ""
