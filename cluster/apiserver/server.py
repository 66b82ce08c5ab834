"""The API server as one function: `ApiServer.handle` turns a request into an answer.

Free of any HTTP library: the aiohttp shell (`http`) and the in-process transport of the simulation
are adapters around it. Invariants: every refusal is a Status object; an unexpected exception is
logged and answered as InternalError, never raised; after `stop` new requests get 503.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import structlog
from msgspec.structs import replace

from kubeherd.cluster.api import errors, fields, kinds
from kubeherd.cluster.api.batch import PATH as BATCH_PATH
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.grouppoll import PATH as GROUP_POLL_PATH
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver import bootstrap, served
from kubeherd.cluster.apiserver.access import impersonation
from kubeherd.cluster.apiserver.access.authenticator import Authenticator
from kubeherd.cluster.apiserver.access.authz import Attributes, questions
from kubeherd.cluster.apiserver.access.authz.attributes import refusal
from kubeherd.cluster.apiserver.access.authz.authorizer import SUPERUSERS
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.apiservices import ApiServices
from kubeherd.cluster.apiserver.customresources.watching import DEFINITIONS, CustomResources
from kubeherd.cluster.apiserver.edge import discovery, routing
from kubeherd.cluster.apiserver.edge.messages import (
    Answer,
    ApiRequest,
    ApiResponse,
    Layer,
    Response,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.responses import error_response, refused, warning_header
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.apiserver.handlers import begun, dispatch, documents, scrapes
from kubeherd.cluster.apiserver.handlers.documents import Documents
from kubeherd.cluster.apiserver.handlers.health import (
    ENDPOINTS,
    Health,
    upstream_checks,
)
from kubeherd.cluster.apiserver.handlers.private import batch
from kubeherd.cluster.apiserver.handlers.private.grouppoll import GroupPolls
from kubeherd.cluster.apiserver.handlers.services import Services, call
from kubeherd.cluster.apiserver.maintenance import Maintenance
from kubeherd.cluster.apiserver.metrics import Metrics
from kubeherd.cluster.apiserver.policystatus import PolicyStatus
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.apiserver.write.short.creates import AlikeCreates
from kubeherd.cluster.runtime.atonce import WouldWait, at_once
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.metrics import stopwatch_s
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import Store

if TYPE_CHECKING:
    from kubeherd.cluster.api.auditpolicy import Policy
    from kubeherd.cluster.apiserver.faults.hurts import Hurts
    from kubeherd.cluster.apiserver.recording.recorder import Recorder
    from kubeherd.cluster.apiserver.streams.local import LocalCommands
    from kubeherd.cluster.runtime.metrics import Family
    from kubeherd.faults import Fault

_log = structlog.get_logger(__name__)

_RESOURCES = ("/api/", "/apis/")


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
        run_dir: Path | None = None,
        exec_local: bool = False,
        turns: Turns | None = None,
    ) -> None:
        """`run_dir`: where other processes answer with their metrics; `exec_local`: commands of
        `exec` run as processes of this process's user; `turns`: those of the process, which the
        store has, too."""
        self._heavy = heavy or HeavyWork()
        registry = Registry(store, rng, self._heavy)
        self._authorizer = registry.authorizer
        local = _local_commands(registry) if exec_local else None
        self._pki = pki
        self._run_dir = run_dir
        self._tokens = TokenIssuer(registry, clock, _existing(pki, "sa.key"))
        self.authenticator = Authenticator(self._tokens, clock)
        self._metrics = Metrics(store)
        self.services = Services(
            store,
            clock,
            rng,
            registry,
            self._heavy,
            self._tokens,
            self._metrics,
            AlikeCreates(registry, rng),
            turns or Turns(),
            pod_log_dir,
            local,
        )
        self.server_address = server_address
        self._maintenance = Maintenance(registry, clock)
        self._custom = custom = CustomResources(registry, clock, rng)
        self._documents = Documents(self._tokens, lambda: custom.resources)
        self._api_services = ApiServices(registry, clock, lambda: custom.served)
        registry.policies.custom = lambda: custom.kinds
        self._policy_status = PolicyStatus(registry, clock, lambda: custom.resources)
        self._stopping = False
        self._shield: Layer | None = None
        self._auditor: Layer | None = None
        self._recorder: Layer | None = None
        self._hurts: Hurts | None = None
        self.hurt_now = False
        """Whether there are faults of connections or requests."""
        self.handle: Answer = self._answered
        """Answer one request. Never raises but for cancellation."""
        self._direct = True
        """Requests pass nothing on their way."""
        self._group_polls = GroupPolls(store, self._watched, self.services.watches)
        self._closing: list[Callable[[], None]] = [self._heavy.close]
        if local is not None:
            self._closing.append(local.close)
        self._started = False
        self._health = Health(
            upstream_checks(
                etcd=lambda: "" if store.writable else "the store takes no writes",
                started=lambda: "" if self._started else "not finished",
                shutdown=lambda: "process is shutting down" if self._stopping else "",
            )
        )

    def families(self) -> "Iterable[Family]":
        """What the server counts."""
        return self._metrics.families()

    def audit(self, policy: "Policy", log: Path) -> None:
        """From now on write what `policy` wants into the file `log`. OSError if it cannot be."""
        from kubeherd.cluster.apiserver.audit.auditor import Auditor  # noqa: PLC0415 - off mostly
        from kubeherd.cluster.apiserver.audit.logfile import LogFile  # noqa: PLC0415

        clock, rng = self.services.clock, self.services.rng
        self._auditor = auditor = Auditor(
            policy, LogFile(log), clock, rng.child("audit"), self.route_of
        )
        self._closing.append(auditor.close)
        self._connect()

    def record(self, recorder: "Recorder", *, requests: bool) -> None:
        """From now on this one, which follows the store, knows who sends what; `requests`: it is
        told of requests and their answers as well."""
        if requests:
            recorder.route_of = self.route_of
        self._recorder = recorder
        self._connect()

    def hurt(self, faults: "Sequence[Fault]") -> None:
        """Put these faults in force and undo all others; FaultError if one is none of an API
        server's, and then nothing changes."""
        if self._hurts is None:
            from kubeherd.cluster.apiserver.faults.hurts import Hurts  # noqa: PLC0415 - seldom

            self._hurts = Hurts(self.services, self.route_of)
        self._hurts.begin(faults)
        self.hurt_now = self._hurts.gate is not None
        self._connect()

    def _connect(self) -> None:
        """Requests pass what there is, and nothing else: the recorder, which sees what clients see;
        the faults; the auditor, which sees what the server sees; what shields a replay."""
        answer: Answer = self._answered
        gate = self._hurts.gate if self._hurts is not None else None
        for layer in (self._shield, self._auditor, gate, self._recorder):
            if layer is not None:
                answer = partial(layer.handle, answer=answer)
        self.handle = answer
        self._direct = answer == self._answered

    async def bootstrap(self) -> None:
        """Create the objects that every cluster has, and serve the custom resources there are."""
        authority = _existing(self._pki, "ca.crt")
        await bootstrap.ensure_system_objects(
            self.services.registry,
            self.services.clock,
            authority.read_text() if authority is not None else "",
        )
        self._custom.refresh()
        self._started = True

    def replay(self, shield: Layer) -> None:
        """Instead of `bootstrap` and `run`, over a store that a history fills: serve what is in it,
        to the requests that `shield` lets pass, and write nothing."""
        self._shield = shield
        self._connect()
        self._custom.refresh()
        self.services.store.hub.listen(DEFINITIONS.group_resource, self._custom.refresh)
        self._started = True

    def route_of(self, request: ApiRequest) -> Route:
        """What a request is for; as `routing.parse`."""
        return routing.parse(request.method, request.path, request.query, self._custom.served)

    async def run(self) -> None:
        """Background work, forever; the owner cancels it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._maintenance.run())
            tasks.create_task(self._custom.run())
            tasks.create_task(self._api_services.run())
            tasks.create_task(self._policy_status.run())

    def stop(self) -> None:
        """Refuse new requests with 503 and end all watches; requests under way finish."""
        self._stopping = True
        if self._hurts is not None:
            self.hurt(())
        self.services.store.hub.close()

    def close(self) -> None:
        """After the last request: let the thread of large ones go."""
        for close in self._closing:
            close()

    def begin(self, request: ApiRequest) -> begun.Begun | None:
        """The first step of a short write that nobody but its client is to know of; None, and
        nothing has happened, if it may be anything else: then `handle` decides."""
        if not self._direct or self._stopping or request.impersonate or request.query:
            return None
        if not request.path.startswith(_RESOURCES):  # in a batch it may be anything
            return None
        route = routing.node_lease_update(request.method, request.path)
        try:
            route = route or self.route_of(request)
        except (ApiError, UnknownPath):
            return None
        try:
            return begun.begin(self.services, request, route, lambda: self._allowed(request, route))
        except Exception:  # a bug, which is met there again, and told to its client
            _log.exception("request_failed", method=request.method, path=request.path)
            return None

    def read(self, request: ApiRequest) -> Response | None:
        """The answer to a GET of an object, where it can be given in this step; None: `handle`
        gives it. It is the same handler, run without a task."""
        if not self._direct or request.method != "GET" or request.query or request.impersonate:
            return None
        if self.services.store.is_shared or not request.path.startswith(_RESOURCES):
            return None
        try:
            route = self.route_of(request)
        except (ApiError, UnknownPath):
            return None
        if route.verb != "get" or route.subresource is not None or route.resource.custom:
            return None
        key = served.of(route.resource).key
        record = self.services.store.get(key, route.namespace, route.name)
        if record is None or not self._heavy.is_light(record.size):
            return None
        try:
            return at_once(self._answered(request, route))
        except WouldWait:
            return None

    async def _answered(self, request: ApiRequest, route: Route | None = None) -> Response:
        """`route`: that of the request, if it is known and nobody is impersonated."""
        try:
            if route is not None:
                return await self._resource(request, route)
            return await self._answer(request)
        except ApiError as error:
            return refused(request, error)
        except UnknownPath:
            return documents.NOT_FOUND
        except Exception as error:  # the last resort: a bug must not take the connection down
            _log.exception("request_failed", method=request.method, path=request.path)
            if request.audited is not None:
                request.audited.panic = True
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
            if request.audited is not None:
                request.audited.impersonated = user
        if path.startswith(_RESOURCES):
            try:
                route = self.route_of(request)
            except UnknownPath:
                if SUPERUSERS not in request.user.groups:
                    self._require(request, questions.of_unknown(request))
                self._check_proxied(path)
                return self._document(request)
            except ApiError:
                if SUPERUSERS not in request.user.groups:
                    self._require(request, questions.of_unknown(request))
                raise
            return await self._resource(request, route)
        if path.startswith(scrapes.PREFIX):
            self._authorize_path(request)
            return await scrapes.answer(request, self._run_dir)
        if path == BATCH_PATH:
            return await batch.answer(request, self.handle, self.begin, self.services)
        if path == GROUP_POLL_PATH:
            if self._stopping:
                raise errors.ServiceUnavailable("the server is shutting down")
            return await self._group_polls.answer(request, self.handle)
        return self._document(request)

    async def _resource(self, request: ApiRequest, route: Route) -> Response:
        if self._stopping:
            raise errors.ServiceUnavailable("the server is shutting down")
        kind = self._allowed(request, route)
        started_s, series = stopwatch_s(), self._metrics.begin(request, route, kind)
        try:
            response = await self._handled(request, route, kind)
        except BaseException as error:
            series.failed(request, started_s, error)
            raise
        series.answered(request, started_s, response)
        return response

    async def _handled(self, request: ApiRequest, route: Route, kind: ServedKind) -> Response:
        one = call(self.services, request, route, kind)
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

    def _allowed(self, request: ApiRequest, route: Route) -> ServedKind:
        """The kind that a request is for, if its user may do what it asks."""
        if SUPERUSERS not in request.user.groups:
            self._require(request, questions.of_route(request, route))
        if route.resource.custom is not None:
            return self._custom.kind(route)
        return served.of(route.resource)

    def _watched(self, request: ApiRequest) -> str:
        """The store's key of the resource that a request watches; UnknownPath, or an ApiError if it
        is no watch or is refused."""
        if not request.path.startswith(_RESOURCES):
            raise UnknownPath(request.path)
        route = self.route_of(request)
        if route.verb != "watch":
            raise errors.BadRequest("only watches can be polled together")
        return self._allowed(request, route).key

    def _require(self, request: ApiRequest, attributes: Attributes) -> None:
        decision = self._authorizer.authorize(attributes)
        if request.audited is not None:
            request.audited.annotations |= {
                "authorization.k8s.io/decision": "allow" if decision.allowed else "forbid",
                "authorization.k8s.io/reason": decision.reason,
            }
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    def _check_proxied(self, path: str) -> None:
        """503 for a group that is not served here, but was registered as that of a Service."""
        root, *parts = path.strip("/").split("/")
        if root == "apis" and len(parts) > 1 and parts[0] not in discovery.groups():
            self._api_services.check_reachable(parts[0], parts[1])

    # --- paths that are no resources ---

    def _document(self, request: ApiRequest) -> ApiResponse:
        """Health, version, discovery, OpenAPI."""
        path = request.path
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        self._authorize_path(request)
        if first in ENDPOINTS:
            if path != f"/{first}":
                return self._health.answer(request)
            started_s, series = stopwatch_s(), self._metrics.begin_path(path)
            healthy = self._health.answer(request)
            series.answered(request, started_s, healthy)
            return healthy
        if path == "/metrics":
            return self._metrics.answer()
        if self._stopping and first != "version":
            raise errors.ServiceUnavailable("the server is shutting down")
        found = self._documents.found(request, self.server_address)
        if found is None:
            return documents.missing(path)
        if request.method != "GET":
            raise errors.MethodNotAllowed(routing.METHOD_TEXT, details={})
        return found

    def _authorize_path(self, request: ApiRequest) -> None:
        if SUPERUSERS not in request.user.groups:
            self._require(request, questions.of_path(request))


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
