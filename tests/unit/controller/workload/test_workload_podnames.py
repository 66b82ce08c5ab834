"""Identities of pods that are all alike."""

from kubeherd.controller.workload.pods.podnames import PodNames


def names() -> PodNames:
    return PodNames(lambda text: text[0])


def test_identities_are_distinct() -> None:
    found = names().identities(3)
    assert len(set(found)) == 3
    assert names().identities(0) == []


def test_what_got_no_answer_comes_first() -> None:
    known = names()
    known.unanswered("2", "web-b")
    known.unanswered("5", "web-c")
    assert known.identities(1) == ["2"]
    found = known.identities(4)
    assert found[:2] == ["2", "5"]
    assert len(set(found)) == 4


def test_what_got_an_answer_is_as_any_other() -> None:
    known = names()
    known.unanswered("7", "web-b")
    known.answered("7")
    assert "7" not in known.identities(3)
