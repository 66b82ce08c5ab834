"""Many caches kept current with one request at a time (ARCHITECTURE.md, "The private group poll").

Meant for collections in which little happens: a connection and a poll for each of fifty would cost
more than all their events. Invariants: a reflector sees what it would see alone, in the same order;
one whose collection is refused goes on alone, with its own back-off and messages, so that it holds
up no other; with a server that does not know group polls all of them go on alone.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from kubeherd.cluster.api.errors import (
    ApiError,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)
from kubeherd.cluster.api.private import grouppoll
from kubeherd.cluster.api.private.grouppoll import GroupAnswer
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.reflector import (
    ANSWER_MARGIN_S,
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    POLL_JITTER,
    POLL_TIMEOUT_S,
    Reflector,
)
from kubeherd.cluster.client.transport import MSGPACK, TransportError, TransportResponse
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

GATHER_S = 0.02
"""Nominal seconds between an answer with changes and the next request, so that several changes come
in one answer."""

_log = structlog.get_logger(__name__)

_Member = Reflector[Any]


class GroupPoll:
    """Some reflectors that share a long-poll. `run` ends only by cancellation or by an exception of
    a handler, and may be called again."""

    def __init__(self, client: ApiClient, clock: Clock, rng: Rng) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(rng, base_s=BACKOFF_BASE_S, cap_s=BACKOFF_CAP_S)
        self._members: list[_Member] = []
        self._together: list[_Member] = []
        self._joined = asyncio.Event()
        self._unknown = False
        """Whether the server has shown that it does not know group polls."""

    def add(self, member: _Member) -> None:
        """Add a reflector, which nobody else may run; it lists at once if `run` is under way."""
        self._members.append(member)
        self._together.append(member)
        self._joined.set()

    async def run(self) -> None:
        """Keep all caches current."""
        self._together = list(self._members)
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._joined.clear()
                if self._together and not await self._may_go_together():
                    for member in self._together:
                        tasks.create_task(member.run())
                    self._together = []
                if not self._together:
                    await self._joined.wait()
                    continue
                for member in await self._round():
                    self._together.remove(member)
                    tasks.create_task(member.run())

    async def _may_go_together(self) -> bool:
        """Whether the server knows group polls, as far as that can be found out."""
        if not self._client.private and not self._unknown:
            try:
                await self._client.send("GET", "/api/v1/namespaces", query={"limit": "1"})
            except (ApiError, TransportError):
                return False  # each reflector alone will find out what is wrong
        return self._client.private and not self._unknown

    async def _round(self) -> Sequence[_Member]:
        """Send one request and use its answer; returns the reflectors that must go on alone."""
        members = self._together[: grouppoll.MAX_PARTS]
        try:
            answer = await self._ask(members)
            if answer is None:
                return ()
            told = await _distribute(answer, members)
        except (NotFound, MethodNotAllowed, UnsupportedMediaType):
            self._unknown = True
            return ()
        except (ApiError, TransportError, msgspec.DecodeError) as error:
            if not self._client.unreachable:
                _log.info("group_poll_failed", error=str(error))
            await self._clock.sleep(self._backoff.next_s())
            return ()
        if told.expired:  # a server whose watches always expire is not asked without a pause
            await self._clock.sleep(self._backoff.next_s())
        elif told.news:
            await self._clock.sleep(GATHER_S)
        if not told.expired and not told.listed:
            self._backoff.reset()
        return [*told.refused, *self._together[grouppoll.MAX_PARTS :]]

    async def _ask(self, members: Sequence[_Member]) -> GroupAnswer | None:
        """The answer for these reflectors; None if others were added before it came."""
        held_s = round(self._rng.jittered(POLL_TIMEOUT_S, POLL_JITTER))
        body = grouppoll.encode(grouppoll.GroupPoll(held_s, [member.part() for member in members]))
        asked = asyncio.create_task(self._send(body, held_s))
        joined = asyncio.create_task(self._joined.wait())
        try:
            await asyncio.wait((asked, joined), return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else None
        finally:
            asked.cancel()
            joined.cancel()
            await asyncio.gather(asked, joined, return_exceptions=True)

    async def _send(self, body: bytes, held_s: int) -> GroupAnswer:
        response = await self._client.send(
            "POST",
            grouppoll.PATH,
            body=body,
            content_type=MSGPACK,
            timeout_s=held_s + ANSWER_MARGIN_S,
        )
        return grouppoll.decode_answer(response.body)


class _Told(msgspec.Struct):
    """What happened when an answer was given to the reflectors."""

    refused: list[_Member] = msgspec.field(default_factory=list)
    """Reflectors whose collections are refused."""
    news: bool = False
    expired: bool = False
    """Whether a reflector has to list again."""
    listed: bool = False
    """Whether a reflector has listed."""


async def _distribute(answer: GroupAnswer, members: Sequence[_Member]) -> _Told:
    """Give each reflector its answer. TransportError if there is one that was not asked for."""
    told = _Told()
    silent = dict.fromkeys(range(len(members)))
    for one in answer.answers:
        if one.index not in silent:
            raise TransportError(f"an answer to part {one.index} of {len(members)}")
        del silent[one.index]
        member = members[one.index]
        response = TransportResponse(one.status, one.body, one.content_type)
        try:
            listed = member.listed
            told.news = await member.take(response) or told.news
            told.expired = told.expired or (listed and not member.listed)
            told.listed = told.listed or (member.listed and not listed)
        except ApiError:
            told.refused.append(member)
    if answer.revision:
        for index in silent:
            members[index].nothing_until(answer.revision)
    return told
