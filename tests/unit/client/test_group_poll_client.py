"""Reflectors that share a long-poll: each sees what it would see alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from kubeherd.cluster.api.errors import ApiError, Expired, Forbidden, NotFound
from kubeherd.cluster.api.kinds import CONFIGMAPS, SECRETS, SERVICEACCOUNTS, Resource
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.api.private import grouppoll
from kubeherd.cluster.api.private.grouppoll import GroupAnswer, PartAnswer
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.grouppoll import GroupPoll
from kubeherd.cluster.client.listwatch import ListWatch
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.client.transport import MSGPACK, TransportError, TransportResponse
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.transport import Request, StubTransport
from kubeherd.simulation.virtualtime import VirtualClock

Body = dict[str, Any] | ApiError


class Server(StubTransport):
    """A few collections with a history of all that happened."""

    def __init__(self, *, knows_groups: bool = True) -> None:
        self.revision = 10
        self.events: list[tuple[int, str, str, dict[str, Any]]] = []
        self.compacted = 0
        self.knows_groups = knows_groups
        self.failing: list[Exception] = []
        self.forbidden: set[str] = set()
        self.cut_after = 100
        self.asked: list[Request] = []
        self._happened = asyncio.Event()

    def happen(self, resource: Resource, type_: str, name: str) -> None:
        """Something happens to an object of a collection."""
        self.revision += 1
        meta = {"name": name, "uid": name, "resourceVersion": str(self.revision)}
        self.events.append((self.revision, resource.path(), type_, {"metadata": meta}))
        self._happened.set()
        self._happened = asyncio.Event()

    async def answer(self, request: Request) -> TransportResponse:
        self.asked.append(request)
        await asyncio.sleep(0.001)
        if self.failing:
            raise self.failing.pop(0)
        if request.path != grouppoll.PATH:
            return packed(await self._alone(request.path, request.query, wait=True))
        if not self.knows_groups:
            return packed(NotFound("no such path"))
        return TransportResponse(200, await self._group(request.body), MSGPACK)

    async def _group(self, body: bytes) -> bytes:
        poll = grouppoll.decode_poll(body)
        while True:
            answers = []
            for index, part in enumerate(poll.parts):
                found = await self._alone(part.path, part.query, wait=False)
                if isinstance(found, ApiError) or "items" in found or found["events"]:
                    one = packed(found)
                    answers.append(PartAnswer(index, one.status, one.content_type, one.body))
            if answers:
                cut = len(answers) > self.cut_after
                return grouppoll.encode(
                    GroupAnswer(0 if cut else self.revision, answers[: self.cut_after])
                )
            await self._happened.wait()

    async def _alone(self, path: str, query: dict[str, str], *, wait: bool) -> Body:
        if path in self.forbidden:
            return Forbidden("not for you")
        happened = [event for event in self.events if event[1] == path]
        if "resourceVersion" not in query:
            state = {tree["metadata"]["name"]: tree for _, _, t, tree in happened if t != "DELETED"}
            for _, _, type_, tree in happened:
                if type_ == "DELETED":
                    state.pop(tree["metadata"]["name"], None)
            metadata = {"resourceVersion": str(self.revision)}
            return {"metadata": metadata, "items": list(state.values())}
        since = int(query["resourceVersion"])
        if since < self.compacted:
            return Expired("too old resource version")
        while True:
            new = [
                {"type": type_, "object": tree}
                for revision, where, type_, tree in self.events
                if revision > since and where == path
            ]
            if new or not wait:
                return {"resourceVersion": str(self.revision), "events": new}
            await self._happened.wait()


def packed(body: Body) -> TransportResponse:
    if isinstance(body, ApiError):
        return TransportResponse(body.status_code, msgspec.msgpack.encode(body.status()), MSGPACK)
    return TransportResponse(200, msgspec.msgpack.encode(body), MSGPACK)


class World:
    """Three caches in one group; `log` has every change that their handlers were told."""

    def __init__(self, server: Server, clock: VirtualClock) -> None:
        self.server = server
        self.client = ApiClient(server, clock)
        self.clock = clock
        self.group = GroupPoll(self.client, clock, Rng(1))
        self.log: list[tuple[str, str]] = []
        self.reflectors = {r: self.follow(r) for r in (CONFIGMAPS, SECRETS)}

    def follow(self, resource: Resource) -> Reflector[PartialObject]:
        """One more member."""
        source = ListWatch(resource, PartialObject)
        reflector = Reflector(self.client, source, clock=self.clock, rng=Rng(2))

        def told(old: PartialObject | None, new: PartialObject | None) -> None:
            obj = new or old
            assert obj is not None
            sign = "-" if new is None else "+" if old is None else "="
            self.log.append((resource.plural, sign + obj.metadata.name))

        reflector.on_change(told)
        self.group.add(reflector)
        return reflector

    def polls(self, path: str = grouppoll.PATH) -> int:
        """How many requests went to a path."""
        return sum(request.path == path for request in self.server.asked)


def run(server: Server, story: Callable[[World], Awaitable[None]]) -> World:
    """Tell a story while the group runs, on virtual time."""

    async def main(clock: VirtualClock) -> World:
        world = World(server, clock)
        running = asyncio.ensure_future(world.group.run())
        await asyncio.sleep(1)
        await story(world)
        await asyncio.sleep(30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return world

    return virtualtime.run_with_clock(main)


async def some_changes(world: World) -> None:
    """Of both collections, one after the other."""
    for resource, type_, name in (
        (CONFIGMAPS, "ADDED", "b"),
        (SECRETS, "ADDED", "s"),
        (CONFIGMAPS, "MODIFIED", "b"),
        (CONFIGMAPS, "DELETED", "a"),
    ):
        world.server.happen(resource, type_, name)
        await asyncio.sleep(1)


CHANGES = [
    ("configmaps", "+a"),
    ("configmaps", "+b"),
    ("secrets", "+s"),
    ("configmaps", "=b"),
    ("configmaps", "-a"),
]


def with_an_object() -> Server:
    server = Server()
    server.happen(CONFIGMAPS, "ADDED", "a")
    return server


def test_members_are_filled_and_follow_by_one_request_at_a_time() -> None:
    world = run(with_an_object(), some_changes)
    assert world.log == CHANGES
    assert all(r.synced.is_set() and r.revision == 15 for r in world.reflectors.values())
    assert world.polls() == 1 + 4 + 1
    # and what was needed to learn that the server is kubeherd's
    assert len(world.server.asked) == world.polls() + 1


def test_a_server_without_group_polls_is_asked_for_each_alone() -> None:
    server = with_an_object()
    server.knows_groups = False
    world = run(server, some_changes)
    assert world.log == CHANGES
    assert world.polls() == 1


def test_who_joins_later_is_filled_at_once() -> None:
    async def join(world: World) -> None:
        world.server.happen(SERVICEACCOUNTS, "ADDED", "late")
        world.follow(SERVICEACCOUNTS)
        await asyncio.sleep(1)
        assert world.log == [("configmaps", "+a"), ("serviceaccounts", "+late")]
        await some_changes(world)

    world = run(with_an_object(), join)
    assert sorted(world.log) == sorted([*CHANGES, ("serviceaccounts", "+late")])


def test_a_member_that_is_refused_goes_on_alone_and_holds_up_nobody() -> None:
    server = with_an_object()
    server.forbidden = {SECRETS.path()}

    async def allowed_again(world: World) -> None:
        await some_changes(world)
        assert ("configmaps", "-a") in world.log
        server.forbidden = set()
        await asyncio.sleep(60)

    world = run(server, allowed_again)
    assert sorted(world.log) == sorted(CHANGES)
    assert world.polls(SECRETS.path()) > 1


def test_after_a_compaction_members_are_listed_again_in_the_group() -> None:
    async def compacted(world: World) -> None:
        world.server.compacted = 1000
        world.server.happen(CONFIGMAPS, "DELETED", "a")
        await asyncio.sleep(1)
        world.server.compacted = 0

    world = run(with_an_object(), compacted)
    assert world.log == [("configmaps", "+a"), ("configmaps", "-a")]
    assert world.polls(CONFIGMAPS.path()) == 0


@pytest.mark.parametrize("error", [TransportError("cut off"), NotFound("of a proxy, say")])
def test_trouble_is_waited_out_and_nothing_is_missed(error: Exception) -> None:
    async def trouble(world: World) -> None:
        world.server.failing = [error] * 3
        await some_changes(world)

    world = run(with_an_object(), trouble)
    assert sorted(world.log) == sorted(CHANGES)


def test_members_that_were_left_out_of_a_cut_answer_do_not_skip_their_events() -> None:
    server = with_an_object()
    server.cut_after = 1

    async def at_the_same_time(world: World) -> None:
        world.server.happen(SECRETS, "ADDED", "s")
        world.server.happen(CONFIGMAPS, "ADDED", "b")

    world = run(server, at_the_same_time)
    assert sorted(world.log) == [("configmaps", "+a"), ("configmaps", "+b"), ("secrets", "+s")]


def test_it_can_be_run_again_and_lists_what_is_to_be_listed_again() -> None:
    async def main(clock: VirtualClock) -> World:
        world = World(with_an_object(), clock)
        for _ in range(2):
            running = asyncio.ensure_future(world.group.run())
            await asyncio.sleep(1)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            for reflector in world.reflectors.values():
                reflector.relist()
            world.server.happen(SECRETS, "ADDED", f"s{len(world.log)}")
        return world

    world = virtualtime.run_with_clock(main)
    assert world.log == [("configmaps", "+a"), ("secrets", "+s1")]


def test_a_server_whose_watches_always_expire_is_not_asked_without_a_pause() -> None:
    async def story(world: World) -> None:
        world.server.compacted = 1000
        world.server.happen(SECRETS, "ADDED", "s")
        await asyncio.sleep(60)

    world = run(with_an_object(), story)
    assert world.polls() < 100
