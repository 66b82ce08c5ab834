"""Events of several watches, given out in the order of their revisions."""

from kubeherd.following.ordering import WAIT_S, Ordering
from kubeherd.history import Verb, Write


def write(revision: int, resource: str = "pods", at: float = 0.0, name: str = "a") -> Write:
    return Write(
        at=at, revision=revision, verb=Verb.UPDATE, resource=resource, namespace="x", name=name,
        object={"metadata": {"name": name, "namespace": "x"}, "spec": {"replicas": revision}},
    )  # fmt: skip


def ready(ordering: Ordering, now: float = 0.0) -> list[int]:
    return [one.revision for one in ordering.ready(now)]


def test_an_event_waits_until_every_watch_is_past_it():
    ordering = Ordering()
    for resource in ("pods", "nodes"):
        ordering.passed(resource, 10)
    ordering.add(write(12))
    assert ready(ordering) == []
    ordering.add(write(11, "nodes"))
    ordering.add(write(13))
    assert ready(ordering) == [11]
    ordering.passed("nodes", 12)
    assert ready(ordering) == [12]
    assert [one.revision for one in ordering.rest()] == [13]
    assert not ordering.late


def test_an_event_does_not_wait_for_long_for_a_watch_without_bookmarks():
    ordering = Ordering()
    ordering.passed("nodes", 10)
    ordering.add(write(12, at=100.0))
    assert ready(ordering, 100.0 + WAIT_S / 2) == []
    assert ready(ordering, 100.0 + WAIT_S) == [12]
    ordering.add(write(11, "nodes", at=103.0))
    assert ready(ordering, 103.0) == [11]
    assert ordering.late == 1
