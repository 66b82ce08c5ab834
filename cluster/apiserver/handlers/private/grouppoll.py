"""The private group poll (ARCHITECTURE.md): a client follows many quiet collections by one request.

A garbage collector watches every kind there is, and most of them never change: a connection and a
request in half a minute for each costs more than all their events. Invariant: each part is answered
as it would be alone, by the same handler, with the same rights; no event of an unanswered part is
older than the revision that the whole answer gives.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.private import grouppoll
from kubeherd.cluster.api.private.grouppoll import GroupAnswer, PartAnswer
from kubeherd.cluster.apiserver.edge.messages import (
    Answer,
    ApiRequest,
    ApiResponse,
    Dropped,
)
from kubeherd.cluster.apiserver.edge.negotiation import Media
from kubeherd.cluster.apiserver.edge.responses import error_response
from kubeherd.cluster.apiserver.edge.routing import UnknownPath
from kubeherd.cluster.apiserver.handlers.private import privatepaths
from kubeherd.cluster.apiserver.read.openwatches import OpenWatches
from kubeherd.cluster.store.store import Store
from kubeherd.cluster.store.watch.deliveries import WatchFilter

ANSWER_BYTES = 4 * 1024 * 1024
"""The answer ends with the part that reaches this; the others are answered by the next one."""

MAX_TIMEOUT_S = 3600

_POLL = {"watch": "1", "poll": "1", "timeoutSeconds": "0"}


class _Part(msgspec.Struct, frozen=True):
    request: ApiRequest
    key: str = ""
    """The resource in the store; empty if the part can be answered at once."""
    since_revision: int = 0


class GroupPolls:
    """Answers group polls. `watched` gives the store's key of the resource
    that a request watches, ApiError if it is refused."""

    def __init__(
        self,
        store: Store,
        watched: Callable[[ApiRequest], str],
        watches: OpenWatches,
    ) -> None:
        self._store = store
        self._watches = watches
        self._watched = watched

    async def answer(self, request: ApiRequest, handle: Answer) -> ApiResponse | Dropped:
        """Wait until one of the parts has an answer, which `handle` gives; BadRequest if the body
        is no group poll. The connection that a part loses is that of all."""
        privatepaths.check(request)
        try:
            poll = grouppoll.decode_poll(request.body)
        except (msgspec.DecodeError, ValueError) as error:
            raise errors.BadRequest(f"not a group poll: {error}") from None
        headers = {
            "accept": Media.MSGPACK.value,
            "user-agent": request.headers.get("user-agent", ""),
        }
        parts = [self._part(part, request, headers) for part in poll.parts]
        revision, due = await self._due(request, parts, min(poll.timeout_s, MAX_TIMEOUT_S))
        asked = [(index, parts[index].request) for index in due]
        answer = await _answers(revision, asked, handle)
        if isinstance(answer, Dropped):
            return answer
        return ApiResponse(200, grouppoll.encode(answer), Media.MSGPACK.value)

    def _part(self, part: grouppoll.Part, outer: ApiRequest, headers: Mapping[str, str]) -> _Part:
        since = part.query.get("resourceVersion")
        request = ApiRequest(
            method="GET",
            path=part.path,
            query=part.query if since is None else {**part.query, **_POLL},
            headers=headers,
            user=outer.user,
            part=True,
            peer=outer.peer,
            certificate=outer.certificate,
        )
        if since is None or not since.isdigit():
            return _Part(request)
        try:
            return _Part(request, self._watched(request), int(since))
        except (ApiError, UnknownPath):
            return _Part(request)  # the refusal is its answer

    async def _due(
        self, request: ApiRequest, parts: list[_Part], timeout_s: int
    ) -> tuple[int, list[int]]:
        """The parts that can be answered now, and up to which revision nothing happened to the
        others; waits for the first one."""
        filters = [WatchFilter(key) for key in dict.fromkeys(part.key for part in parts)]
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while True:
            revision = self._store.revision
            due = [index for index, part in enumerate(parts) if self._is_due(part, revision)]
            left_s = end_s - loop.time()
            if due or left_s <= 0:
                return revision, due
            waiting = self._watches.woken(request, self._store.hub, *filters, timeout_s=left_s)
            if not await waiting:
                return revision, due

    def _is_due(self, part: _Part, revision: int) -> bool:
        return (
            not part.key
            or part.since_revision > revision
            or self._store.hub.changed(part.key, part.since_revision)
        )


async def _answers(
    revision: int, due: list[tuple[int, ApiRequest]], handle: Answer
) -> GroupAnswer | Dropped:
    answers: list[PartAnswer] = []
    size_bytes = 0
    for index, request in due:
        if size_bytes >= ANSWER_BYTES:
            return GroupAnswer(0, answers)
        response = await handle(request)
        if isinstance(response, Dropped):
            return response
        if not isinstance(response, ApiResponse):
            response = error_response(errors.BadRequest("a part cannot stream"), request)
        body = bytes(response.body)
        size_bytes += len(body)
        answers.append(PartAnswer(index, response.status, response.content_type, body))
    return GroupAnswer(revision, answers)
