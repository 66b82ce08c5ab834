"""Faults of the private long-poll: what they mean for a watch that is many requests."""

import asyncio
from contextlib import suppress

from msgspec.structs import replace

from kubeherd.cluster.apiserver.edge.messages import Answer, ApiRequest, ApiResponse, Response
from kubeherd.cluster.apiserver.edge.responses import refused
from kubeherd.cluster.apiserver.faults import answers
from kubeherd.cluster.apiserver.faults.active import Faults
from kubeherd.cluster.apiserver.faults.matching import Hits
from kubeherd.cluster.apiserver.faults.revisions import Revisions
from kubeherd.cluster.apiserver.faults.rewriting import resumed_after
from kubeherd.faults import Fault
from kubeherd.faults.effects import Expire, WatchEnd, WatchStall

SHORTEST_POLL_S = 1.0
"""Nominal seconds: a poll that ends at once would come again at once."""

HELD_S = 30
MAX_HELD_S = 3600


def ends_after_s(faults: list[Fault]) -> float | None:
    """When a poll that these faults hit ends; None if they are none of that kind."""
    times = [fault.effect.after_s for fault in faults if isinstance(fault.effect, WatchEnd)]
    return max(SHORTEST_POLL_S, min(times)) if times else None


class Polls:
    """Answers polls that were hit."""

    def __init__(self, faults: Faults, revisions: Revisions) -> None:
        self._faults = faults
        self._revisions = revisions

    async def handle(
        self,
        request: ApiRequest,
        hits: Hits,
        answer: Answer,
    ) -> Response:
        """What is left of the answer to one poll."""
        since = resumed_after(request.query)
        if since and Expire in hits:
            return refused(request, answers.too_old(since, hits[Expire][0]))
        if WatchStall in hits:
            return await self._stalled(request, hits[WatchStall][0], answer)
        request = self._revisions.repeated_once(request, hits)
        ends_s = ends_after_s(hits.get(WatchEnd, []))
        if ends_s is None:
            return await answer(request)
        try:
            return await self._faults.clock.wait_for(answer(request), ends_s)
        except TimeoutError:
            return answers.nothing(request)

    async def _stalled(
        self,
        request: ApiRequest,
        fault: Fault,
        answer: Answer,
    ) -> Response:
        """Nothing happens, until the poll's time or the fault is over; what the server would
        refuse, it refuses."""
        at_once = replace(request, query={**request.query, "timeoutSeconds": "0"})
        response = await answer(at_once)
        if not isinstance(response, ApiResponse) or response.status != 200:
            return response
        await self.hold(fault, request.query.get("timeoutSeconds", ""))
        return answers.nothing(request)

    async def hold(self, fault: Fault, timeout: str) -> None:
        """Wait as long as a poll waits (`timeout`: real seconds, as it was sent), or until the
        fault is over."""
        held_s = min(int(timeout), MAX_HELD_S) if timeout.isdigit() else HELD_S
        with suppress(TimeoutError):
            async with asyncio.timeout(held_s):
                await self._faults.end(fault)
