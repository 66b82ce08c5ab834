"""The checker of the kill suite: silent on every honest history, loud on every kind of lie."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
from kills.history import (
    Change,
    Event,
    History,
    Key,
    Listing,
    Outcome,
    Read,
    State,
    Watch,
    Write,
    problems,
)

from kubeherd.cluster.runtime.rng import Rng

RESOURCES = ("configmaps", "nodes")


class HonestServer:
    """Makes histories of a server that loses answers and is killed, but no acknowledged write."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.now = 0
        self.revision = 1
        self.states: dict[Key, State] = {}
        self.history = History({r: Listing(r, 1, {}) for r in RESOURCES})
        self.watches = [Watch(f"{r}-{n}", r, 1, {}) for r in RESOURCES for n in range(2)]
        self.history.watches = list(self.watches)

    def tick(self) -> int:
        self.now += 1
        return self.now

    def run(self, steps: int) -> History:
        for step in range(steps):
            self.write(step)
            self.read()
            if self.rng.random() < 0.05:
                self.list()
            if self.rng.random() < 0.02:
                self.relist()
        for _ in range(2):
            self.list()
        for watch in self.watches:
            watch.reached = self.revision
        return self.history

    def write(self, step: int) -> None:
        began = self.tick()
        key = (self.rng.choice(RESOURCES), f"o{self.rng.randrange(8)}")
        old = self.states.get(key)
        outcome = self.rng.choice([Outcome.DONE] * 6 + [Outcome.REFUSED, Outcome.UNKNOWN])
        happens = outcome is Outcome.DONE or (
            outcome is Outcome.UNKNOWN and self.rng.random() < 0.5
        )
        deletes = old is not None and self.rng.random() < 0.2
        token = "" if deletes else f"t{step}"
        state = None
        if happens:
            self.revision += 1
            uid = old.uid if old is not None else f"u{step}"
            state = State(self.revision, old.token if deletes and old else token, uid)
            change = Change.ADDED if old is None else Change.MODIFIED
            if deletes:
                del self.states[key]
            else:
                self.states[key] = state
            event = Event(Change.DELETED if deletes else change, key, state, self.tick())
            for watch in self.watches:
                if watch.resource == key[0]:
                    watch.events.append(event)
        done = outcome is Outcome.DONE
        answer = Write(
            key,
            token,
            outcome,
            began,
            self.tick(),
            state if done and not deletes else None,
            state.uid if done and deletes and state is not None else "",
            old.revision if old is not None and self.rng.random() < 0.5 else 0,
        )
        self.history.writes.append(answer)

    def read(self) -> None:
        key = (self.rng.choice(RESOURCES), f"o{self.rng.randrange(8)}")
        self.history.reads.append(Read(key, self.states.get(key), self.tick(), self.tick()))

    def list(self) -> None:
        for resource in RESOURCES:
            began = self.tick()
            states = {key: state for key, state in self.states.items() if key[0] == resource}
            listing = Listing(resource, self.revision, states, began, self.tick())
            self.history.listings.append(listing)

    def relist(self) -> None:
        """A watcher that was told 410 begins anew."""
        place = self.rng.randrange(len(self.watches))
        old = self.watches[place]
        old.reached = old.events[-1].state.revision if old.events else old.since
        states = {key: state for key, state in self.states.items() if key[0] == old.resource}
        self.watches[place] = Watch(old.name, old.resource, self.revision, states)
        self.history.watches.append(self.watches[place])


def honest(seed: int = 1, steps: int = 300) -> History:
    return HonestServer(Rng(seed)).run(steps)


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_history_has_no_problems(seed: int) -> None:
    assert problems(honest(seed)) == []


def test_a_list_of_an_older_revision_may_be_asked_for() -> None:
    """The newest one need not be an object's: etcd's compaction has a key, too."""
    history = honest()
    for again in (False, True):
        first, last = history.listings[0], history.listings[-1]
        now = last.ended + 1
        history.listings.append(dataclasses.replace(first, began=now, ended=now + 1, exact=again))
        assert bool(problems(history)) is not again
        history.listings.pop()


# --- mutants: each takes an honest history and tells one lie ---


def _done(history: History) -> list[int]:
    return [at for at, write in enumerate(history.writes) if write.state is not None]


