"""Faults that are a matter of which revision a client asks for: its query is another one. Pure.

A stale list is the list of an exact revision, as etcd or the watch cache would answer; a repeated
event is one that follows an older revision.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeAlias

from kubeherd.faults.effects import StaleList

Query: TypeAlias = dict[str, str]

MAX_REMEMBERED = 10_000


def stale(query: Mapping[str, str], effect: StaleList, newest: int, compacted: int) -> Query | None:
    """The query of a list that shows an older state; None if this list is not hit.

    A list from anywhere (``resourceVersion=0``) goes back by `revisions`, one with a minimum at
    most to that, and what is compacted cannot be shown. A list of an exact revision and a further
    page say themselves what they show.
    """
    asked = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    if query.get("continue") or match == "Exact" or not (asked.isdigit() or not asked):
        return None
    minimum = int(asked or 0)
    if (not asked and not effect.all) or (minimum and not match and query.get("limit")):
        return None
    revision = max(newest - effect.revisions, minimum, compacted, 1)
    if revision >= newest:
        return None
    exact = {**query, "resourceVersion": str(revision), "resourceVersionMatch": "Exact"}
    if asked == "0":
        exact.pop("limit", None)  # a list from a cache is not cut into pages
    return exact


def resumed_after(query: Mapping[str, str]) -> int:
    """The revision after which a watch wants changes; 0 if it wants to be sent what there is."""
    asked = query.get("resourceVersion", "")
    return int(asked) if asked.isdigit() and "sendInitialEvents" not in query else 0


def repeated(query: Mapping[str, str], revision: int) -> Query:
    """The query of a watch that begins after an older revision, and gets no bookmarks."""
    older = {**query, "resourceVersion": str(revision)}
    older.pop("allowWatchBookmarks", None)
    return older


class Repeats:
    """Which polls were repeated already: each is a resume, and must not go on for ever."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def is_new(self, key: tuple[str, ...], revision: int) -> bool:
        """Whether this client was not yet told again what is before this revision."""
        if self._last.get(key) == revision:
            return False
        self._last[key] = revision
        self._last.move_to_end(key)
        if len(self._last) > MAX_REMEMBERED:
            self._last.popitem(last=False)
        return True
