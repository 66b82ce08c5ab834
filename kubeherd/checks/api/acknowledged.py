"""What a client was answered is true: acknowledged writes stay, refused ones are not there."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from kubeherd.checks.checker import Checker
from kubeherd.checks.objects import going, key
from kubeherd.history import Actor, Ended, Record, Request, Verb, Violation, Write

WRITING: Final = ("create", "update", "patch")
_REMEMBERED: Final = 200_000
"""Revisions, requests: a bound. Who runs for longer is not judged by what is older."""


def done(request: Request) -> bool:
    """Whether it was answered that it is carried out."""
    return 200 <= request.status < 300


def refused(request: Request) -> bool:
    """Whether it was answered that it is not carried out. After other errors nobody knows."""
    return 400 <= request.status < 500


def recorded(resource: str, namespace: str) -> bool:
    """Whether every write of an object is in the history: nodes' heartbeats are sampled."""
    return namespace != "kube-node-lease"


def base(resource: str) -> tuple[str, str]:
    """A resource and its subresource: ``pods/status``."""
    whole, _, sub = resource.partition("/")
    return whole, sub


class NothingLost(Checker):
    """Acknowledged writes."""

    name = "nothing-acknowledged-is-lost"
    promise = (
        "A write that was acknowledged is carried out, at the revision that was answered, and is "
        "there after every crash."
    )
    source = "API concepts: Resource versions; etcd: API guarantees, durability"

    def __init__(self) -> None:
        super().__init__()
        self._known: OrderedDict[int, tuple[str, str]] = OrderedDict()
        self._newest: dict[tuple[str, str], int] = {}
        """Of every object that exists."""
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[int, Request] = {}
        self._deletes: dict[str, Request] = {}
        self._last = 0
        self._resources: set[str] = set()
        self._whole = False

    def see(self, record: Record) -> Iterator[Violation]:
        """Answers and writes may come in either order."""
        if isinstance(record, Write):
            yield from self._written(record)
        elif isinstance(record, Request):
            yield from self._answered(record)
        elif isinstance(record, Ended):
            self._whole = True

    def _written(self, write: Write) -> Iterator[Violation]:
        place = (write.resource, key(write.namespace, write.name))
        self._resources.add(write.resource)
        self._last = max(self._last, write.revision)
        self._known[write.revision] = place
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        newest = self._newest.get(place, 0)
        if write.restored and write.revision < newest:
            self.looked_at += 1
            what = f"{' '.join(place)} is back at {write.revision}; {newest} is lost"
            yield self.violation(write, what, " ".join(place))
        if write.verb is Verb.DELETE:
            self._newest.pop(place, None)
        else:
            self._newest[place] = write.revision
        if write.uid and (write.verb is Verb.DELETE or going(write.object)):
            self._deletes.pop(write.uid, None)
            self._gone[write.uid] = None
            if len(self._gone) > _REMEMBERED:
                self._gone.popitem(last=False)
        request = self._waiting.pop(write.revision, None)
        if request is not None:
            yield from self._compare(request, place)

    def _answered(self, request: Request) -> Iterator[Violation]:
        resource, sub = base(request.resource)
        if not done(request) or not recorded(resource, request.namespace):
            return
        if request.verb == "delete" and not sub and request.uid:
            self.looked_at += 1
            if request.uid not in self._gone:
                self._deletes[request.uid] = request
        elif request.verb in WRITING and sub in ("", "status") and request.revision:
            self.looked_at += 1
            place = self._known.get(request.revision)
            if place is not None:
                yield from self._compare(request, place)
            elif request.revision > next(iter(self._known), 0):
                self._waiting[request.revision] = request

    def _compare(self, request: Request, place: tuple[str, str]) -> Iterator[Violation]:
        wanted = (base(request.resource)[0], key(request.namespace, request.name))
        if request.name and place != wanted:
            what = f"{_what(request)} was acknowledged, and that is {' '.join(place)}"
            yield self.violation(request, what, " ".join(wanted))

    def end(self) -> Iterator[Violation]:
        """What never came; if the history is cut off, only what should have come before."""
        for revision, request in self._waiting.items():
            known = base(request.resource)[0] in self._resources
            if known and (revision <= self._last or self._whole):
                yield self.violation(request, f"{_what(request)} was acknowledged and is lost")
        for request in self._deletes.values():
            if base(request.resource)[0] in self._resources and self._whole:
                yield self.violation(request, f"{_what(request)} was acknowledged and is lost")


def _what(request: Request) -> str:
    name = f"{request.resource} {key(request.namespace, request.name)}"
    at = f" at {request.revision}" if request.revision else ""
    return f"{request.client}: {request.verb} {name}{at}"


_MADE: Final = {
    "create": (Verb.CREATE,),
    "update": (Verb.UPDATE, Verb.DELETE),
    "patch": (Verb.UPDATE, Verb.DELETE),
    "delete": (Verb.UPDATE, Verb.DELETE),
}


class NothingRefusedVisible(Checker):
    """Refused writes.

    A write is taken for a refused one if it came while that was under way, from the same actor, to
    the same object, and nothing else that this actor asked for can have made it.
    """

    name = "nothing-refused-is-visible"
    promise = "A write that was refused is not carried out."
    source = "API conventions: Response Status Kind"

    def __init__(self) -> None:
        super().__init__()
        self._requests: dict[tuple[str, str], list[Request]] = {}
        self._writes: dict[tuple[str, str], list[Write]] = {}
        self._count = 0

    def see(self, record: Record) -> Iterator[Violation]:
        """Keep what may have to do with each other."""
        if self._count >= _REMEMBERED:
            return iter(())
        if isinstance(record, Request) and record.verb in _MADE and record.name:
            place = (base(record.resource)[0], key(record.namespace, record.name))
            self._requests.setdefault(place, []).append(record)
            self._count += 1
        elif isinstance(record, Write) and record.actor is not None and not record.restored:
            place = (record.resource, key(record.namespace, record.name))
            self._writes.setdefault(place, []).append(record)
            self._count += 1
        return iter(())

    def end(self) -> Iterator[Violation]:
        """Object by object."""
        for place, requests in self._requests.items():
            writes = self._writes.get(place, [])
            for request in filter(refused, requests):
                self.looked_at += 1
                for write in writes:
                    if self._made(request, write) and not _explained(write, requests):
                        what = f"{_what(request)} was refused ({request.status}) and carried out"
                        yield self.violation(
                            request, what, " ".join(place), revision=write.revision
                        )
                        break

    def _made(self, request: Request, write: Write) -> bool:
        return (
            write.verb in _MADE[request.verb]
            and request.at <= write.at <= request.until
            and _same(request.actor, write.actor)
        )


def _same(asked: Actor | None, wrote: Actor | None) -> bool:
    if asked is None or wrote is None or not asked.user:
        return False
    return (asked.user, asked.user_agent) == (wrote.user, wrote.user_agent)


def _explained(write: Write, requests: list[Request]) -> bool:
    """Whether a request that was not refused can have made it."""
    for request in requests:
        if refused(request) or request.at > write.at or not _same(request.actor, write.actor):
            continue
        if not done(request) or request.revision in (0, write.revision):
            return True
        if request.verb == "delete":
            return True
    return False
