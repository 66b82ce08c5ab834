"""What a process counts, and the text in which Prometheus reads it.

Counting is a few additions; prometheus-client is loaded only when somebody asks. Names, labels
and buckets are those of Kubernetes v1.36, so that its dashboards work.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import accumulate
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from kubeherd.cluster.api.version import KUBERNETES_VERSION

if TYPE_CHECKING:
    from prometheus_client.core import Metric

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

    def buckets(self) -> list[tuple[str, float]]:
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

    metrics = [_metric(family) for family in (build_info(), *families)]

    class _Scrape:
        def collect(self) -> "Iterable[Metric]":
            return metrics

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Scrape())
    return generate_latest(registry)


def _metric(family: Family) -> "Metric":
    from prometheus_client.core import (  # noqa: PLC0415
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    name, text, labels = family.name, family.help, family.labels
    if family.kind is Kind.HISTOGRAM:
        histograms = HistogramMetricFamily(name, text, labels=labels)
        for values, counted in family.samples:
            if isinstance(counted, Histogram):
                histograms.add_metric(values, counted.buckets(), counted.total)
        return histograms
    make = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    numbers = make(name, text, labels=labels)
    for values, number in family.samples:
        if not isinstance(number, Histogram):
            numbers.add_metric(values, number)
    return numbers
