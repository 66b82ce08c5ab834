"""A cluster followed as a whole: what ends by an error is not passed over."""

import asyncio

from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportResponse
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.following.session import Following
from kubeherd.simulation.transport import Request, StubTransport


class Silent(StubTransport):
    """Nobody asks it for anything."""

    async def answer(self, request: Request) -> TransportResponse:
        raise AssertionError(request)


async def test_a_task_that_ends_by_an_error_is_said():
    clock = LoopClock()
    following = Following(ApiClient(Silent(), clock), clock, print)

    async def fails() -> None:
        raise ValueError("of all things")

    tasks = [asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(0))]
    for task in tasks:
        following.look_after(task)
    assert following.failing() == ""
    await asyncio.gather(*tasks, return_exceptions=True)
    assert following.failing() == "ValueError: of all things"
