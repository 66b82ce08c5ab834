"""The promises of watch, each a function of what watchers were told. Pure.

Sources: Kubernetes' concepts of API machinery ("Efficient detection of changes", "Watch
bookmarks", "Streaming lists"); the guarantees of etcd's watch API, as its robustness tests name
them. A break of one promise is found by its own check and, if nothing else is broken, by no other.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

import msgspec

from kubeherd.checks.watchhistory import Change, Event, History, Log, Selection, Shown, Start, Watch


class Promise(StrEnum):
    """What a watch promises."""

    ORDERED = "ordered"
    UNIQUE = "unique"
    RELIABLE = "reliable"
    RESUMABLE = "resumable"
    BOOKMARKABLE = "bookmarkable"
    ATOMIC = "atomic"
    FILTER = "filter"


class Verdict(msgspec.Struct):
    """What was found out about one promise: how much it was checked against, and what broke it."""

    checked: int = 0
    broken: list[str] = []


class Told(msgspec.Struct, frozen=True):
    """A watch taken apart: the state with which it began (of a list or of ADDED events), the
    revision of that state, and the events after it."""

    watch: Watch
    state: Mapping[str, Shown] | None
    at: int
    state_events: Sequence[Event]
    events: Sequence[Event]

    @property
    def changes(self) -> list[Event]:
        """The events that are no bookmarks."""
        return [event for event in self.events if event.shown is not None]

    @property
    def end(self) -> int:
        """The revision up to which this watch must have told all."""
        return max([self.watch.until, *(event.revision for event in self.changes)])


def ordered(told: Told, log: Log, verdict: Verdict) -> None:
    """Events come in the order of their revisions."""
    changes = told.changes
    for before, event in pairwise(changes):
        verdict.checked += 1
        if event.revision < before.revision:
            verdict.broken.append(
                f"{told.watch.name}: {_name(event)} comes after that at {before.revision}"
            )


def unique(told: Told, log: Log, verdict: Verdict) -> None:
    """No event comes twice."""
    for events in (told.state_events, told.changes):
        seen = set()
        for event in events:
            verdict.checked += 1
            if event.revision in seen:
                verdict.broken.append(f"{told.watch.name}: {_name(event)} comes twice")
            seen.add(event.revision)


def reliable(told: Told, log: Log, verdict: Verdict) -> None:
    """Between what a watcher was told first and last, and until it had time enough, it was told of
    every change of what it selects. (What comes first is for `resumable` where a watch resumes.)"""
    after = told.at
    if told.watch.start is Start.RESUMED:
        if not told.changes:
            return
        after = min(event.revision for event in told.changes)
    _all_told(told, log, (after, told.end), verdict)


def resumable(told: Told, log: Log, verdict: Verdict) -> None:
    """A watch that goes on after a revision begins with the first change after it, and is refused
    as too old only if so many changes were made since that they need not be remembered."""
    watch = told.watch
    if watch.refused_at:
        verdict.checked += 1
        return
    if watch.start is not Start.RESUMED:
        return
    for event in told.changes:
        if event.revision <= watch.since:
            verdict.broken.append(f"{watch.name}: {_name(event)} was told before")
    newer = [event.revision for event in told.changes if event.revision > watch.since]
    _all_told(told, log, (watch.since, min(newer, default=watch.until)), verdict)


def bookmarkable(told: Told, log: Log, verdict: Verdict) -> None:
    """A bookmark says that all changes up to its revision have been told, and no older one
    follows."""
    seen, last = set[int](), told.at
    for event in told.events:
        if event.shown is not None:
            seen.add(event.revision)
            if event.revision <= last and last > told.at:
                verdict.broken.append(
                    f"{told.watch.name}: {_name(event)} comes after a bookmark at {last}"
                )
            continue
        verdict.checked += 1
        if event.revision < max(last, *seen, 0):
            verdict.broken.append(f"{told.watch.name}: a bookmark goes back to {event.revision}")
        for revision in log.visible(told.watch.wanted, last, event.revision):
            if revision not in seen:
                verdict.broken.append(
                    f"{told.watch.name}: a bookmark at {event.revision} comes before the event"
                    f" of {revision}"
                )
        last = max(last, event.revision)


def atomic(told: Told, log: Log, verdict: Verdict) -> None:
    """An event shows one whole state, as one write made it, whoever asks in whatever form; the
    state with which a watch begins is that of one revision."""
    for event in told.changes:
        verdict.checked += 1
        fact, shown = log.facts.get(event.revision), event.shown
        if fact is None or shown is None:
            verdict.broken.append(f"{told.watch.name}: {_name(event)}, which nobody made")
            continue
        left = event.type is Change.DELETED and fact.after is not None
        state = fact.before if left else fact.shown
        if state is None or not state.same(shown):
            verdict.broken.append(f"{told.watch.name}: {_name(event)} shows {shown}, not {state}")
    if told.state is not None:
        verdict.checked += 1
        expected = log.state_at(told.watch.wanted, told.at)
        for key in sorted(expected.keys() | told.state.keys()):
            has, wants = told.state.get(key), expected.get(key)
            if not (has and wants and has.revision == wants.revision and has.same(wants)):
                verdict.broken.append(
                    f"{told.watch.name}: the state at {told.at} has {has} for {key}, not {wants}"
                )


def filter_(told: Told, log: Log, verdict: Verdict) -> None:
    """A watcher is told only of what it selects: ADDED when an object comes to be selected,
    MODIFIED while it is, DELETED when it no longer is."""
    for event in told.changes:
        fact = log.facts.get(event.revision)
        if fact is not None:
            verdict.checked += 1
            expected = fact.seen_by(told.watch.wanted)
            if expected is not event.type:
                verdict.broken.append(f"{told.watch.name}: {_name(event)} should be {expected}")


_CHECKS: Mapping[Promise, Callable[[Told, Log, Verdict], None]] = {
    Promise.ORDERED: ordered,
    Promise.UNIQUE: unique,
    Promise.RELIABLE: reliable,
    Promise.RESUMABLE: resumable,
    Promise.BOOKMARKABLE: bookmarkable,
    Promise.ATOMIC: atomic,
    Promise.FILTER: filter_,
}


def verdicts(history: History, logs: Mapping[str, Log] | None = None) -> dict[Promise, Verdict]:
    """A verdict for each promise. One that was checked against nothing was not kept. `logs`: the
    truth by resource, if it is known; else what the observers know together."""
    if logs is None:
        logs = {resource: Log.of(history, resource) for resource in history.start}
    found = {promise: Verdict() for promise in Promise}
    for watch in history.watches:
        log = logs[watch.resource]
        if watch.refused_at and watch.refused_at - watch.since < history.window:
            found[Promise.RESUMABLE].broken.append(
                f"{watch.name}: refused as too old though the newest is {watch.refused_at} and"
                f" {history.window} are kept"
            )
        told = taken_apart(watch, log)
        for promise, check in _CHECKS.items():
            check(told, log, found[promise])
    return found


def unseen(history: History) -> list[str]:
    """The spans of revisions in which nobody watched a whole collection, so that the log may lack
    a deletion, and nothing can be said: a history with one proves nothing."""
    found = []
    for resource, listing in history.start.items():
        log = Log.of(history, resource)
        spans = [_span(taken_apart(watch, log)) for watch in history.watches
                 if watch.resource == resource and watch.wanted == Selection()]  # fmt: skip
        reached = listing.revision
        for after, until in sorted(spans):
            if after > reached:
                break
            reached = max(reached, until)
        newest = max(log.facts, default=reached)
        if reached < newest:
            found.append(f"{resource}: nobody watched all from {reached} to {newest}")
    return found


def _span(told: Told) -> tuple[int, int]:
    """(after, until] of which a watcher knows all."""
    if not told.at or told.watch.refused_at:
        return told.watch.until, told.watch.until
    return told.at, max([told.end, *(event.revision for event in told.events)])


def taken_apart(watch: Watch, log: Log) -> Told:
    """What a watch was told, as state and changes.

    Where nothing marks the end of the state, it is the one that some revision had and that the
    first events are: of several such revisions the last before the next event.
    """
    events = watch.events
    if watch.start is Start.LIST:
        return Told(watch, watch.base, watch.since, (), events)
    if watch.start is Start.RESUMED:
        return Told(watch, None, watch.since, (), events)
    size, at = _state_end(watch, log)
    first = [event for event in events[:size] if event.shown is not None]
    state = {event.shown.key: event.shown for event in first if event.shown is not None}
    return Told(watch, state if at else None, at, first, events[size:])


def _state_end(watch: Watch, log: Log) -> tuple[int, int]:
    """How many events are the state, and its revision: 0 if nobody can know, because the watch was
    cut before its mark or, without marks, at all."""
    events = watch.events
    for number, event in enumerate(events, 1):  # also where no mark was asked for but bookmarks
        if event.ends_state:
            return number, event.revision
    if watch.start is Start.MARKED_STATE:
        return len(events), 0
    best = len(events), watch.until
    if not watch.until:
        return best
    oldest = log.changed_by(watch.since)
    for revision, state in log.states(watch.wanted):
        size = len(state)
        following = events[size].revision if size < len(events) else watch.until + 1
        if revision < oldest or revision >= following or size > len(events):
            continue
        if _is_state(events[:size], state):
            best = size, revision
    return best


def _is_state(events: Sequence[Event], state: Mapping[str, Shown]) -> bool:
    return all(
        event.type is Change.ADDED
        and event.shown is not None
        and event.shown.key in state
        and state[event.shown.key].revision == event.revision
        for event in events
    )


def _all_told(told: Told, log: Log, span: tuple[int, int], verdict: Verdict) -> None:
    """Every change in (after, until] that concerns the watch is among its events."""
    seen = {event.revision for event in told.changes}
    for revision in log.visible(told.watch.wanted, *span):
        verdict.checked += 1
        if revision not in seen:
            key = log.facts[revision].shown.key
            verdict.broken.append(f"{told.watch.name}: not told of {key} at {revision}")


def _name(event: Event) -> str:
    key = event.shown.key if event.shown is not None else ""
    return f"{event.type} {key} at {event.revision}"
