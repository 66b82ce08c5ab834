"""Faults of the private group poll: each part is a watch or a list of its own.

Stalled parts are not asked, and the answer says of no part that nothing happened to it: revision 0,
as when there was more than fits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.private import grouppoll
from kubeherd.cluster.api.private.grouppoll import GroupAnswer, GroupPoll, Part, PartAnswer
from kubeherd.cluster.apiserver.edge.messages import Answer, ApiRequest, ApiResponse, Response
from kubeherd.cluster.apiserver.edge.negotiation import Media
from kubeherd.cluster.apiserver.edge.responses import encode
from kubeherd.cluster.apiserver.faults import answers
from kubeherd.cluster.apiserver.faults.active import Faults
from kubeherd.cluster.apiserver.faults.matching import Asked, Hits
from kubeherd.cluster.apiserver.faults.polls import MAX_HELD_S, ends_after_s
from kubeherd.cluster.apiserver.faults.revisions import Revisions
from kubeherd.cluster.apiserver.faults.rewriting import resumed_after
from kubeherd.faults import Fault
from kubeherd.faults.effects import ApiDelay, Expire, WatchEnd, WatchRepeat, WatchStall

_OF_PARTS = (ApiDelay, Expire, WatchEnd, WatchRepeat, WatchStall)


class _Sorted(msgspec.Struct):
    """The parts of a poll, by what becomes of them."""

    kept: list[tuple[int, Part]] = msgspec.field(default_factory=list)
    expired: list[PartAnswer] = msgspec.field(default_factory=list)
    stalls: list[Fault] = msgspec.field(default_factory=list)
    ends: list[Fault] = msgspec.field(default_factory=list)
    delays: list[Fault] = msgspec.field(default_factory=list)


class Groups:
    """Answers group polls of clients who are hurt."""

    def __init__(
        self, faults: Faults, revisions: Revisions, asked: Callable[[ApiRequest], Asked]
    ) -> None:
        self._faults = faults
        self._revisions = revisions
        self._asked = asked

    async def handle(
        self, request: ApiRequest, faults: Sequence[Fault], answer: Answer
    ) -> Response:
        """What is left of the answer."""
        own = [fault for fault in faults if isinstance(fault.effect, _OF_PARTS)]
        try:
            poll = grouppoll.decode_poll(request.body)
        except (msgspec.DecodeError, ValueError):
            return await answer(request)  # it is refused
        if not own:
            return await answer(request)
        parts = self._sort(request, poll, own)
        await self._faults.delay(parts.delays)
        if parts.expired:
            return _answer(GroupAnswer(0, parts.expired))
        body = grouppoll.encode(GroupPoll(poll.timeout_s, [part for _, part in parts.kept]))
        asking = self._asking(parts, replace(request, body=body), poll.timeout_s, answer)
        response = await self._unless_ended(asking, parts)
        if response is None:
            return _answer(GroupAnswer(0, []))
        if not isinstance(response, ApiResponse) or response.status != 200 or not parts.stalls:
            return response
        answered = grouppoll.decode_answer(response.body).answers
        return _answer(
            GroupAnswer(0, [replace(one, index=parts.kept[one.index][0]) for one in answered])
        )

    def _sort(self, outer: ApiRequest, poll: GroupPoll, faults: Sequence[Fault]) -> _Sorted:
        found = _Sorted()
        for index, part in enumerate(poll.parts):
            since = resumed_after(part.query)
            query = {**part.query, "watch": "1"} if since else part.query
            alone = replace(outer, method="GET", path=part.path, query=query)
            asked = self._asked(alone)
            hits = self._faults.struck(faults, asked)
            found.delays += [one for one in hits.get(ApiDelay, ()) if one not in found.delays]
            if asked.verb != "watch":
                found.kept.append((index, part))
            elif Expire in hits:
                found.expired.append(_expired(index, since, hits[Expire][0]))
            elif WatchStall in hits:
                found.stalls.append(hits[WatchStall][0])
            else:
                found.ends += hits.get(WatchEnd, [])
                found.kept.append((index, self._repeated(part, alone, hits)))
        return found

    def _repeated(self, part: Part, alone: ApiRequest, hits: Hits) -> Part:
        asked = self._revisions.repeated_once(alone, hits)
        if asked is alone:
            return part
        older = asked.query["resourceVersion"]
        return replace(part, query={**part.query, "resourceVersion": older})

    async def _asking(
        self, parts: _Sorted, request: ApiRequest, timeout_s: int, answer: Answer
    ) -> Response | None:
        """The answer to those that are asked; None when the first stall is over, or after the
        poll's time if none is asked."""
        if not parts.stalls:
            return await answer(request)
        if not parts.kept:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(timeout_s, MAX_HELD_S)):
                    await self._faults.end(parts.stalls[0])
            return None
        asked = asyncio.ensure_future(answer(request))
        healed = asyncio.ensure_future(self._faults.end(parts.stalls[0]))
        try:
            await asyncio.wait((asked, healed), return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else None
        finally:
            asked.cancel()
            healed.cancel()
            await asyncio.gather(asked, healed, return_exceptions=True)

    async def _unless_ended(
        self, asking: Awaitable[Response | None], parts: _Sorted
    ) -> Response | None:
        ends_s = ends_after_s(parts.ends)
        if ends_s is None:
            return await asking
        with suppress(TimeoutError):
            return await self._faults.clock.wait_for(asking, ends_s)
        return None


def _expired(index: int, since: int, fault: Fault) -> PartAnswer:
    error = answers.too_old(since, fault)
    media = Media.MSGPACK
    return PartAnswer(index, error.status_code, media.value, encode(error.status(), media))


def _answer(answer: GroupAnswer) -> ApiResponse:
    return ApiResponse(200, grouppoll.encode(answer), Media.MSGPACK.value)