def _busy(history: History) -> Watch:
    return max(history.watches, key=lambda watch: len(watch.events))


def _without(history: History, revision: int) -> None:
    for watch in history.watches:
        watch.events = [event for event in watch.events if event.state.revision != revision]


def lost_write(history: History) -> None:
    """The last write of an object vanishes as if it had never been, but for its answer."""
    key, state = max(history.listings[-1].states.items(), key=lambda item: item[1].revision)
    _without(history, state.revision)
    history.listings = [
        dataclasses.replace(one, states={k: s for k, s in one.states.items() if s != state})
        for one in history.listings
    ]
    writes = [w for w in history.writes if w.key == key and w.token == state.token]
    answered = dataclasses.replace(writes[0], outcome=Outcome.DONE, state=state)
    history.writes[history.writes.index(writes[0])] = answered


def lost_from_the_list(history: History) -> None:
    last = history.listings[-1]
    rest = dict(list(last.states.items())[1:])
    history.listings[-1] = dataclasses.replace(last, states=rest)


def old_state_in_the_list(history: History) -> None:
    last = history.listings[-1]
    key, state = next(iter(last.states.items()))
    old = next(e.state for w in history.watches for e in w.events if e.key == key)
    assert old != state
    history.listings[-1] = dataclasses.replace(last, states={**last.states, key: old})


def deleted_object_returns(history: History) -> None:
    gone = next(write for write in history.writes if write.uid)
    last = next(one for one in reversed(history.listings) if one.resource == gone.key[0])
    states = {**last.states, gone.key: State(2, "t", gone.uid)}
    history.listings[history.listings.index(last)] = dataclasses.replace(last, states=states)


def lost_deletion(history: History) -> None:
    """Nobody hears of a deletion that was acknowledged, and the object stays in the list."""
    acknowledged = {write.uid for write in history.writes if write.uid}
    last, before, deletion = next(
        (last, watch.events[at], event)
        for last in history.listings[-2:]
        for watch in history.watches
        for event in watch.events
        if event.type is Change.DELETED
        if event.key[0] == last.resource and event.key not in last.states
        if event.state.uid in acknowledged
        for at in range(watch.events.index(event))
        if watch.events[at].state[1:] == event.state[1:]
    )
    _without(history, deletion.state.revision)
    states = {**last.states, before.key: before.state}
    history.listings[history.listings.index(last)] = dataclasses.replace(last, states=states)


def invented_state(history: History) -> None:
    watch = _busy(history)
    newest = history.listings[-1].revision + 1
    state = State(newest, "nobody wrote this", "u")
    watch.events.append(Event(Change.ADDED, (watch.resource, "new"), state))


def refused_write_exists(history: History) -> None:
    write = history.writes[_done(history)[5]]
    history.writes[_done(history)[5]] = dataclasses.replace(
        write, outcome=Outcome.REFUSED, state=None
    )


def invented_deletion(history: History) -> None:
    gone = next(at for at, write in enumerate(history.writes) if write.uid)
    key = history.writes[gone].key
    history.writes = [w for w in history.writes if w.token or w.key != key]


def deletion_of_something_else(history: History) -> None:
    for watch in history.watches:
        for at, event in enumerate(watch.events):
            if event.type is Change.DELETED:
                watch.events[at] = dataclasses.replace(
                    event, state=event.state._replace(token="another")
                )


def write_applied_twice(history: History) -> None:
    resource = history.listings[-1].resource
    newest = history.listings[-1].revision + 1
    key, state = next(iter(history.listings[-1].states.items()))
    for watch in history.watches:
        if watch.resource == resource and watch.reached == history.listings[-1].revision:
            watch.events.append(Event(Change.MODIFIED, key, state._replace(revision=newest)))


def reused_revision(history: History) -> None:
    first, second = _done(history)[3], _done(history)[4]
    state = history.writes[first].state
    assert state is not None
    write = history.writes[second]
    assert write.state is not None
    history.writes[second] = dataclasses.replace(
        write, state=write.state._replace(revision=state.revision)
    )


def answer_goes_back(history: History) -> None:
    last = history.listings[-1]
    empty = Listing(last.resource, last.revision - 5, {}, last.ended + 1, last.ended + 2)
    states = {k: s for k, s in last.states.items() if s.revision <= empty.revision}
    history.listings.append(dataclasses.replace(empty, states=states))


