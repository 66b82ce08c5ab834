"""The gate: it stands before the server's function while there are faults, and is absent otherwise.

Faults of the connection (partition, slow network) hit the request as it was sent, those of single
requests each part of a private batch or group poll for itself. A message that a partition holds up
goes its way when the cable is back and its sender still waits, as with TCP; a write that has been
begun is carried out whatever becomes of its client. What is held are requests under way, and these
are as many as connections.
"""

import asyncio
from collections.abc import Callable

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.private.batch import PATH as BATCH_PATH
from kubeherd.cluster.api.private.grouppoll import PATH as GROUP_POLL_PATH
from kubeherd.cluster.apiserver.edge.messages import (
    Answer,
    ApiRequest,
    Dropped,
    Response,
    WatchResponse,
)
from kubeherd.cluster.apiserver.edge.responses import refused
from kubeherd.cluster.apiserver.edge.routing import Route, UnknownPath
from kubeherd.cluster.apiserver.faults import answers
from kubeherd.cluster.apiserver.faults.active import Faults
from kubeherd.cluster.apiserver.faults.groups import Groups
from kubeherd.cluster.apiserver.faults.matching import Asked, Hits, Who
from kubeherd.cluster.apiserver.faults.polls import Polls
from kubeherd.cluster.apiserver.faults.revisions import Revisions
from kubeherd.cluster.apiserver.handlers.services import Services
from kubeherd.cluster.apiserver.read import listing
from kubeherd.faults.effects import (
    ApiDelay,
    ApiDrop,
    ApiError,
    Direction,
    Expire,
    Moment,
    StaleList,
)

_READS = ("GET", "HEAD")


def who_sends(request: ApiRequest) -> Who:
    """The sender of a request, by what faults know of him."""
    agent = request.headers.get("user-agent", "")
    return Who(request.user.name, agent, request.certificate)


def asked_by(request: ApiRequest, route_of: Callable[[ApiRequest], Route]) -> Asked:
    """What a request is for; other paths than those of resources have a verb only."""
    if request.path.startswith(("/api/", "/apis/")):
        try:
            route = route_of(request)
        except (UnknownPath, errors.ApiError):
            return Asked(request.method.lower())
        part = f"/{route.subresource_name}" if route.subresource is not None else ""
        return Asked(route.verb, route.resource.group_resource + part)
    return Asked(request.method.lower())


class Gate:
    """As `server.Layer`."""

    def __init__(
        self, services: Services, faults: Faults, route_of: Callable[[ApiRequest], Route]
    ) -> None:
        self._faults = faults
        self._route_of = route_of
        self._revisions = Revisions(services.store, route_of)
        self._polls = Polls(faults, self._revisions)
        self._groups = Groups(faults, self._revisions, self._asked)
        self._under_way: set[asyncio.Task[Response]] = set()

    def _asked(self, request: ApiRequest) -> Asked:
        return asked_by(request, self._route_of)

    async def handle(self, request: ApiRequest, answer: Answer) -> Response:
        """What is left of the answer."""
        who = who_sends(request)
        if not self._faults.of(who):
            return await answer(request)
        if request.part:
            return await self._hit(request, who, answer)
        await self._faults.way(who, Direction.REQUESTS, len(request.body))
        if request.path == BATCH_PATH:
            response = await self._carried_out(request, answer)
        elif request.path == GROUP_POLL_PATH:
            response = await self._groups.handle(request, self._faults.of(who), answer)
        else:
            response = await self._hit(request, who, answer)
        await self._faults.way(who, Direction.ANSWERS, answers.size_of(response))
        return response

    async def _hit(self, request: ApiRequest, who: Who, answer: Answer) -> Response:
        """Through the faults of single requests."""
        asked = self._asked(request)
        hits = self._faults.struck(self._faults.of(who), asked)
        if not hits:
            return await self._carried_out(request, answer)
        if not (request.part and request.method in _READS):  # a group has waited as a whole
            await self._faults.delay(hits.get(ApiDelay, []))
        refusal = self._refusal(request, asked, hits)
        if refusal is not None:
            return refusal
        if asked.verb == "watch":
            response = await self._watch(request, hits, answer)
        else:
            response = await self._carried_out(self._stale(request, asked, hits), answer)
        if _drops(hits, Moment.AFTER):
            if isinstance(response, WatchResponse):
                await response.chunks.aclose()
            return Dropped()
        return response

    def _refusal(self, request: ApiRequest, asked: Asked, hits: Hits) -> Response | None:
        """What is answered in the server's place, if anything."""
        if _drops(hits, Moment.BEFORE):
            return Dropped()
        for fault in hits.get(ApiError, ()):
            if isinstance(fault.effect, ApiError):
                return refused(request, answers.error_of(fault, fault.effect))
        if Expire in hits and asked.verb == "list" and (token := request.query.get("continue")):
            try:
                return refused(request, listing.expired_page(token))
            except errors.BadRequest:
                return None  # no good token: the server says so itself
        return None

    def _stale(self, request: ApiRequest, asked: Asked, hits: Hits) -> ApiRequest:
        for fault in hits.get(StaleList, ()):
            if asked.verb == "list" and isinstance(fault.effect, StaleList):
                return self._revisions.stale(request, fault.effect)
        return request

    async def _watch(self, request: ApiRequest, hits: Hits, answer: Answer) -> Response:
        """A stream's faults are its valve's, but for where it begins."""
        if request.part:
            return await answer(request)  # what hits it was decided for the group
        if request.query.get("poll") == "1":
            return await self._polls.handle(request, hits, answer)
        return await answer(self._revisions.repeated(request, hits))

    async def _carried_out(self, request: ApiRequest, answer: Answer) -> Response:
        """A write is carried out to its end, also if its client does not wait for it."""
        if request.method in _READS:
            return await answer(request)
        task = asyncio.ensure_future(answer(request))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: "asyncio.Task[Response]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # its client may have gone: nobody else looks


def _drops(hits: Hits, moment: Moment) -> bool:
    return any(
        isinstance(fault.effect, ApiDrop) and fault.effect.moment is moment
        for fault in hits.get(ApiDrop, ())
    )
