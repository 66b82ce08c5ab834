"""Resources that are defined while a cluster is followed."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from kubeherd.cluster.api.errors import ServiceUnavailable
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.following.definitions import DEFINITIONS, Definitions
from kubeherd.history import Verb, Write
from kubeherd.simulation import virtualtime


class World:
    """What is served, and what is followed of it."""

    def __init__(self) -> None:
        self.served: set[str] = set()
        self.followed: set[str] = set()
        self.dropped: list[str] = []
        self.looks = 0
        self.definitions = Definitions(self._follow, self.dropped.append, LoopClock(), Rng(1))

    async def _follow(self, names: frozenset[str]) -> frozenset[str]:
        self.looks += 1
        if self.looks == 1:
            raise ServiceUnavailable("not now")
        found = names & self.served
        self.followed |= found
        return found

    def define(self, name: str, verb: Verb = Verb.CREATE) -> None:
        self.definitions.see(
            Write(at=1.0, revision=1, verb=verb, resource=DEFINITIONS, name=name, object={})
        )


def run(world: World, story: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        running = asyncio.create_task(world.definitions.run())
        try:
            await story
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    virtualtime.run(main())


def test_they_are_followed_once_they_are_served() -> None:
    async def story() -> None:
        world.define("a.x")
        world.define("b.x")
        world.served.add("a.x")
        await asyncio.sleep(10)
        assert world.followed == {"a.x"}
        world.served.add("b.x")
        await asyncio.sleep(60)
        assert world.followed == {"a.x", "b.x"}
        looks = world.looks
        await asyncio.sleep(600)
        assert world.looks == looks  # nothing is left to look for

    world = World()
    run(world, story())


def test_who_is_never_served_is_looked_for_seldom() -> None:
    async def story() -> None:
        world.define("never.x")
        await asyncio.sleep(3600)
        assert 60 < world.looks < 200
        world.define("never.x", Verb.DELETE)
        await asyncio.sleep(60)
        looks = world.looks
        await asyncio.sleep(3600)
        assert (world.looks, world.dropped) == (looks, ["never.x"])

    world = World()
    run(world, story())
