"""Which moment of a history is meant."""

import pytest

from kubeherd.history import Began
from kubeherd.replay.moments import BEGINNING, END, parse

BEGAN = Began(at=100.0, revision=7)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("812", ("--replay-revision", "812")),
        ("0", ("--replay-revision", "0")),
        ("+90s", ("--replay-time", "190.0")),
        ("+90", ("--replay-time", "190.0")),
        ("+1m30s", ("--replay-time", "190.0")),
        ("+0.5s", ("--replay-time", "100.5")),
        ("1970-01-01T00:02:00Z", ("--replay-time", "120.0")),
        ("1970-01-01T01:02:00+01:00", ("--replay-time", "120.0")),
        ("end", ()),
        ("begin", ("--replay-time", "100.0")),
    ],
)
def test_a_moment_is_told_to_the_server(text: str, options: tuple[str, ...]) -> None:
    assert parse(text).options(BEGAN) == options


@pytest.mark.parametrize("text", ["", "-5", "+", "+x", "noon", "1970-01-01T00:02:00", "1e3"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_there_are_two_with_names() -> None:
    assert (parse("end"), parse("begin")) == (END, BEGINNING)
