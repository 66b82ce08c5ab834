"""What a replay answers to who wants to change something, or asks for what no history holds."""

from typing import Final

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.apiserver.edge.messages import Answer, ApiRequest, Response
from kubeherd.cluster.apiserver.edge.responses import refused
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.apiserver.handlers.reviews import HANDLERS as REVIEWS
from kubeherd.cluster.apiserver.server import ApiServer

_READING: Final = frozenset({"get", "list", "watch"})
_LIVING: Final = frozenset({"attach", "exec", "log", "portforward", "proxy"})
"""Subresources that are answered by what runs."""


class ReadOnly:
    """As `messages.Layer`; `what` is said to whoever is refused."""

    def __init__(self, api: ApiServer, what: str) -> None:
        self._api = api
        self._what = what

    async def handle(self, request: ApiRequest, answer: Answer) -> Response:
        """Reads as ever; parts of private batches come here one by one."""
        error = self._refusal(request)
        return await answer(request) if error is None else refused(request, error)

    def _refusal(self, request: ApiRequest) -> ApiError | None:
        if not request.path.startswith(("/api/", "/apis/")):
            return None
        try:
            route = self._api.route_of(request)
        except (UnknownPath, ApiError):
            return None  # the server says so itself
        return self._refused(route)

    def _refused(self, route: Route) -> ApiError | None:
        if route.subresource_name in _LIVING:
            text = f"{self._what}: nothing runs in its pods, and it has no logs of them"
            return errors.NotFound(text, details={})
        if route.verb in _READING or route.resource.group_resource in REVIEWS:
            return None
        return errors.MethodNotAllowed(f"{self._what}: read only", details={})
