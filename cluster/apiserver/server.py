"""The API server as one function: `ApiServer.handle` turns a request into an answer.

Free of any HTTP library: the aiohttp shell (`http`) and the in-process transport of the simulation
are adapters around it. Invariants: every refusal is a Status object; an unexpected exception is
logged and answered as InternalError, never raised; after `stop` new requests get 503.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from msgspec.structs import replace

from kubeherd.cluster.api import errors, fields, kinds
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.private.batch import PATH as BATCH_PATH
from kubeherd.cluster.api.private.grouppoll import PATH as GROUP_POLL_PATH
from kubeherd.cluster.apiserver import bootstrap
from kubeherd.cluster.apiserver.access import impersonation
from kubeherd.cluster.apiserver.access.authenticator import Authenticator
from kubeherd.cluster.apiserver.access.authz import questions, required
from kubeherd.cluster.apiserver.access.tokens.issuer import TokenIssuer
from kubeherd.cluster.apiserver.apiservices import ApiServices
from kubeherd.cluster.apiserver.customresources.watching import DEFINITIONS, CustomResources
from kubeherd.cluster.apiserver.edge.messages import (
    Answer,
    ApiRequest,
    Layer,
    Response,
)
from kubeherd.cluster.apiserver.edge.responses import error_response, refused
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.apiserver.handlers import begun, documents, resources, scrapes
from kubeherd.cluster.apiserver.handlers.documents import Documents
from kubeherd.cluster.apiserver.handlers.health import Phase
from kubeherd.cluster.apiserver.handlers.paths import Paths
from kubeherd.cluster.apiserver.handlers.private import batch
from kubeherd.cluster.apiserver.handlers.private.grouppoll import GroupPolls
from kubeherd.cluster.apiserver.handlers.resources import Resources
from kubeherd.cluster.apiserver.handlers.services import Services
from kubeherd.cluster.apiserver.maintenance import Maintenance
from kubeherd.cluster.apiserver.metrics import Metrics
from kubeherd.cluster.apiserver.policystatus import PolicyStatus
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.apiserver.write.short.alike.creates import AlikeCreates
from kubeherd.cluster.runtime.atonce import WouldWait, at_once
from kubeherd.cluster.runtime.clock import Clock
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
        heavy = heavy or HeavyWork()
        registry = Registry(store, rng, heavy)
        tokens = TokenIssuer(registry, clock, _existing(pki, "sa.key"))
        local = _local_commands(registry) if exec_local else None
        self.server_address = server_address
        self.authenticator = Authenticator(tokens, clock)
        self.services = Services(
            store,
            clock,
            rng,
            registry,
            heavy,
            tokens,
            Metrics(store),
            AlikeCreates(registry, rng),
            turns or Turns(),
            pod_log_dir,
            local,
        )
        self._pki = pki
        self._run_dir = run_dir
        self._phase = Phase()
        self._custom = custom = CustomResources(registry, clock, rng)
        registry.policies.custom = lambda: custom.kinds
        api_services = ApiServices(registry, clock, lambda: custom.served)
        self._background = (
            Maintenance(registry, clock),
            custom,
            api_services,
            PolicyStatus(registry, clock, lambda: custom.resources),
        )
        self._resources = Resources(self.services, custom, api_services, self._phase)
        self._paths = Paths(self.services, Documents(tokens, lambda: custom.resources), self._phase)
        self._group_polls = GroupPolls(store, self._resources.watched, self.services.watches)
        self._closing: list[Callable[[], None]] = [heavy.close]
        if local is not None:
            self._closing.append(local.close)
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

    def families(self) -> "Iterable[Family]":
        """What the server counts."""
        return self.services.metrics.families()

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
        self._phase.started = True

    def replay(self, shield: Layer) -> None:
        """Instead of `bootstrap` and `run`, over a store that a history fills: serve what is in it,
        to the requests that `shield` lets pass, and write nothing."""
        self._shield = shield
        self._connect()
        self._custom.refresh()
        self.services.store.hub.listen(DEFINITIONS.group_resource, self._custom.refresh)
        self._phase.started = True

    def route_of(self, request: ApiRequest) -> Route:
        """What a request is for; as `routing.parse`."""
        return self._resources.route_of(request)

    async def run(self) -> None:
        """Background work, forever; the owner cancels it."""
        async with asyncio.TaskGroup() as tasks:
            for part in self._background:
                tasks.create_task(part.run())

    def stop(self) -> None:
        """Refuse new requests with 503 and end all watches; requests under way finish."""
        self._phase.stopping = True
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
        return self._resources.begin(request) if self._direct else None

    def read(self, request: ApiRequest) -> Response | None:
        """The answer to a GET of an object, where it can be given in this step; None: `handle`
        gives it. It is the same handler, run without a task."""
        route = self._resources.readable_at_once(request) if self._direct else None
        if route is None:
            return None
        try:
            return at_once(_told(request, self._resources.answer(request, route)))
        except WouldWait:
            return None

    def _answered(self, request: ApiRequest) -> Coroutine[Any, Any, Response]:
        return _told(request, self._answer(request))

    async def _answer(self, request: ApiRequest) -> Response:
        path = request.path
        authorizer = self.services.registry.authorizer
        if request.impersonate and (wanted := impersonation.parse(request.impersonate)):
            user = impersonation.effective_user(wanted, questions.of_request(request), authorizer)
            request = replace(request, user=user, impersonate=())
            if request.audited is not None:
                request.audited.impersonated = user
        if resources.is_below(path):
            route = self._resources.authorized_route(request)
            if route is not None:
                return await self._resources.answer(request, route)
        elif path.startswith(scrapes.PREFIX):
            required.for_path(authorizer, request)
            return await scrapes.answer(request, self._run_dir)
        elif path == BATCH_PATH:
            return await batch.answer(request, self.handle, self.begin, self.services)
        elif path == GROUP_POLL_PATH:
            if self._phase.stopping:
                raise errors.ServiceUnavailable("the server is shutting down")
            return await self._group_polls.answer(request, self.handle)
        return self._paths.answer(request, self.server_address)


async def _told(request: ApiRequest, answering: Coroutine[Any, Any, Response]) -> Response:
    """What is answered; a refusal or a bug as a Status."""
    try:
        return await answering
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
