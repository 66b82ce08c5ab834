"""Requests for resources, below /api and /apis: routed, authorized, counted, and handled."""

import structlog

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authz import required
from kubeherd.cluster.apiserver.apiservices import ApiServices
from kubeherd.cluster.apiserver.customresources.watching import CustomResources
from kubeherd.cluster.apiserver.edge import discovery, routing
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Response,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.responses import refused, warning_header
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.apiserver.handlers import begun, dispatch
from kubeherd.cluster.apiserver.handlers.health import Phase
from kubeherd.cluster.apiserver.handlers.services import Services, call
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.runtime.metrics import stopwatch_s

_log = structlog.get_logger(__name__)

_ROOTS = ("/api/", "/apis/")


def is_below(path: str) -> bool:
    """Whether a path may be one of resources."""
    return path.startswith(_ROOTS)


class Resources:
    """Answers them for one server; `phase` is that server's."""

    def __init__(
        self, services: Services, custom: CustomResources, api_services: ApiServices, phase: Phase
    ) -> None:
        self._services = services
        self._authorizer = services.registry.authorizer
        self._custom = custom
        self._api_services = api_services
        self._phase = phase

    def route_of(self, request: ApiRequest) -> Route:
        """What a request is for; as `routing.parse`."""
        return routing.parse(request.method, request.path, request.query, self._custom.served)

    def authorized_route(self, request: ApiRequest) -> Route | None:
        """What a request is for; None, if its user may know that, where nothing is served. As
        `routing.parse`, but who may not read a resource is not told what is wrong with it."""
        try:
            return self.route_of(request)
        except UnknownPath:
            required.for_unknown(self._authorizer, request)
            self._check_proxied(request.path)
            return None
        except ApiError:
            required.for_unknown(self._authorizer, request)
            raise

    async def answer(self, request: ApiRequest, route: Route) -> Response:
        """Answer a request with this route."""
        if self._phase.stopping:
            raise errors.ServiceUnavailable("the server is shutting down")
        kind = self._allowed(request, route)
        started_s, series = stopwatch_s(), self._services.metrics.begin(request, route, kind)
        try:
            response = await self._handled(request, route, kind)
        except BaseException as error:
            series.failed(request, started_s, error)
            raise
        series.answered(request, started_s, response)
        return response

    async def _handled(self, request: ApiRequest, route: Route, kind: ServedKind) -> Response:
        one = call(self._services, request, route, kind)
        try:
            response = await dispatch.answer(route, one)
        except ApiError as error:
            response = refused(request, error)
        if one.warnings and isinstance(response, ApiResponse):
            response.headers = {**response.headers, "Warning": warning_header(one.warnings)}
        if kind.deprecation and isinstance(response, (ApiResponse, WatchResponse)):
            own = warning_header([kind.deprecation])
            given = response.headers.get("Warning")
            warning = f"{own}, {given}" if given else own
            response.headers = {**response.headers, "Warning": warning}
        return response

    def begin(self, request: ApiRequest) -> begun.Begun | None:
        """The first step of a short write; None, and nothing has happened, if it may be anything
        else."""
        if self._phase.stopping or request.impersonate or request.query:
            return None
        if not is_below(request.path):  # in a batch it may be anything
            return None
        route = routing.node_lease_update(request.method, request.path)
        try:
            route = route or self.route_of(request)
        except (ApiError, UnknownPath):
            return None
        try:
            return begun.begin(
                self._services, request, route, lambda: self._allowed(request, route)
            )
        except Exception:  # a bug, which is met again where it is told to its client
            _log.exception("request_failed", method=request.method, path=request.path)
            return None

    def readable_at_once(self, request: ApiRequest) -> Route | None:
        """The route of a GET of an object that is there and small, in a store that need not ask
        others; None for all other requests."""
        if request.method != "GET" or request.query or request.impersonate:
            return None
        if self._services.store.is_shared or not is_below(request.path):
            return None
        try:
            route = self.route_of(request)
        except (ApiError, UnknownPath):
            return None
        if route.verb != "get" or route.subresource is not None or route.resource.custom:
            return None
        key = served.of(route.resource).key
        record = self._services.store.get(key, route.namespace, route.name)
        if record is None or not self._services.heavy.is_light(record.size):
            return None
        return route

    def watched(self, request: ApiRequest) -> str:
        """The store's key of the resource that a request watches; UnknownPath, or an ApiError if it
        is no watch or is refused."""
        if not is_below(request.path):
            raise UnknownPath(request.path)
        route = self.route_of(request)
        if route.verb != "watch":
            raise errors.BadRequest("only watches can be polled together")
        return self._allowed(request, route).key

    def _allowed(self, request: ApiRequest, route: Route) -> ServedKind:
        """The kind that a request is for, if its user may do what it asks."""
        required.for_route(self._authorizer, request, route)
        if route.resource.custom is not None:
            return self._custom.kind(route)
        return served.of(route.resource)

    def _check_proxied(self, path: str) -> None:
        """503 for a group that is not served here, but was registered as that of a Service."""
        root, *parts = path.strip("/").split("/")
        if root == "apis" and len(parts) > 1 and parts[0] not in discovery.groups():
            self._api_services.check_reachable(parts[0], parts[1])
