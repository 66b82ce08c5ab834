"""Which moment of a history is meant: as a person writes it, and as it is in that history. Pure."""

import msgspec

from kubeherd.cluster.api.goduration import nanoseconds
from kubeherd.cluster.api.timestamps import parse_time
from kubeherd.history import Began


class Moment(msgspec.Struct, frozen=True):
    """One of these."""

    revision: int | None = None
    time: float | None = None
    """Seconds since the epoch."""
    since_begin_s: float | None = None

    def options(self, began: Began) -> tuple[str, ...]:
        """It in the history that began so, as options of the API server."""
        if self.revision is not None:
            return "--replay-revision", str(self.revision)
        if self.since_begin_s is not None:
            return "--replay-time", repr(began.at + self.since_begin_s)
        return ("--replay-time", repr(self.time)) if self.time is not None else ()


END = Moment()
BEGINNING = Moment(since_begin_s=0.0)


def parse(text: str) -> Moment:
    """``812`` is a revision, ``+90s`` so long after the beginning, ``2026-11-26T21:00:00Z`` a time;
    ``end`` and ``begin`` are what they say. ValueError for anything else."""
    named = {"end": END, "begin": BEGINNING}
    if text in named:
        return named[text]
    if text.isdecimal():
        return Moment(revision=int(text))
    if text.startswith("+"):
        later = text[1:]
        return Moment(since_begin_s=nanoseconds(f"{later}s" if later.isdecimal() else later) / 1e9)
    try:
        return Moment(time=parse_time(text).timestamp())
    except ValueError:
        raise ValueError(
            f"{text!r} is no revision (812), no time (2026-11-26T21:00:00Z) and no time since the "
            "beginning (+90s)"
        ) from None
