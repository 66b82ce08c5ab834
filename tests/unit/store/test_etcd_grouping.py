"""Messages of a watch become progress: whole revisions, once, in order."""

from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.store.engine import Row
from kubeherd.cluster.store.etcd.grouping import Grouping


class Kv(msgspec.Struct):
    mod_revision: int
    key: bytes = b""
    create_revision: int = 0
    value: bytes = b""


class Event(msgspec.Struct):
    kv: Any
    type: int = 0
    prev_kv: Any = None


def to_row(event: Any) -> Row | None:
    if event.kv.key == b"other":
        return None
    return Row(event.kv.mod_revision, 1, False, "pods", "", event.kv.key.decode(), b"")


def events(*at: tuple[int, str]) -> list[Event]:
    return [Event(Kv(revision, name.encode())) for revision, name in at]


def seen(grouping: Grouping, batch: Iterable[Event], *, fragment: bool = False) -> Any:
    progress = grouping.events(batch, fragment=fragment)
    return progress and (progress.revision, [(row.revision, row.name) for row in progress.rows])


def test_a_message_is_complete() -> None:
    grouping = Grouping(4, to_row)
    assert seen(grouping, events((5, "a"), (5, "b"), (6, "a"))) == (
        6,
        [(5, "a"), (5, "b"), (6, "a")],
    )


def test_what_is_no_object_moves_the_revision_on() -> None:
    assert seen(Grouping(4, to_row), events((5, "other"))) == (5, [])


def test_a_revision_in_fragments_is_handed_on_once_it_is_whole() -> None:
    grouping = Grouping(4, to_row)
    assert seen(grouping, events((5, "a"), (6, "a")), fragment=True) == (5, [(5, "a")])
    assert grouping.nothing(9) is None
    assert seen(grouping, events((6, "b")), fragment=True) is None
    assert seen(grouping, events((6, "c"), (7, "a"))) == (
        7,
        [(6, "a"), (6, "b"), (6, "c"), (7, "a")],
    )


def test_time_that_passed_is_news_once() -> None:
    grouping = Grouping(4, to_row)
    progress = grouping.nothing(6)
    assert progress is not None
    assert (progress.revision, list(progress.rows)) == (6, [])
    assert grouping.nothing(6) is None
    assert grouping.nothing(5) is None


def test_what_was_seen_is_not_seen_again() -> None:
    grouping = Grouping(6, to_row)
    assert seen(grouping, events((5, "a"), (6, "a"))) is None


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    cuts=st.sets(st.integers(1, 30)),
    ends=st.sets(st.integers(1, 8)),
)
def test_however_it_is_cut_each_revision_comes_whole_and_once(
    sizes: list[int], cuts: set[int], ends: set[int]
) -> None:
    """`ends`: revisions at which a message ends; `cuts`: places at which it is in fragments."""
    grouping = Grouping(0, to_row)
    handed: list[tuple[int, str]] = []
    batch: list[Event] = []
    place = 0

    def send(*, fragment: bool) -> None:
        progress = grouping.events(batch, fragment=fragment)
        if progress is not None:
            handed.extend((row.revision, row.name) for row in progress.rows)
            assert {row.revision for row in progress.rows} <= set(range(progress.revision + 1))
            assert sum(sizes[: progress.revision]) == len(handed)
        batch.clear()

    for revision, size in enumerate(sizes, 1):
        for number in range(size):
            batch.extend(events((revision, str(number))))
            place += 1
            last = number == size - 1
            if last and (revision in ends or revision == len(sizes)):
                send(fragment=False)
            elif place in cuts:
                send(fragment=True)
    assert handed == [
        (revision, str(number)) for revision, size in enumerate(sizes, 1) for number in range(size)
    ]
