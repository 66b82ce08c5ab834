"""What a process counts, and the text in which Prometheus reads it.

Counting is a few additions; prometheus-client, which knows of the process, is loaded only when
somebody asks. Names, labels
and buckets are those of Kubernetes v1.36, so that its dashboards work.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import accumulate
from time import perf_counter
from typing import TypeAlias

import msgspec

from kubeherd.cluster.api.version import KUBERNETES_VERSION

stopwatch_s = perf_counter
"""Real seconds since some moment, for how long things took: never for what is decided."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_BOUNDS_S = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20,
    30, 45, 60,
)  # fmt: skip
"""The buckets of requests, of clients and to the store alike."""
_BUILD_LABELS = (
    "major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "go_version",
    "compiler", "platform",
)  # fmt: skip


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """`count` bounds, each `factor` times the one before."""
    return tuple(start * factor**power for power in range(count))


class Histogram:
    """How often values fell into which range; a bound belongs to the range below it."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, or several that are alike."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def buckets(self) -> list[tuple[str, int]]:
        """The cumulated buckets by their upper bound, as Prometheus has them."""
        bounds = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


class Kind(StrEnum):
    """What a family holds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Sample: TypeAlias = tuple[tuple[str, ...], float | Histogram]
"""The values of the labels, and what was counted."""


class Family(msgspec.Struct, frozen=True):
    """All samples of one name; that of a counter ends in ``_total``."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    samples: Iterable[Sample]


def build_info() -> Family:
    """Which Kubernetes this is; what only a program in Go has is empty, as in ``/version``."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    known = {"major": major, "minor": minor, "git_version": KUBERNETES_VERSION}
    return Family(
        "kubernetes_build_info",
        Kind.GAUGE,
        "The version of Kubernetes that is served.",
        _BUILD_LABELS,
        [(tuple(known.get(label, "") for label in _BUILD_LABELS), 1)],
    )


def exposition(families: Iterable[Family]) -> bytes:
    """The families, and what the operating system tells of this process (``process_*``)."""
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    lines = [line for family in (build_info(), *families) for line in _lines(family)]
    return generate_latest(registry) + "".join(lines).encode()


def _lines(family: Family) -> Iterator[str]:
    """A family as text. Written out: prometheus-client's own makes several objects per line, and
    with thousands of series that holds up the event loop for a second."""
    name = family.name
    yield f"# HELP {name} {_escaped(family.help)}\n# TYPE {name} {family.kind}\n"
    places = sorted(range(len(family.labels)), key=family.labels.__getitem__)
    before_le = sum(label < "le" for label in family.labels)
    for values, counted in family.samples:
        shown = [f'{family.labels[at]}="{_quoted(values[at])}"' for at in places]
        if isinstance(counted, Histogram):
            yield from _histogram(name, shown, before_le, counted)
        else:
            yield f"{name}{_braces(shown)} {_number(counted)}\n"


def _histogram(
    name: str, shown: Sequence[str], before_le: int, counted: Histogram
) -> Iterator[str]:
    """`shown`: the labels, sorted; that of a bucket's bound comes after `before_le` of them."""
    head = "".join(f"{label}," for label in shown[:before_le])
    tail = "".join(f",{label}" for label in shown[before_le:])
    for bound, number in counted.buckets():
        yield f'{name}_bucket{{{head}le="{bound}"{tail}}} {number}.0\n'
    braces = _braces(shown)
    yield f"{name}_count{braces} {number}.0\n{name}_sum{braces} {_number(counted.total)}\n"


def _braces(shown: Sequence[str]) -> str:
    return f"{{{','.join(shown)}}}" if shown else ""


def _number(number: float) -> str:
    return repr(float(number))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', r"\"")
