"""/metrics: what the server counts, in the text format of Prometheus.

Counting is one dictionary addition per request; prometheus-client is loaded and its families are
made only when somebody scrapes.
"""

from collections import Counter

from kubeherd.cluster.apiserver.edge.messages import ApiResponse
from kubeherd.cluster.store.store import Store

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._requests: Counter[tuple[str, int]] = Counter()

    def count(self, method: str, status: int) -> None:
        """One request has been answered."""
        self._requests[method if method in _METHODS else "OTHER", status] += 1

    def answer(self) -> ApiResponse:
        """The scrape."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry  # noqa: PLC0415
        from prometheus_client.core import (  # noqa: PLC0415
            CounterMetricFamily,
            GaugeMetricFamily,
            Metric,
        )
        from prometheus_client.exposition import generate_latest  # noqa: PLC0415

        requests = CounterMetricFamily(
            "apiserver_request", "Requests by method and status code.", labels=("method", "code")
        )
        for (method, status), number in sorted(self._requests.items()):
            requests.add_metric((method, str(status)), number)
        objects = GaugeMetricFamily(
            "apiserver_resource_objects", "Stored objects by resource.", labels=("resource",)
        )
        for key in sorted(self._store.resource_keys()):
            objects.add_metric((key,), len(self._store.list(key)))
        families: list[Metric] = [
            requests,
            objects,
            GaugeMetricFamily(
                "apiserver_watchers", "Open watches and long-polls.", self._store.hub.watchers
            ),
            GaugeMetricFamily("store_revision", "The newest revision.", self._store.revision),
            GaugeMetricFamily(
                "store_compacted_revision", "The oldest kept revision.", self._store.compacted
            ),
        ]

        class _Scrape:
            def collect(self) -> list[Metric]:
                return families

        registry = CollectorRegistry()
        registry.register(_Scrape())
        return ApiResponse(200, generate_latest(registry), CONTENT_TYPE_LATEST)
