"""What clients saw of API servers that were killed time and again, and what is wrong. Pure.

A history is what writers were answered and what watchers and readers saw. `problems` says what of
it cannot be: an acknowledged write that is lost, a state that nobody wrote, a revision that goes
back or means two things, a write that rests on a state that was not the newest, a read that shows
less than somebody knew before it was asked for, an event that a watcher missed or got twice, a list
that contradicts the watches. A write without an answer may have happened or not, but it happened
once, at one revision. All clients have one clock, so it does not matter which server answered.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

Key = tuple[str, str]
"""(resource, name)."""


class Outcome(StrEnum):
    """What the writer knows of its write."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Change(StrEnum):
    """The types of watch events."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class State(NamedTuple):
    """One state of an object; `token` is what the write that made it put there, as no other did."""

    revision: int
    token: str
    uid: str


class Fact(NamedTuple):
    """What a revision stands for."""

    key: Key
    token: str
    uid: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Write:
    """One write, `began` and `ended` on the history's clock.

    `token` is empty for a delete. `state`: as it was answered, of a DONE write but a delete; `uid`:
    what a DONE delete deleted; `rests_on`: the revision it was to replace, 0 for any.
    """

    key: Key
    token: str
    outcome: Outcome
    began: int
    ended: int
    state: State | None = None
    uid: str = ""
    rests_on: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A get of one object; `state` is None where it was not there."""

    key: Key
    state: State | None
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Event:
    """One watch event; the revision of a DELETED is that of the deletion. `at`: when it came; 0:
    not known."""

    type: Change
    key: Key
    state: State
    at: int = 0


@dataclass(slots=True)
class Watch:
    """All that one watcher of a resource saw after a list at `since`, over however many servers;
    `reached` is the newest revision up to which it was told that there is nothing more."""

    name: str
    resource: str
    since: int
    base: Mapping[Key, State]
    events: list[Event] = field(default_factory=list)
    reached: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """A list, as of one revision."""

    resource: str
    revision: int
    states: Mapping[Key, State]
    began: int = 0
    ended: int = 0
    exact: bool = False
    """Whether it was asked for as of this revision, which need not be the newest."""


@dataclass(slots=True)
class History:
    """Everything that was seen since the lists in `start`, one of each resource."""

    start: Mapping[str, Listing]
    writes: list[Write] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)


def problems(history: History) -> list[str]:
    """What cannot be; empty for a server that keeps its promises."""
    facts, found = _facts(history)
    found += _invented(history, facts)
    for watch in history.watches:
        found += _out_of_order(watch)
        found += _missed(watch, facts)
    for resource in history.start:
        found += _contradicted(history, resource, facts)
    lives = _lives(facts)
    floors = _Floors(history)
    found += _overwritten(history, lives)
    return found + _stale(history, lives, floors) + _back_in_time(history, floors)


def _told(history: History) -> Iterator[tuple[int, Fact]]:
    for write in history.writes:
        if write.state is not None:
            yield write.state.revision, Fact(write.key, *write.state[1:], deleted=False)
    for watch in history.watches:
        for event in watch.events:
            deleted = event.type is Change.DELETED
            yield event.state.revision, Fact(event.key, *event.state[1:], deleted=deleted)
    for read in history.reads:
        if read.state is not None:
            yield read.state.revision, Fact(read.key, *read.state[1:], deleted=False)
    for listing in (*history.start.values(), *history.listings):
        for key, state in listing.states.items():
            yield state.revision, Fact(key, *state[1:], deleted=False)


def _facts(history: History) -> tuple[dict[int, Fact], list[str]]:
    """What each revision stands for, in order; a problem for one that stands for two things."""
    facts: dict[int, Fact] = {}
    found = []
    for revision, fact in _told(history):
        known = facts.setdefault(revision, fact)
        if known != fact:
            found.append(f"reused: revision {revision} is {known} and {fact}")
    return dict(sorted(facts.items())), found


def _invented(history: History, facts: Mapping[int, Fact]) -> list[str]:
    """States that no write accounts for, and writes that account for two of them."""
    old = {state.token for listing in history.start.values() for state in listing.states.values()}
    possible = [write for write in history.writes if write.outcome is not Outcome.REFUSED]
    written = {(write.key, write.token) for write in possible if write.token}
    deleted = {(write.key, write.uid) for write in possible if not write.token}
    found, at = [], dict[str, int]()
    for revision, fact in facts.items():
        if fact.deleted:
            if not deleted & {(fact.key, fact.uid), (fact.key, "")}:
                found.append(f"invented: {fact} at {revision}, but nobody deleted it")
        elif fact.token not in old:
            if (fact.key, fact.token) not in written:
                found.append(f"invented: {fact} at {revision}, but nobody wrote it")
            if at.setdefault(fact.token, revision) != revision:
                found.append(f"twice: {fact} at {at[fact.token]} and at {revision}")
    return found


def _out_of_order(watch: Watch) -> list[str]:
    """Events that come again, go back, or do not follow from the state before."""
    found, there, last = [], set(watch.base), watch.since
    seen: set[int] = set()
    for event in watch.events:
        revision, known = event.state.revision, event.key in there
        what = f"{watch.name}: {event.type} {event.key} at {revision}"
        if revision in seen:
            found.append(f"duplicate: {what}")
        elif revision <= last:
            found.append(f"back: {what} after {last}")
        elif known is (event.type is Change.ADDED):
            found.append(f"gap: {what}, which was {'there' if known else 'not there'}")
        seen.add(revision)
        last = max(last, revision)
        (there.discard if event.type is Change.DELETED else there.add)(event.key)
    return found


