"""What clients and work queues count, by the names of Kubernetes v1.36.

Source: component-base/metrics/prometheus/restclient and workqueue.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.cluster.runtime.metrics import Family, Histogram, Kind, stopwatch_s

NO_ANSWER = "<error>"
_BOUNDS_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class ClientMeasures:
    """The requests of one transport."""

    __slots__ = ("requests", "seconds")

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[str, Histogram] = {}

    def answered(self, method: str, status: int, started_s: float) -> None:
        """A request that began at `started_s` of the stopwatch was answered."""
        self._count(method, str(status), started_s)

    def failed(self, method: str, started_s: float) -> None:
        """It had no answer."""
        self._count(method, NO_ANSWER, started_s)

    def _count(self, method: str, code: str, started_s: float) -> None:
        self.requests[code, method] += 1
        seconds = self.seconds.get(method)
        if seconds is None:
            seconds = self.seconds[method] = Histogram(_BOUNDS_S)
        seconds.observe(stopwatch_s() - started_s)


def of_clients(measures: Iterable[tuple[str, ClientMeasures]]) -> Iterable[Family]:
    """The families of all transports, each with the host it talks to; no two have the same."""
    every = list(measures)
    yield Family(
        "rest_client_requests_total",
        Kind.COUNTER,
        "HTTP requests; many small writes may share one.",
        ("code", "method", "host"),
        (((*key, host), number) for host, one in every for key, number in one.requests.items()),
    )
    yield Family(
        "rest_client_request_duration_seconds",
        Kind.HISTOGRAM,
        "From a request to its answer; of a watch by long-poll until there is news.",
        ("verb", "host"),
        (((verb, host), taken) for host, one in every for verb, taken in one.seconds.items()),
    )


def of_queues(queues: Mapping[str, WorkQueue[Any]]) -> Iterable[Family]:
    """The families of work queues, by their names."""
    measured = [((name,), queue.measures) for name, queue in queues.items()]
    labels, now_s = ("name",), stopwatch_s()
    yield Family(
        "workqueue_depth",
        Kind.GAUGE,
        "Keys that wait.",
        labels,
        (((name,), len(queue)) for name, queue in queues.items()),
    )
    yield Family(
        "workqueue_adds_total",
        Kind.COUNTER,
        "Keys that were added.",
        labels,
        ((name, one.adds) for name, one in measured),
    )
    yield Family(
        "workqueue_retries_total",
        Kind.COUNTER,
        "Keys that were added for later.",
        labels,
        ((name, one.retries) for name, one in measured),
    )
    yield Family(
        "workqueue_queue_duration_seconds",
        Kind.HISTOGRAM,
        "How long keys waited.",
        labels,
        ((name, one.waited) for name, one in measured),
    )
    yield Family(
        "workqueue_work_duration_seconds",
        Kind.HISTOGRAM,
        "How long a key was worked on.",
        labels,
        ((name, one.worked) for name, one in measured),
    )
    yield Family(
        "workqueue_unfinished_work_seconds",
        Kind.GAUGE,
        "How long all keys that are worked on now have been.",
        labels,
        (
            (name, sum(now_s - since_s for since_s in one.started_s.values()))
            for name, one in measured
        ),
    )
    yield Family(
        "workqueue_longest_running_processor_seconds",
        Kind.GAUGE,
        "How long the oldest of them has been.",
        labels,
        (
            (name, max((now_s - since_s for since_s in one.started_s.values()), default=0.0))
            for name, one in measured
        ),
    )
