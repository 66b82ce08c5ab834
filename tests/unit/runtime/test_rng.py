"""Chance that can be repeated."""

import tracemalloc
import uuid

from kubeherd.cluster.runtime.rng import Rng


def test_the_same_seed_gives_the_same_decisions_and_no_seed_does_not() -> None:
    assert [Rng(7).random() for _ in range(2)] == [Rng(7).random()] * 2
    assert Rng().random() != Rng().random()


def test_children_depend_on_seed_and_name_and_not_on_what_was_drawn() -> None:
    parent = Rng(7)
    before = parent.child("a").random()
    parent.random()
    assert parent.child("a").random() == before
    assert parent.child("b").random() != before
    assert Rng(8).child("a").random() != before
    assert parent.child("a").child("b").random() != parent.child("b").random()


def test_jitter_only_lengthens() -> None:
    rng = Rng(1)
    values = [rng.jittered(10, 0.2) for _ in range(200)]
    assert 10 <= min(values) < 10.2
    assert 11.8 < max(values) <= 12


def test_uuids_are_version_4_and_differ() -> None:
    rng = Rng(1)
    made = {uuid.UUID(rng.uuid4()) for _ in range(20)}
    assert len(made) == 20
    assert {(u.version, u.variant) for u in made} == {(4, uuid.RFC_4122)}


def test_a_stream_that_nothing_is_drawn_from_is_small() -> None:
    parent = Rng(7)
    tracemalloc.start()
    try:
        streams = [parent.child(str(number)) for number in range(100)]
        assert tracemalloc.get_traced_memory()[0] < 40_000
        assert len({stream.random() for stream in streams}) == 100
        assert tracemalloc.get_traced_memory()[0] > 200_000
    finally:
        tracemalloc.stop()