def _missed(watch: Watch, facts: Mapping[int, Fact]) -> list[str]:
    seen = {event.state.revision for event in watch.events}
    return [
        f"gap: {watch.name} missed {fact} at {revision}"
        for revision, fact in facts.items()
        if watch.since < revision <= watch.reached
        and fact.key[0] == watch.resource
        and revision not in seen
    ]


def _contradicted(history: History, resource: str, facts: Mapping[int, Fact]) -> list[str]:
    """Lists that are not what all that is known adds up to, at their revision."""
    found = []
    state = dict(history.start[resource].states)
    since = history.start[resource].revision
    changes = [(at, fact) for at, fact in facts.items() if at > since and fact.key[0] == resource]
    place = 0
    listings = (listing for listing in history.listings if listing.resource == resource)
    for listing in sorted(listings, key=lambda listing: listing.revision):
        end = bisect_right(changes, listing.revision, key=lambda change: change[0])
        for at, fact in changes[place:end]:
            if fact.deleted:
                before = state.pop(fact.key, None)
                if before is None or before[1:] != fact[1:3]:
                    found.append(f"invented: {fact} at {at} is a deletion of {before}")
            else:
                state[fact.key] = State(at, fact.token, fact.uid)
        place = max(place, end)
        found += [
            f"lost: the list at {listing.revision} has {listing.states.get(key)} for {key},"
            f" not {state.get(key)}"
            for key in sorted(state.keys() | listing.states.keys())
            if state.get(key) != listing.states.get(key)
        ]
    return found + _resurrected(history, resource)


def _resurrected(history: History, resource: str) -> list[str]:
    """Objects in a list that was asked for after their deletion had been acknowledged."""
    gone = {write.uid: write.ended for write in history.writes if write.uid}
    return [
        f"lost: {key} was deleted, and is in the list at {listing.revision}"
        for listing in history.listings
        if listing.resource == resource and not listing.exact
        for key, state in listing.states.items()
        if gone.get(state.uid, listing.began) < listing.began
    ]


Lives = Mapping[Key, list[tuple[int, Fact]]]
"""What happened to each object, by revision."""


def _lives(facts: Mapping[int, Fact]) -> Lives:
    lives: dict[Key, list[tuple[int, Fact]]] = {}
    for revision, fact in facts.items():
        lives.setdefault(fact.key, []).append((revision, fact))
    return lives


def _until(life: list[tuple[int, Fact]], revision: int) -> int:
    """How much of a life was over at a revision, as an index."""
    return bisect_right(life, revision, key=lambda one: one[0])


def _overwritten(history: History, lives: Lives) -> list[str]:
    """Writes that did not rest on the newest state: an update between is lost."""
    found = []
    for write in history.writes:
        if write.rests_on and write.state is not None:
            life = lives[write.key]
            before = [at for at, _ in life[: _until(life, write.state.revision - 1)]]
            if before and before[-1] != write.rests_on:
                found.append(f"overwritten: {write} replaced the state of {before[-1]}")
    for life in lives.values():
        found += [
            f"overwritten: {fact} at {at} is another object than at {earlier}, which nobody deleted"
            for (earlier, old), (at, fact) in pairwise(life)
            if not old.deleted and old.uid != fact.uid
        ]
    return found


class _Floors:
    """What was known at a moment: the newest revision of all answers and events until then."""

    def __init__(self, history: History) -> None:
        steps: list[tuple[int, int]] = []
        newest = 0
        for ended, revision in sorted(_learnt(history)):
            newest = max(newest, revision)
            steps.append((ended, newest))
        self._steps = steps

    def at(self, moment: int) -> int:
        """What anybody knew then."""
        place = bisect_right(self._steps, moment, key=lambda step: step[0])
        return self._steps[place - 1][1] if place else 0


def _learnt(history: History) -> Iterator[tuple[int, int]]:
    """When somebody learnt of a revision."""
    yield from ((one.ended, one.state.revision) for one in history.writes if one.state is not None)
    yield from ((one.ended, one.revision) for one in history.listings)
    yield from ((one.ended, one.state.revision) for one in history.reads if one.state is not None)
    for watch in history.watches:
        yield from ((event.at, event.state.revision) for event in watch.events if event.at)


def _stale(history: History, lives: Lives, floors: _Floors) -> list[str]:
    """Reads that show an object as it was before something that was known when they began."""
    found = []
    for read in history.reads:
        life = lives.get(read.key, [])
        known = life[: _until(life, floors.at(read.began))]
        if not known:
            continue
        newest, fact = known[-1]
        if read.state is not None:
            stale = read.state.revision < newest
        else:
            stale = not fact.deleted and not _ends(life[len(known) :])
        if stale:
            found.append(f"stale: {read}, and revision {newest} was known before")
    return found


def _ends(life: Iterable[tuple[int, Fact]]) -> bool:
    return any(fact.deleted for _, fact in life)


def _back_in_time(history: History, floors: _Floors) -> list[str]:
    """Answers with an older revision than another one that was there before they were asked for.

    A write must get a newer one, a list may get the same, or an older one if that was asked for.
    """
    asked = [(write.began, write.state.revision, 1)
             for write in history.writes if write.state is not None]  # fmt: skip
    asked += [(listing.began, listing.revision, 0)
              for listing in history.listings if not listing.exact]  # fmt: skip
    found = []
    for began, revision, more in asked:
        floor = floors.at(began)
        if revision < floor + more:
            found.append(f"back: an answer at revision {revision} after one at {floor}")
    return found
