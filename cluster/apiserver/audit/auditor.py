"""The audit log of one server: every request passes here on its way in and out.

Source: apiserver/pkg/endpoints/filters/audit.go (v1.36). Invariant: a request whose level is not
None has one event per stage that is not omitted, whatever becomes of it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from urllib.parse import quote, urlencode

from kubeherd.cluster.api.auditpolicy import Asked, Level, Policy, Stage, Verdict
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.private.batch import PATH as BATCH_PATH
from kubeherd.cluster.api.private.grouppoll import PATH as GROUP_POLL_PATH
from kubeherd.cluster.api.timestamps import format_micro_time
from kubeherd.cluster.apiserver.access.authz import Attributes, questions
from kubeherd.cluster.apiserver.audit import events
from kubeherd.cluster.apiserver.audit.logfile import LogFile
from kubeherd.cluster.apiserver.edge.messages import (
    Answer,
    ApiRequest,
    ApiResponse,
    Audited,
    Response,
    Socket,
    UpgradeResponse,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

_MAX_ID = 64
_SEVERAL = (BATCH_PATH, GROUP_POLL_PATH)
"""What is sent there is several requests, which come here one by one."""
_BARE = frozenset({"patch", "delete", "deletecollection"})
"""What these send is shown as it was sent: a patch, or options."""
_LONG_RUNNING = frozenset({"attach", "exec", "proxy", "log", "portforward"})
_EARLY = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}


class Auditor:
    """Logs what `policy` wants to `log`; `route_of` finds what a request is for."""

    def __init__(
        self,
        policy: Policy,
        log: LogFile,
        clock: Clock,
        rng: Rng,
        route_of: Callable[[ApiRequest], Route],
    ) -> None:
        self._policy = policy
        self._log = log
        self._clock = clock
        self._rng = rng
        self._route_of = route_of

    async def handle(self, request: ApiRequest, answer: Answer) -> Response:
        """What `answer` makes of the request; logged."""
        if request.path in _SEVERAL:
            return await answer(request)
        asked = self._asked(request)
        verdict = self._policy.decide(_question(asked))
        if verdict.level is Level.NONE:
            return await answer(request)
        trail = self._trail(request, asked, verdict)
        trail.log(Stage.REQUEST_RECEIVED)
        try:
            response = await answer(request)
        except BaseException:  # cancelled: the client has gone
            trail.ended_early()
            raise
        return trail.answered(response)

    def close(self) -> None:
        """After the last request."""
        self._log.close()

    def _asked(self, request: ApiRequest) -> Attributes:
        if request.path.startswith(("/api/", "/apis/")):
            with suppress(UnknownPath, ApiError):
                return questions.of_route(request, self._route_of(request))
            return questions.of_unknown(request)
        return questions.of_path(request)

    def _trail(self, request: ApiRequest, asked: Attributes, verdict: Verdict) -> "_Trail":
        audit_id = request.headers.get("audit-id", "")[:_MAX_ID] or self._rng.uuid4()
        raw_query = request.raw_query or (urlencode(request.query) if request.query else "")
        uri = quote(request.path, safe="/:@!$&'()*+,;=~") + (f"?{raw_query}" if raw_query else "")
        event = events.beginning(request, asked, verdict, audit_id, uri)
        event["requestReceivedTimestamp"] = format_micro_time(self._clock.now())
        request.audited = Audited(
            {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
            wants_objects=verdict.level >= Level.REQUEST,
        )
        lasts = asked.verb == "watch" or asked.subresource in _LONG_RUNNING
        return _Trail(event, request, request.audited, verdict, self._log, self._clock, lasts)


class _Trail:
    """The events of one request."""

    def __init__(
        self,
        event: JsonObject,
        request: ApiRequest,
        audited: Audited,
        verdict: Verdict,
        log: LogFile,
        clock: Clock,
        lasts: bool,
    ) -> None:
        self._event = event
        self._request = request
        self._audited = audited
        self._verdict = verdict
        self._log = log
        self._clock = clock
        self._lasts = lasts

    def log(self, stage: Stage) -> None:
        """Write the event as it is now, unless the policy omits the stage."""
        if stage in self._verdict.omit_stages:
            return
        event = self._event
        event["stage"] = stage.value
        event["stageTimestamp"] = format_micro_time(self._clock.now())
        self._log.append(events.line(event))

    def answered(self, response: Response) -> Response:
        """Log the answer now or, of one that lasts, its beginning now and its end then."""
        self._note_request()
        event, audit_id = self._event, str(self._event["auditID"])
        if isinstance(response, ApiResponse):
            response.headers = {**response.headers, "Audit-Id": audit_id}
            events.add_answer(event, response, self._verdict)
            if self._audited.panic:
                self.log(Stage.PANIC)
                return response
            if self._lasts:
                self.log(Stage.RESPONSE_STARTED)
            self.log(Stage.RESPONSE_COMPLETE)
        elif isinstance(response, WatchResponse):
            response.headers = {**response.headers, "Audit-Id": audit_id}
            self._started(200)
            response.chunks = self._streamed(response.chunks)
        elif isinstance(response, UpgradeResponse):
            self._started(101)
            response.serve = self._served(response)
        return response

    def ended_early(self) -> None:
        """The client did not wait for an answer."""
        self._note_request()
        self._event["responseStatus"] = _EARLY
        if self._lasts:
            self.log(Stage.RESPONSE_STARTED)
        self.log(Stage.RESPONSE_COMPLETE)

    def _started(self, code: int) -> None:
        self._event["responseStatus"] = {"metadata": {}, "code": code}
        self.log(Stage.RESPONSE_STARTED)

    async def _streamed(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            self.log(Stage.RESPONSE_COMPLETE)
            await chunks.aclose()

    def _served(self, response: UpgradeResponse) -> Callable[[Socket], Awaitable[None]]:
        serve = response.serve

        async def logged(socket: Socket) -> None:
            try:
                await serve(socket)
            finally:
                self.log(Stage.RESPONSE_COMPLETE)

        return logged

    def _note_request(self) -> None:
        """What has become known of the request while it was handled."""
        event, audited, request = self._event, self._audited, self._request
        if audited.impersonated is not None:
            event["impersonatedUser"] = audited.impersonated.to_json()
        event["annotations"] = audited.annotations
        sent = audited.sent
        if isinstance(sent, dict):
            events.complete_reference(event, sent)
        elif audited.wants_objects and event["verb"] in _BARE:
            sent = events.tree_of(request.headers.get("content-type", ""), request.body)
        if audited.wants_objects and sent is not None:
            event["requestObject"] = events.shown(sent, self._verdict)


def _question(asked: Attributes) -> Asked:
    return Asked(
        user=asked.user.name,
        groups=asked.user.groups,
        verb=asked.verb,
        path=asked.path,
        group=asked.group,
        resource=asked.resource,
        subresource=asked.subresource,
        namespace=asked.namespace,
        name=asked.name,
    )
