"""The API server as one function: `ApiServer.handle` turns a request into an answer.

Free of any HTTP library: the aiohttp shell (`http`) and the in-process transport of the simulation
are adapters around it. Invariants: every refusal is a Status object; an unexpected exception is
logged and answered as InternalError, never raised; after `stop` new requests get 503.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson
import structlog
from msgspec.structs import replace

from kubeherd.cluster.api import errors, fields, kinds
from kubeherd.cluster.api.batch import PATH as BATCH_PATH
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.grouppoll import PATH as GROUP_POLL_PATH
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver import bootstrap, served
from kubeherd.cluster.apiserver.access import impersonation
from kubeherd.cluster.apiserver.access.authz import Attributes, questions
from kubeherd.cluster.apiserver.access.authz.attributes import refusal
from kubeherd.cluster.apiserver.access.authz.authorizer import SUPERUSERS
from kubeherd.cluster.apiserver.access.tokens.claims import Invalid
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.customresources.watching import CustomResources
from kubeherd.cluster.apiserver.edge import discovery, routing
from kubeherd.cluster.apiserver.edge.messages import (
    ApiRequest,
    ApiResponse,
    Response,
    UpgradeResponse,
    User,
)
from kubeherd.cluster.apiserver.edge.negotiation import (
    Media,
    accepts,
    clauses,
    unavailable,
    untransformed,
)
from kubeherd.cluster.apiserver.edge.responses import error_response, warning_header
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.apiserver.handlers import (
    batch,
    binding,
    connect,
    eviction,
    execing,
    forwarding,
    patching,
    podlogs,
    reads,
    reviews,
    scale,
    tokens,
    writes,
)
from kubeherd.cluster.apiserver.handlers.grouppoll import GroupPolls
from kubeherd.cluster.apiserver.handlers.health import ENDPOINTS, Health, version
from kubeherd.cluster.apiserver.handlers.services import Call, Services, call
from kubeherd.cluster.apiserver.maintenance import Maintenance
from kubeherd.cluster.apiserver.metrics import Metrics
from kubeherd.cluster.apiserver.read import watching
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import Store

if TYPE_CHECKING:
    from kubeherd.cluster.apiserver.streams.local import LocalCommands

_Handler: TypeAlias = Callable[[Call], Awaitable[Response]]

_log = structlog.get_logger(__name__)

_BY_VERB: dict[str, _Handler] = {
    "get": reads.get,
    "list": reads.list_objects,
    "watch": watching.watch,
    "create": writes.create,
    "update": writes.update,
    "patch": patching.patch,
    "delete": writes.delete,
    "deletecollection": writes.delete_collection,
}
_BY_SUBRESOURCE: dict[str, _Handler] = {
    "pods/binding": binding.bind,
    "pods/eviction": eviction.evict,
    "pods/attach": execing.attach,
    "pods/exec": execing.execute,
    "pods/log": podlogs.log,
    "pods/portforward": forwarding.forward,
    "serviceaccounts/token": tokens.request_token,
    **dict.fromkeys(
        ("pods/proxy", "nodes/proxy", "services/proxy"),
        connect.connect,
    ),
}  # fmt: skip
_RESOURCES = ("/api/", "/apis/")
_JSON_ONLY = (Media.JSON.value, "*/*")
_PLAIN = "text/plain; charset=utf-8"
_KEY_SET = "/openid/v1/jwks"
_TOKEN_DOCUMENTS = {
    "/.well-known/openid-configuration": "application/json",
    _KEY_SET: "application/jwk-set+json",
}
"""By path, the type of the answer."""
_NOT_FOUND = ApiResponse(404, b"404 page not found\n", _PLAIN)


def attrs_of(resource_key: str, json: bytes) -> Attrs:
    """The attributes of a stored object: what `Store` needs to read its engine back."""
    tree: JsonObject = orjson.loads(json)
    resource = kinds.for_kind(tree["apiVersion"], tree["kind"])
    if resource is None:
        return Attrs(tree["metadata"].get("labels") or {}, fields.every_field(tree))
    return Attrs(tree["metadata"].get("labels") or {}, fields.selectable(resource, tree))


class ApiServer:
    """One API server over one opened store; `pki` holds its keys. Call `bootstrap` before the first
    request, and run `run` as a task while it serves."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rng: Rng,
        *,
        server_address: str = "",
        pod_log_dir: Path | None = None,
        heavy: HeavyWork | None = None,
        pki: Path | None = None,
        exec_local: bool = False,
    ) -> None:
        """`exec_local`: commands of `exec` run as processes of this process's user."""
        self._heavy = heavy or HeavyWork()
        registry = Registry(store, clock, rng, self._heavy)
        self._authorizer = registry.authorizer
        local = _local_commands(registry) if exec_local else None
        self._pki = pki
        self._tokens = TokenIssuer(registry, clock, _existing(pki, "sa.key"))
        self.services = Services(
            store, clock, rng, registry, self._heavy, self._tokens, pod_log_dir, local
        )
        self.server_address = server_address
        self._maintenance = Maintenance(registry, clock)
        self._custom = CustomResources(registry, clock)
        self._stopping = False
        self._metrics = Metrics(store)
        self._group_polls = GroupPolls(store, self.handle, self._watched)
        self._health = Health({
            "ping": lambda: True,
            "log": lambda: True,
            "etcd": lambda: store.writable and not self._stopping,
            "shutdown": lambda: not self._stopping,
        })  # fmt: skip

    async def bootstrap(self) -> None:
        """Create the objects that every cluster has, and serve the custom resources there are."""
        authority = _existing(self._pki, "ca.crt")
        await bootstrap.ensure_system_objects(
            self.services.registry,
            self.services.clock,
            authority.read_text() if authority is not None else "",
        )
        self._custom.refresh()

    async def run(self) -> None:
        """Background work, forever; the owner cancels it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._maintenance.run())
            tasks.create_task(self._custom.run())

    def stop(self) -> None:
        """Refuse new requests with 503 and end all watches; requests under way finish."""
        self._stopping = True
        self.services.store.hub.close()

    def close(self) -> None:
        """After the last request: let the thread of large ones go."""
        self._heavy.close()
        if self.services.local_commands is not None:
            self.services.local_commands.close()

    def user_of_header(self, authorization: str) -> User:
        """Who shows the token in an Authorization header; Unauthorized if it is not good."""
        try:
            return self._tokens.user_of_header(authorization)
        except Invalid:
            raise errors.Unauthorized("Unauthorized") from None

    async def handle(self, request: ApiRequest) -> Response:
        """Answer one request. Never raises but for cancellation."""
        response = await self._answered(request)
        status = response.status if isinstance(response, ApiResponse) else 200
        self._metrics.count(request.method, status)
        return response

    async def _answered(self, request: ApiRequest) -> Response:
        try:
            return await self._answer(request)
        except ApiError as error:
            return error_response(error, request, _error_media(request))
        except UnknownPath:
            return _NOT_FOUND
        except Exception as error:  # the last resort: a bug must not take the connection down
            _log.exception("request_failed", method=request.method, path=request.path)
            text = f"Internal error occurred: {type(error).__name__}"
            details = {"causes": [{"message": type(error).__name__}]}
            return error_response(errors.InternalError(text, details=details), request)

    async def _answer(self, request: ApiRequest) -> Response:
        path = request.path
        if request.impersonate and (wanted := impersonation.parse(request.impersonate)):
            user = impersonation.effective_user(
                wanted, questions.of_request(request), self._authorizer
            )
            request = replace(request, user=user, impersonate=())
        if path.startswith(_RESOURCES):
            try:
                route = routing.parse(request.method, path, request.query, self._custom.served)
            except UnknownPath:
                if SUPERUSERS not in request.user.groups:
                    self._require(questions.of_unknown(request))
                return self._document(request)
            except ApiError:
                if SUPERUSERS not in request.user.groups:
                    self._require(questions.of_unknown(request))
                raise
            return await self._resource(request, route)
        if path == BATCH_PATH:
            return await batch.answer(request, self.handle)
        if path == GROUP_POLL_PATH:
            if self._stopping:
                raise errors.ServiceUnavailable("the server is shutting down")
            return await self._group_polls.answer(request)
        return self._document(request)

    async def _resource(self, request: ApiRequest, route: Route) -> Response:
        if self._stopping:
            raise errors.ServiceUnavailable("the server is shutting down")
        kind = self._allowed(request, route)
        one = call(self.services, request, route, kind)
        try:
            response = await _handler(route)(one)
        except ApiError as error:
            response = error_response(error, request, _error_media(request))
        if one.warnings and isinstance(response, ApiResponse):
            response.headers = {**response.headers, "Warning": warning_header(one.warnings)}
        if kind.deprecation and not isinstance(response, UpgradeResponse):
            own = warning_header([kind.deprecation])
            given = response.headers.get("Warning")
            warning = f"{own}, {given}" if given else own
            response.headers = {**response.headers, "Warning": warning}
        return response

    def _allowed(self, request: ApiRequest, route: Route) -> ServedKind:
        """The kind that a request is for, if its user may do what it asks."""
        if SUPERUSERS not in request.user.groups:
            self._require(questions.of_route(request, route))
        if route.resource.custom is not None:
            return self._custom.kind(route)
        return served.of(route.resource)

    def _watched(self, request: ApiRequest) -> str:
        """The store's key of the resource that a request watches; UnknownPath, or an ApiError if it
        is no watch or is refused."""
        if not request.path.startswith(_RESOURCES):
            raise UnknownPath(request.path)
        route = routing.parse(request.method, request.path, request.query, self._custom.served)
        if route.verb != "watch":
            raise errors.BadRequest("only watches can be polled together")
        return self._allowed(request, route).key

    def _require(self, attributes: Attributes) -> None:
        decision = self._authorizer.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    # --- paths that are no resources ---

    def _document(self, request: ApiRequest) -> ApiResponse:
        """Health, version, discovery, OpenAPI."""
        path = request.path
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        self._authorize_path(request)
        if first in ENDPOINTS:
            return self._health.answer(request)
        if path == "/metrics":
            return self._metrics.answer()
        found = self._found(request, first)
        if found is None:
            return _missing(path)
        if request.method != "GET":
            raise errors.MethodNotAllowed(routing.METHOD_TEXT, details={})
        return found

    def _found(self, request: ApiRequest, first: str) -> ApiResponse | None:
        """The document at the request's path; None if there is none."""
        path, accept = request.path, request.headers.get("accept", "")
        if path in ("/version", "/version/"):
            if all(clause.media_type not in _JSON_ONLY for clause in clauses(accept)):
                raise unavailable((Media.JSON.value,))
            return ApiResponse(200, version())
        if self._stopping:
            raise errors.ServiceUnavailable("the server is shutting down")
        if path == "/":
            return _paths((*kinds.ALL, *self._custom.resources))
        if path in _TOKEN_DOCUMENTS:
            return self._token_document(request)
        accept = request.headers.get("accept", "")
        if first == "openapi":
            from kubeherd.cluster.apiserver.edge import openapi  # noqa: PLC0415 - large, and seldom asked for

            found = openapi.document(path, request.query, accept, self._custom.resources)
        else:
            custom = self._custom.resources
            found = discovery.document(path, accept, self.server_address, custom)
        if found is None:
            return None
        headers = {"Vary": "Accept"}
        if found.etag:
            headers["ETag"] = found.etag
        if found.cache_control:
            headers["Cache-Control"] = found.cache_control
        if found.not_modified(request.headers.get("if-none-match", "")):
            return ApiResponse(304, b"", found.content_type, headers)
        return ApiResponse(200, found.body, found.content_type, headers)

    def _token_document(self, request: ApiRequest) -> ApiResponse:
        """What others need in order to check the cluster's tokens."""
        content_type = _TOKEN_DOCUMENTS[request.path]
        if not accepts(request.headers.get("accept", ""), content_type):
            raise errors.NotAcceptable(
                f"406: Not Acceptable\n\nAvailable representations: {content_type}", details={}
            )
        if request.path == _KEY_SET:
            body = self._tokens.key_set()
        else:
            body = self._tokens.configuration(f"https://{self.server_address}{_KEY_SET}")
        return ApiResponse(200, body, content_type, {"Cache-Control": "public, max-age=3600"})

    def _authorize_path(self, request: ApiRequest) -> None:
        if SUPERUSERS not in request.user.groups:
            self._require(questions.of_path(request))


