"""What watchers of an API server were told, as values, and what the revisions stand for. Pure.

A history is made by whoever watches; `Log.of` puts together what all observers know: at most one
change of one object has each revision. What observers disagree about is for the checks to find.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, StrEnum

import msgspec


class Change(StrEnum):
    """The types of watch events."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


class Shown(msgspec.Struct, frozen=True):
    """An object as an observer was shown it. `metadata` and `whole` are digests of what it was
    shown without the resourceVersion; `whole` is "" for one who is shown metadata only."""

    key: str
    """``namespace/name``, or ``name``."""
    revision: int
    uid: str
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    metadata: str
    whole: str = ""

    def same(self, other: "Shown") -> bool:
        """Whether both show one state, as far as both show it; revisions are not compared."""
        if self.key != other.key or self.metadata != other.metadata:
            return False
        return self.whole == other.whole or not (self.whole and other.whole)


class Event(msgspec.Struct, frozen=True):
    """One watch event; a BOOKMARK shows nothing but its revision, and perhaps that the state with
    which the watch began ends here."""

    type: Change
    revision: int
    shown: Shown | None = None
    ends_state: bool = False


class Selection(msgspec.Struct, frozen=True):
    """Which objects a watch is about; `labels` has the values that are wanted of a label."""

    namespace: str = ""
    name: str = ""
    labels: Mapping[str, frozenset[str]] = {}
    fields: Mapping[str, str] = {}

    def takes(self, shown: Shown | None) -> bool:
        """Whether this state of an object is selected; None, no object, is not."""
        if shown is None:
            return False
        namespace, _, name = shown.key.rpartition("/")
        return (
            self.namespace in ("", namespace)
            and self.name in ("", name)
            and all(shown.labels.get(key, "") in wanted for key, wanted in self.labels.items())
            and all(shown.fields.get(key, "") == wanted for key, wanted in self.fields.items())
        )

    @property
    def by_state(self) -> bool:
        """Whether objects come and go by what they are, not only by their names."""
        return bool(self.labels or self.fields)


class Start(Enum):
    """How a watch begins."""

    LIST = "after a list that the watcher made"
    STATE = "with the state as ADDED events, whose end nothing marks"
    MARKED_STATE = "with the state as ADDED events, and a bookmark that ends it"
    RESUMED = "after the revision that the watcher's last one reached"


class Watch(msgspec.Struct):
    """One request for a watch, and all that was told in answer to it."""

    watcher: str
    resource: str
    wanted: Selection
    start: Start
    since: int = 0
    """The revision after which changes were asked for; where the watch begins with the state, one
    that was there before it was asked for."""
    base: Mapping[str, Shown] = {}
    """Of LIST: the list, by key."""
    events: list[Event] = []
    until: int = 0
    """The watcher was given time to be told of all changes up to this revision; 0: it was not."""
    refused_at: int = 0
    """The revision was refused as too old; a list right after it had this revision."""

    @property
    def name(self) -> str:
        """Who watches what, for people."""
        return f"{self.watcher} ({self.resource} after {self.since})"


class Listing(msgspec.Struct, frozen=True):
    """A whole collection as of one revision, by key."""

    revision: int
    objects: Mapping[str, Shown]


class History(msgspec.Struct):
    """Everything that was seen since the lists in `start`, one of each resource.

    `written` is what writers were answered, (resource, object); `window` is how many of the newest
    revisions the server is bound to remember.
    """

    start: Mapping[str, Listing]
    window: int
    written: list[tuple[str, Shown]] = []
    watches: list[Watch] = []


class Fact(msgspec.Struct, frozen=True):
    """What one revision stands for: an object's state before and after it; `shown` is the state
    that its event shows, which for a deletion is the last one."""

    revision: int
    shown: Shown
    before: Shown | None
    after: Shown | None

    def seen_by(self, wanted: Selection) -> Change | None:
        """The type of the event that a watcher of this selection gets, None for no event."""
        was, now = wanted.takes(self.before), wanted.takes(self.after)
        if now:
            return Change.MODIFIED if was else Change.ADDED
        return Change.DELETED if was else None


class Log:
    """The changes of one resource, in order."""

    def __init__(self, start: Listing, told: Mapping[int, tuple[Change, Shown]]) -> None:
        self.start = start
        self.facts: dict[int, Fact] = {}
        state = dict(start.objects)
        for revision in sorted(told):
            if revision <= start.revision:
                continue
            type_, shown = told[revision]
            after = None if type_ is Change.DELETED else shown
            self.facts[revision] = Fact(revision, shown, state.get(shown.key), after)
            if after is None:
                state.pop(shown.key, None)
            else:
                state[shown.key] = after
        self._revisions = list(self.facts)
        self._seen: dict[int, tuple[Selection, list[int]]] = {}

    @staticmethod
    def of(history: History, resource: str) -> "Log":
        """What all observers together know; where they disagree, the first is believed."""
        told: dict[int, tuple[Change, Shown]] = {}
        for where, shown in history.written:
            if where == resource:
                told.setdefault(shown.revision, (Change.MODIFIED, shown))
        watches = [watch for watch in history.watches if watch.resource == resource]
        for watch in sorted(watches, key=lambda watch: watch.wanted.by_state):
            for event in watch.events:
                if event.shown is None or not event.shown.whole:
                    continue
                # one who selects by state is told DELETED of what only changed
                if event.type is not Change.DELETED or not watch.wanted.by_state:
                    told.setdefault(event.revision, (event.type, event.shown))
        return Log(history.start[resource], told)

    def visible(self, wanted: Selection, after: int, until: int) -> Sequence[int]:
        """The revisions in (after, until] of which a watcher of this selection is told."""
        known = self._seen.get(id(wanted))
        if known is None:
            seen = [at for at, fact in self.facts.items() if fact.seen_by(wanted) is not None]
            known = self._seen[id(wanted)] = wanted, seen  # kept, so that the id stays its own
        revisions = known[1]
        return revisions[bisect_right(revisions, after) : bisect_right(revisions, until)]

    def changed_by(self, revision: int) -> int:
        """The last change that is no newer than `revision`."""
        place = bisect_right(self._revisions, revision)
        return self._revisions[place - 1] if place else self.start.revision

    def states(self, wanted: Selection) -> Iterator[tuple[int, dict[str, Shown]]]:
        """The selected objects at each revision from the start on. One dict, which changes."""
        state = {key: shown for key, shown in self.start.objects.items() if wanted.takes(shown)}
        yield self.start.revision, state
        for revision, fact in self.facts.items():
            if fact.after is not None and wanted.takes(fact.after):
                state[fact.shown.key] = fact.after
            else:
                state.pop(fact.shown.key, None)
            yield revision, state

    def state_at(self, wanted: Selection, revision: int) -> dict[str, Shown]:
        """The selected objects as of a revision."""
        found: dict[str, Shown] = {}
        for at, state in self.states(wanted):
            if at > revision:
                break
            found = state if at == revision else dict(state)
            if at == revision:
                break
        return dict(found)
