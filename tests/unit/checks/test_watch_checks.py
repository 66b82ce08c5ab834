"""The checks of watches: silent on every honest history, and each loud on a watch that breaks just
its promise, while the others keep still."""

from collections.abc import Callable

import msgspec
import pytest

from kubeherd.checks.watches import Promise, unseen, verdicts
from kubeherd.checks.watchhistory import (
    Change,
    Event,
    History,
    Listing,
    Log,
    Selection,
    Shown,
    Start,
    Watch,
)
from kubeherd.cluster.runtime.rng import Rng

ALL = Selection()
RED = Selection(labels={"colour": frozenset({"red"})})
SELECTIONS = (
    ALL, RED, Selection("x"), Selection("y", "a"), Selection(fields={"node": "n1"}),
    Selection("x", labels={"colour": frozenset({"red", "blue"})}),
)  # fmt: skip
STEPS = 80
WINDOW = 40


class HonestServer:
    """Writes to a few objects and watches as the promises say: a model of both."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.revision = 10
        self.log: list[tuple[int, Shown | None, Shown]] = []
        """(revision, the state after it, the state that is shown)."""
        self.objects = {"x/a": self.made("x/a")}
        start = Listing(self.revision, dict(self.objects))
        self.history = History({"things": start}, WINDOW)

    def made(self, key: str) -> Shown:
        self.revision += 1
        colour, node = self.rng.choice(("red", "blue", "green")), self.rng.choice(("n1", "n2"))
        digest = f"{colour}.{node}.{self.revision}"
        uid = f"u-{key}"
        return Shown(key, self.revision, uid, {"colour": colour}, {"node": node}, digest, digest)

    def write(self) -> None:
        key = self.rng.choice(("x/a", "x/b", "y/a", "y/c"))
        if key in self.objects and self.rng.random() < 0.25:
            self.revision += 1
            last = self.objects.pop(key)
            shown = msgspec.structs.replace(last, revision=self.revision)
            self.log.append((self.revision, None, shown))
            return
        shown = self.objects[key] = self.made(key)
        self.history.written.append(("things", shown))
        self.log.append((self.revision, shown, shown))

    def events(self, wanted: Selection, since: int) -> list[Event]:
        state = dict(self.history.start["things"].objects)
        found = []
        for revision, after, shown in self.log:
            before = state.pop(shown.key, None)
            if after is not None:
                state[shown.key] = after
            was, now = wanted.takes(before), wanted.takes(after)
            if revision <= since or not (was or now):
                continue
            if now:
                found.append(Event(Change.MODIFIED if was else Change.ADDED, revision, shown))
            else:
                last = shown if after is None else before
                assert last is not None
                last = msgspec.structs.replace(last, revision=revision)
                found.append(Event(Change.DELETED, revision, last))
        return found

    def state(self, wanted: Selection) -> dict[str, Shown]:
        return {key: self.objects[key] for key in sorted(self.objects)
                if wanted.takes(self.objects[key])}  # fmt: skip

    def run(self) -> History:
        """Watches of all kinds begin at all times; some are cut and resumed."""
        begun: list[tuple[Watch, int]] = []
        for step in range(STEPS):
            self.write()
            if step % 4 == 0:
                begun.append(self.watch(f"w{step}", self.rng.choice(SELECTIONS)))
        begun.append(self.watch("late", ALL))
        first = Watch("first", "things", ALL, Start.LIST, 11, self.history.start["things"].objects)
        begun.append((first, 11))
        for watch, since in begun:
            self.finish(watch, since)
        return self.history

    def watch(self, name: str, wanted: Selection) -> tuple[Watch, int]:
        start = self.rng.choice((Start.LIST, Start.STATE, Start.MARKED_STATE))
        watch = Watch(name, "things", wanted, start, self.revision)
        if start is Start.LIST:
            watch.base = self.state(wanted)
        else:
            watch.events = [
                Event(Change.ADDED, shown.revision, shown) for shown in self.state(wanted).values()
            ]
        if start is Start.MARKED_STATE:
            watch.events.append(Event(Change.BOOKMARK, self.revision, None, ends_state=True))
        return watch, self.revision

    def finish(self, watch: Watch, since: int) -> None:
        """Tell it what followed; perhaps in two watches, the second one resumed."""
        following = self.events(watch.wanted, since)
        self.history.watches.append(watch)
        cut = self.rng.random() < 0.5 and watch.start is not Start.STATE
        if cut:
            number = self.rng.randrange(len(following) + 1)
            reached = following[number - 1].revision if number else since
            watch.events += following[:number]
            rest = Watch(watch.watcher, "things", watch.wanted, Start.RESUMED, reached)
            rest.events = self.events(watch.wanted, reached)
            self.history.watches.append(rest)
            watch = rest
        else:
            watch.events += following
        watch.until = self.revision
        if self.rng.random() < 0.7:
            places = [n for n, event in enumerate(watch.events) if n and event.revision > since]
            if places and watch.start is not Start.STATE:
                at = self.rng.choice(places)
                bookmark = watch.events[at].revision - 1
                if bookmark >= watch.events[at - 1].revision:
                    watch.events.insert(at, Event(Change.BOOKMARK, bookmark))


def broken(history: History) -> set[Promise]:
    return {promise for promise, verdict in verdicts(history).items() if verdict.broken}


def test_an_honest_history_keeps_all_promises() -> None:
    checked = dict.fromkeys(Promise, 0)
    for seed in range(12):
        history = HonestServer(Rng(seed)).run()
        found = verdicts(history)
        assert {promise: v.broken for promise, v in found.items() if v.broken} == {}, seed
        assert unseen(history) == []
        for promise, verdict in found.items():
            checked[promise] += verdict.checked
    assert min(checked.values()) > 50, checked


# --- mutants: watches that break one promise. Each changes the history, or says that it cannot. ---


def _plain(watch: Watch) -> bool:
    """Whether all events are changes in the middle of which something can be done."""
    whole = watch.start is Start.LIST and watch.until > 0
    return whole and len(watch.events) > 5 and not _marks(watch)


def _marks(watch: Watch) -> list[int]:
    return [n for n, event in enumerate(watch.events) if event.type is Change.BOOKMARK]


def _swap(watch: Watch) -> bool:
    if _plain(watch):
        watch.events[2:4] = [watch.events[3], watch.events[2]]
    return _plain(watch)


def _repeat(watch: Watch) -> bool:
    if _plain(watch):
        watch.events.insert(3, watch.events[3])
    return _plain(watch)


def _drop(watch: Watch) -> bool:
    if _plain(watch):
        del watch.events[3]
    return _plain(watch)


def _drop_the_last(watch: Watch) -> bool:
    if _plain(watch):
        watch.events.pop()
    return _plain(watch)


def _skip_when_resumed(watch: Watch) -> bool:
    able = watch.start is Start.RESUMED and len(watch.events) > 3 and not _marks(watch)
    if able:
        del watch.events[0]
    return able


def _repeat_when_resumed(watch: Watch) -> bool:
    able = watch.start is Start.RESUMED and len(watch.events) > 3 and not _marks(watch)
    if able:
        watch.since = watch.events[0].revision
    return able


def _forget_early(watch: Watch) -> bool:
    able = watch.start is Start.RESUMED and 0 < watch.until - watch.since < WINDOW
    if able:
        watch.refused_at, watch.until, watch.events = watch.until, 0, []
    return able


def _mark_early(watch: Watch) -> bool:
    able = watch.start is Start.LIST and bool(_marks(watch)) and len(watch.events) > 4
    if able:
        at = _marks(watch)[0]
        if at + 1 == len(watch.events):
            return False
        watch.events[at] = Event(Change.BOOKMARK, watch.events[at + 1].revision)
    return able


def _half_written(watch: Watch) -> bool:
    if not _plain(watch):
        return False
    event = watch.events[3]
    assert event.shown is not None
    shown = msgspec.structs.replace(event.shown, metadata="half", whole="half")
    watch.events[3] = msgspec.structs.replace(event, shown=shown)
    return True


def _two_revisions(watch: Watch) -> bool:
    able = watch.start is Start.LIST and len(watch.base) > 1
    if able:
        key = next(iter(watch.base))
        older = msgspec.structs.replace(watch.base[key], revision=1)
        watch.base = {**watch.base, key: older}
    return able


def _wrong_type(watch: Watch) -> bool:
    if not _plain(watch):
        return False
    event = watch.events[3]
    other = Change.ADDED if event.type is Change.MODIFIED else Change.MODIFIED
    if event.type is Change.DELETED:
        return False  # it shows the state before, which would be one thing more that is wrong
    watch.events[3] = msgspec.structs.replace(event, type=other)
    return True


MUTANTS: list[tuple[Promise, Callable[[Watch], bool]]] = [
    (Promise.ORDERED, _swap),
    (Promise.UNIQUE, _repeat),
    (Promise.RELIABLE, _drop),
    (Promise.RELIABLE, _drop_the_last),
    (Promise.RESUMABLE, _skip_when_resumed),
    (Promise.RESUMABLE, _repeat_when_resumed),
    (Promise.RESUMABLE, _forget_early),
    (Promise.BOOKMARKABLE, _mark_early),
    (Promise.ATOMIC, _half_written),
    (Promise.ATOMIC, _two_revisions),
    (Promise.FILTER, _wrong_type),
]


@pytest.mark.parametrize(
    ("promise", "mutate"), MUTANTS, ids=lambda case: getattr(case, "__name__", case)
)
def test_a_watch_that_breaks_one_promise_is_found_by_its_check(
    promise: Promise, mutate: Callable[[Watch], bool]
) -> None:
    found = 0
    for seed in range(5):
        for number in range(len(HonestServer(Rng(seed)).run().watches)):
            history = HonestServer(Rng(seed)).run()
            if mutate(history.watches[number]):
                found += 1
                assert broken(history) == {promise}, (seed, number)
                break
    assert found > 2


def _first(fits: Callable[[Watch], bool]) -> tuple[History, Watch]:
    """A history with such a watch, and the watch."""
    for seed in range(50):
        history = HonestServer(Rng(seed)).run()
        for watch in history.watches:
            if fits(watch):
                return history, watch
    pytest.fail("no history has one")


def test_an_event_that_does_not_concern_the_watcher_is_found() -> None:
    history, everything = _first(lambda w: w.wanted == ALL and _plain(w))
    narrow = msgspec.structs.replace(everything, wanted=RED, base={}, events=[])
    log = Log.of(history, "things")
    narrow.base = log.state_at(RED, narrow.since)
    narrow.events = [event for event in everything.events if event.shown is not None]
    history.watches.append(narrow)
    assert broken(history) == {Promise.FILTER}


def test_an_event_that_nobody_made_is_found() -> None:
    history, watch = _first(lambda w: _plain(w) and w.wanted.by_state)
    shown = watch.events[-1].shown
    assert shown is not None
    partial = msgspec.structs.replace(shown, revision=9000, whole="")
    watch.events.append(Event(Change.MODIFIED, 9000, partial))
    assert broken(history) == {Promise.ATOMIC}


def test_a_state_that_ends_too_early_is_found() -> None:
    history, watch = _first(lambda w: w.start is Start.MARKED_STATE and _marks(w)[0] >= 2)
    at = _marks(watch)[0]
    watch.events[at - 1 : at + 1] = [watch.events[at], watch.events[at - 1]]
    assert Promise.ATOMIC in broken(history)


def test_a_state_without_a_mark_that_is_none_is_found() -> None:
    history, watch = _first(
        lambda w: w.start is Start.STATE and bool(w.events) and w.events[0].revision <= w.since
    )
    del watch.events[0]
    assert Promise.ATOMIC in broken(history)


def test_a_mark_counts_also_where_none_was_asked_for() -> None:
    """A watch from nothing that allows bookmarks gets one after the state."""
    history, watch = _first(
        lambda w: w.start is Start.STATE and bool(w.events) and w.events[0].revision <= w.since
    )
    state = [event for event in watch.events if event.revision <= watch.since]
    mark = Event(Change.BOOKMARK, watch.since, None, ends_state=True)
    watch.events.insert(len(state), mark)
    assert broken(history) == set()
    del watch.events[0]
    assert Promise.ATOMIC in broken(history)


def test_a_span_that_nobody_watched_is_told() -> None:
    history = HonestServer(Rng(3)).run()
    history.watches = [watch for watch in history.watches if watch.wanted.by_state]
    assert unseen(history)[0].startswith("things: nobody watched all from 11 to ")
