"""What a process counts, and the text in which Prometheus reads it.

Counting is a few additions; the text is made when somebody asks. Names, labels
and buckets are those of Kubernetes v1.36, so that its dashboards work.
"""

import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import accumulate
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit
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
    every = (*of_process(), build_info(), *families)
    return "".join(line for family in every for line in _lines(family)).encode()


def of_process() -> Iterator[Family]:
    """What Linux tells of this process, by the names that Prometheus' clients use; nothing on a
    system that has no /proc."""
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        boot = re.search(rb"^btime (\d+)$", Path("/proc/stat").read_bytes(), re.MULTILINE)
        open_fds = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return
    ticks, page_bytes = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    began_s = (int(boot[1]) if boot else 0) + int(fields[19]) / ticks
    cpu_s = (int(fields[11]) + int(fields[12])) / ticks
    for name, kind, text, value in (
        ("virtual_memory_bytes", Kind.GAUGE, "Virtual memory.", int(fields[20])),
        ("resident_memory_bytes", Kind.GAUGE, "Resident memory.", int(fields[21]) * page_bytes),
        ("start_time_seconds", Kind.GAUGE, "When it started, since the epoch.", began_s),
        ("cpu_seconds_total", Kind.COUNTER, "Processor time, of user and system.", cpu_s),
        ("open_fds", Kind.GAUGE, "Open file descriptors.", open_fds),
        ("max_fds", Kind.GAUGE, "How many it may open.", getrlimit(RLIMIT_NOFILE)[0]),
    ):
        yield Family(f"process_{name}", kind, text, (), [((), value)])


def _lines(family: Family) -> Iterator[str]:
    """A family as text (Prometheus, exposition formats, 0.0.4). prometheus-client makes several
    objects per line: with thousands of series that held up the event loop for a second."""
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