def _existing(directory: Path | None, name: str) -> Path | None:
    path = directory / name if directory is not None else None
    return path if path is not None and path.exists() else None


def _local_commands(registry: Registry) -> "LocalCommands":
    from kubeherd.cluster.apiserver.streams.local import LocalCommands  # noqa: PLC0415
    from kubeherd.cluster.apiserver.streams.scratch import Scratch  # noqa: PLC0415

    def uid_of(namespace: str, name: str) -> str:
        pod = registry.get(kinds.PODS, namespace, name)
        return "" if pod is None else str(pod["metadata"]["uid"])

    return LocalCommands(Scratch(uid_of))


def _handler(route: Route) -> _Handler:
    if route.subresource is None:
        if route.resource.group_resource == "bindings":
            return binding.bind
        review = reviews.HANDLERS.get(route.resource.group_resource)
        return review if review is not None else _BY_VERB[route.verb]
    name = route.subresource.name
    if name == "scale":
        return scale.scale
    return _BY_SUBRESOURCE.get(f"{route.resource.plural}/{name}", _BY_VERB[route.verb])


def _error_media(request: ApiRequest) -> Media:
    """Errors come in the encoding that the client accepts, or in JSON."""
    return untransformed(request.headers.get("accept", "")) or Media.JSON


def _missing(path: str) -> ApiResponse:
    """404 for a path without a document: a Status below a served group, else plain text."""
    first, second = [*path.split("/")[1:3], "", ""][:2]
    if first == "api" or (first == "apis" and second in discovery.groups()):
        raise errors.NotFound(routing.NOT_FOUND_TEXT, details={})
    return _NOT_FOUND


def _paths(served_resources: Iterable[Resource]) -> ApiResponse:
    found = tuple(served_resources)
    roots = sorted({resource.root for resource in found})
    groups = sorted({f"/apis/{resource.group}" for resource in found if resource.group})
    paths = sorted({
        "/api", "/apis", "/healthz", "/livez", "/readyz", "/metrics", "/openapi/v2",
        "/openapi/v3", "/version", *_TOKEN_DOCUMENTS, *roots, *groups,
    })  # fmt: skip
    return ApiResponse(200, orjson.dumps({"paths": paths}, option=orjson.OPT_INDENT_2))
