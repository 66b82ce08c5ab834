"""Requests for paths that are no resources: health, metrics, version, discovery, OpenAPI."""

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.access.authz import required
from kubeherd.cluster.apiserver.edge import routing
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.handlers import documents
from kubeherd.cluster.apiserver.handlers.documents import Documents
from kubeherd.cluster.apiserver.handlers.health import (
    ENDPOINTS,
    Health,
    Phase,
    upstream_checks,
)
from kubeherd.cluster.apiserver.handlers.services import Services
from kubeherd.cluster.runtime.metrics import stopwatch_s


class Paths:
    """Answers them for one server; `phase` is that server's."""

    def __init__(self, services: Services, documents: Documents, phase: Phase) -> None:
        self._authorizer = services.registry.authorizer
        self._metrics = services.metrics
        self._documents = documents
        self._phase = phase
        store = services.store
        self._health = Health(
            upstream_checks(
                etcd=lambda: "" if store.writable else "the store takes no writes",
                started=lambda: "" if phase.started else "not finished",
                shutdown=lambda: "process is shutting down" if phase.stopping else "",
            )
        )

    def answer(self, request: ApiRequest, server_address: str) -> ApiResponse:
        """Answer one of a server with this address."""
        path = request.path
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        required.for_path(self._authorizer, request)
        if first in ENDPOINTS:
            if path != f"/{first}":
                return self._health.answer(request)
            started_s, series = stopwatch_s(), self._metrics.begin_path(path)
            healthy = self._health.answer(request)
            series.answered(request, started_s, healthy)
            return healthy
        if path == "/metrics":
            return self._metrics.answer()
        if self._phase.stopping and first != "version":
            raise errors.ServiceUnavailable("the server is shutting down")
        found = self._documents.found(request, server_address)
        if found is None:
            return documents.missing(path)
        if request.method != "GET":
            raise errors.MethodNotAllowed(routing.METHOD_TEXT, details={})
        return found
