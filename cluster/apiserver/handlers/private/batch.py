"""The private batch (ARCHITECTURE.md): many small writes of one client in one HTTP request.

HTTP and TLS cost as much as a small write itself, and an agent process with hundreds of nodes has
hundreds of them at once. Invariant: a batch means exactly what its requests mean one by one, sent
at the same time: each is authorized, admitted, counted and refused for itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.private import batch, fence
from kubeherd.cluster.api.private.batch import BatchedAnswer, BatchedRequest
from kubeherd.cluster.apiserver.edge.messages import (
    Answer,
    ApiRequest,
    ApiResponse,
    Dropped,
    Response,
)
from kubeherd.cluster.apiserver.edge.negotiation import Media
from kubeherd.cluster.apiserver.edge.responses import error_response
from kubeherd.cluster.apiserver.handlers.begun import ANSWER_US, BEGIN_US, Begun, settled
from kubeherd.cluster.apiserver.handlers.private import privatepaths
from kubeherd.cluster.apiserver.handlers.services import Services
from kubeherd.cluster.runtime.turns import Turns

Begin: TypeAlias = Callable[[ApiRequest], Begun | None]
"""As `ApiServer.begin`."""

_BYTES_PER_US = 40
"""So much of a body takes a microsecond."""

_ALONE_US = 300
"""What a write takes, besides, that is no short one: in the next turn of the event loop."""

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


async def answer(
    request: ApiRequest, handle: Answer, begin: Begin, services: Services
) -> ApiResponse:
    """Answer all requests in the body; BadRequest if it is no batch or too large a one. Those that
    `begin` wait together, the others in a task each."""
    privatepaths.check(request)
    try:
        requests = batch.decode_requests(request.body)
    except (msgspec.DecodeError, ValueError) as error:
        raise errors.BadRequest(f"not a batch: {error}") from None
    started: list[Begun | asyncio.Task[Response]] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            await _start(requests, request, (handle, begin), services.turns, tasks, started)
            await settled(services.store, _begun(started))
    except BaseException:  # the client has gone
        for one in _begun(started):
            one.give_up()
        raise
    services.turns.spend(ANSWER_US * len(started))
    body = batch.encode([
        _answer(one.answer() if isinstance(one, Begun) else one.result()) for one in started
    ])  # fmt: skip
    return ApiResponse(200, body, Media.MSGPACK.value)


async def _start(
    requests: Sequence[BatchedRequest],
    outer: ApiRequest,
    ways: tuple[Answer, Begin],
    turns: Turns,
    tasks: asyncio.TaskGroup,
    started: list[Begun | asyncio.Task[Response]],
) -> None:
    """Let all requests begin, one after the other; they are added to `started` in their order."""
    handle, begin = ways
    for item in requests:
        work_us = BEGIN_US + len(item.body) // _BYTES_PER_US
        if not turns.take(work_us):
            await turns.room(work_us)  # what has been started runs now, and others get their turn
        one = _request(item, outer)
        begun = begin(one)
        if begun is None:
            turns.spend(_ALONE_US)
            started.append(tasks.create_task(_handled(one, handle)))
        else:
            started.append(begun)


def _begun(started: Sequence[Begun | asyncio.Task[Response]]) -> list[Begun]:
    return [one for one in started if isinstance(one, Begun)]


def _request(item: BatchedRequest, outer: ApiRequest) -> ApiRequest:
    """A request of a batch as if it had come alone."""
    headers = {
        "accept": item.accept,
        "content-type": item.content_type,
        "user-agent": outer.headers.get("user-agent", ""),
    }
    if item.fence:
        headers[fence.KEY] = item.fence
    return ApiRequest(
        method=item.method,
        path=item.path,
        query=item.query,
        headers=headers,
        body=item.body,
        user=outer.user,
        part=True,
        peer=outer.peer,
        certificate=outer.certificate,
    )


async def _handled(request: ApiRequest, handle: Answer) -> Response:
    if request.method not in _WRITES or request.path == batch.PATH:
        return error_response(errors.BadRequest("only writes can be batched"), request)
    response = await handle(request)
    if isinstance(response, ApiResponse | Dropped):
        return response
    # no write streams; nothing to close before its start
    return error_response(errors.BadRequest("a batch cannot stream"), request)


def _answer(response: Response) -> BatchedAnswer:
    if not isinstance(response, ApiResponse):
        return BatchedAnswer(batch.NO_ANSWER, "", {}, b"")
    answered = {name.lower(): value for name, value in response.headers.items()}
    return BatchedAnswer(response.status, response.content_type, answered, bytes(response.body))
