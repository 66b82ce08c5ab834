"""What is remembered of events, and for how long."""

from kubeherd.cluster.client.correlate import (
    BURST,
    COMBINED_PREFIX,
    MAX_SIMILAR,
    REFILL_PER_S,
    SIMILAR_INTERVAL_S,
    Combiner,
    Lru,
    SpamFilter,
)


class Dated:
    def __init__(self, last_s: float) -> None:
        self.last_s = last_s


def keys(lru: Lru[str, Dated]) -> list[str]:
    return [key for key, _ in lru.items()]


def test_what_was_used_longest_ago_makes_room() -> None:
    lru: Lru[str, Dated] = Lru(idle_s=100.0, size=2)
    for second, key in enumerate("abc"):
        lru.put(key, Dated(second))
    assert keys(lru) == ["b", "c"]


def test_what_lay_idle_for_too_long_leaves_as_others_come() -> None:
    lru: Lru[str, Dated] = Lru(idle_s=10.0)
    for key in "abcd":
        lru.put(key, Dated(0.0))
    lru.put("e", Dated(10.0))
    assert keys(lru) == ["a", "b", "c", "d", "e"]
    lru.put("f", Dated(10.5))
    assert keys(lru) == ["c", "d", "e", "f"]
    lru.put("g", Dated(11.0))
    assert keys(lru) == ["e", "f", "g"]


def test_one_that_is_alone_stays() -> None:
    lru: Lru[str, Dated] = Lru(idle_s=1.0)
    lru.put("a", Dated(0.0))
    lru.put("a", Dated(50.0))
    assert keys(lru) == ["a"]


def test_similar_events_are_combined_whatever_was_forgotten_meanwhile() -> None:
    combiner = Combiner()
    for number in range(MAX_SIMILAR - 1):
        assert combiner.combine("similar", str(number), 0.0) == (str(number), False)
    for number in range(20):
        combiner.combine(f"other {number}", "message", SIMILAR_INTERVAL_S)
    assert combiner.combine("similar", "more", SIMILAR_INTERVAL_S) == (
        COMBINED_PREFIX + "more",
        True,
    )
    combiner.combine("other", "message", 3 * SIMILAR_INTERVAL_S)
    assert combiner.combine("similar", "anew", 3 * SIMILAR_INTERVAL_S) == ("anew", False)


def test_an_empty_bucket_is_remembered_until_it_would_be_full() -> None:
    spam = SpamFilter()
    for _ in range(BURST):
        assert spam.admits("node", 0.0)
    full_s = BURST / REFILL_PER_S
    for number in range(20):
        spam.admits(f"other {number}", full_s - 1)
    assert not spam.admits("node", 1.0)