def write_gets_an_old_revision(history: History) -> None:
    """The server lost its past: its next write has a revision that is in nobody's watch."""
    now = history.listings[-1].ended
    key = ("configmaps", "late")
    history.writes.append(
        Write(key, "late", Outcome.DONE, now + 1, now + 2, State(1, "late", "late"))
    )


def gap(history: History) -> None:
    watch = _busy(history)
    del watch.events[len(watch.events) // 2]


def missed_at_the_end(history: History) -> None:
    _busy(history).events.pop()


def duplicate(history: History) -> None:
    events = _busy(history).events
    events.insert(10, events[9])


def duplicate_after_a_while(history: History) -> None:
    events = _busy(history).events
    events.append(events[9])


def swapped(history: History) -> None:
    events = _busy(history).events
    events[5], events[6] = events[6], events[5]


def another_uid(history: History) -> None:
    last = history.listings[-1]
    key, state = next(iter(last.states.items()))
    states = {**last.states, key: state._replace(uid="another")}
    history.listings[-1] = dataclasses.replace(last, states=states)


def wrong_change(history: History) -> None:
    for watch in history.watches:
        for at, event in enumerate(watch.events):
            if event.type is Change.ADDED:
                watch.events[at] = dataclasses.replace(event, type=Change.MODIFIED)


def _read_of_something(history: History) -> int:
    return max(at for at, read in enumerate(history.reads) if read.state is not None)


def old_state_read(history: History) -> None:
    late = history.reads[_read_of_something(history)]
    early = next(r for r in history.reads if r.key == late.key and r.state is not None)
    history.reads.append(dataclasses.replace(late, state=early.state))


def read_that_misses_it(history: History) -> None:
    end = history.writes[-1].ended
    key = next(iter(history.listings[-1].states))
    history.reads.append(Read(key, None, end, end + 1))


def read_of_nothing(history: History) -> None:
    read = history.reads[_read_of_something(history)]
    assert read.state is not None
    history.reads.append(dataclasses.replace(read, state=read.state._replace(token="none")))


def update_overwritten(history: History) -> None:
    at = next(at for at in _done(history) if history.writes[at].rests_on)
    write = history.writes[at]
    history.writes[at] = dataclasses.replace(write, rests_on=write.rests_on - 1)


def created_over_another(history: History) -> None:
    """A create that was to be refused: its object is there already."""
    watch = next(one for one in history.watches if one.reached == history.listings[-1].revision)
    key = next(
        key
        for listing in history.listings[-2:]
        for key in listing.states
        if key[0] == watch.resource
    )
    new = State(history.listings[-1].revision + 1, "new", "another")
    watch.events.append(Event(Change.MODIFIED, key, new))
    end = history.writes[-1].ended
    history.writes.append(Write(key, "new", Outcome.DONE, end, end + 1, new))


MUTANTS: list[tuple[Callable[[History], None], str]] = [
    (lost_write, "gap"),
    (lost_write, "lost"),
    (lost_from_the_list, "lost"),
    (old_state_in_the_list, "lost"),
    (deleted_object_returns, "lost"),
    (lost_deletion, "lost"),
    (invented_state, "invented"),
    (refused_write_exists, "invented"),
    (invented_deletion, "invented"),
    (deletion_of_something_else, "invented"),
    (write_applied_twice, "twice"),
    (reused_revision, "reused"),
    (another_uid, "reused"),
    (answer_goes_back, "back"),
    (write_gets_an_old_revision, "back"),
    (swapped, "back"),
    (gap, "gap"),
    (missed_at_the_end, "gap"),
    (wrong_change, "gap"),
    (old_state_read, "stale"),
    (read_that_misses_it, "stale"),
    (read_of_nothing, "reused"),
    (update_overwritten, "overwritten"),
    (created_over_another, "overwritten"),
    (duplicate, "duplicate"),
    (duplicate_after_a_while, "duplicate"),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("mutant", "kind"), MUTANTS)
def test_a_lie_is_found(mutant: Callable[[History], None], kind: str, seed: int) -> None:
    history = copy.deepcopy(honest(seed))
    mutant(history)
    found = problems(history)
    assert any(line.startswith(f"{kind}: ") for line in found), found
