"""One resource followed through a transport whose answers the test writes."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.following.follower import Follower, Refused
from kubeherd.history import Write
from kubeherd.simulation import virtualtime
from kubeherd.simulation.transport import Request, StubTransport


def pod(name: str, revision: int, **metadata: object) -> JsonObject:
    told = {"name": name, "namespace": "x", "uid": name, "resourceVersion": str(revision)}
    return {"metadata": {**told, **metadata}}


def listed(revision: int, *pods: JsonObject) -> JsonObject:
    return {"metadata": {"resourceVersion": str(revision)}, "items": list(pods)}


def event(type_: str, tree: JsonObject) -> JsonObject:
    return {"type": type_, "object": tree}


def bookmark(revision: int) -> JsonObject:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(revision)}})


EXPIRED = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


class Script(StubTransport):
    """Lists and watches, each answered with the next of its kind; then a watch never ends."""

    def __init__(self, lists: list[JsonObject], watches: list[list[JsonObject] | Exception]):
        self.lists: Iterator[JsonObject] = iter(lists)
        self.watches = iter(watches)
        self.asked: list[str] = []
        self.done = asyncio.Event()

    async def answer(self, request: Request) -> TransportResponse:
        tree = next(self.lists)
        return TransportResponse(int(tree.get("code", 200)), orjson.dumps(tree))

    async def answer_stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        assert request.query["allowWatchBookmarks"] == "true"
        self.asked.append(request.query["resourceVersion"])
        events = next(self.watches, None)
        if events is None:
            self.done.set()
            await asyncio.Event().wait()
        elif isinstance(events, Exception):
            raise events
        for one in events or ():
            yield orjson.dumps(one) + b"\n"


def follow(
    lists: list[JsonObject], watches: list[list[JsonObject] | Exception], **options: Any
) -> tuple[list[str], Script, Follower, list[int]]:
    """What is told, as ``verb name revision``; ``(...)`` if it is restored."""
    told: list[str] = []
    passed: list[int] = []

    def tell(write: Write) -> None:
        line = f"{write.verb} {write.name} {write.revision}"
        told.append(f"({line})" if write.restored else line)
        assert write.object["kind"] == "Pod"
        assert "managedFields" not in write.object["metadata"]

    async def scenario(clock: virtualtime.VirtualClock) -> tuple[Script, Follower]:
        script = Script(lists, watches)
        client = ApiClient(script, clock, private_features=False)
        follower = Follower(client, PODS, clock, Rng(1), tell=tell, passed=passed.append, **options)
        await follower.list()
        task = asyncio.create_task(follower.run())
        async with asyncio.timeout(60):
            await script.done.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return script, follower

    script, follower = virtualtime.run_with_clock(scenario)
    return told, script, follower, passed


def test_what_is_there_is_restored_and_what_happens_is_told():
    told, script, _, passed = follow(
        [listed(10, pod("a", 5, managedFields=[{}]))],
        [
            [event("ADDED", pod("b", 11)), event("MODIFIED", pod("a", 12)), bookmark(15)],
            [event("DELETED", pod("b", 17))],
        ],
    )
    assert told == ["(create a 5)", "create b 11", "update a 12", "delete b 17"]
    assert script.asked == ["10", "15", "17"]
    assert passed == [10, 11, 12, 15, 17]


@pytest.mark.parametrize("refusal", [[EXPIRED], TransportError("gone")], ids=["410", "lost"])
def test_a_gap_is_filled_with_what_is_restored(refusal: list[JsonObject] | Exception):
    told, script, follower, _ = follow(
        [listed(10, pod("a", 5), pod("b", 6)), listed(30, pod("b", 25), pod("c", 26))],
        [refusal, []],
    )
    if isinstance(refusal, Exception):  # nothing is lost with a connection
        assert (told[2:], script.asked, follower.gaps) == ([], ["10", "10", "10"], 0)
        assert not follower.began_anew
    else:
        assert told[2:] == ["(delete a 30)", "(update b 25)", "(create c 26)"]
        assert (script.asked, follower.gaps) == (["10", "30", "30"], 1)
    assert not follower.failing


def test_a_server_that_has_lost_its_objects_is_noticed():
    told, script, follower, _ = follow(
        [listed(10, pod("a", 5)), listed(3), listed(3, pod("a", 2))], [TransportError("gone"), []]
    )
    assert told == ["(create a 5)", "(update a 2)"]
    assert (script.asked, follower.began_anew) == (["10", "3", "3"], True)


def test_of_news_only_what_happens_is_told():
    told, script, _, _ = follow(
        [listed(10, pod("a", 5)), listed(30, pod("a", 5), pod("b", 25))],
        [[event("ADDED", pod("c", 11)), EXPIRED], [event("ADDED", pod("d", 31))]],
        only_news=True,
    )
    assert told == ["create c 11", "create d 31"]
    assert script.asked == ["10", "30", "31"]


def test_of_an_object_as_much_is_told_as_is_wanted():
    def shape(write: Write) -> Write:
        return replace(write, name=write.name.upper())

    told, *_ = follow([listed(10, pod("a", 5))], [[event("DELETED", pod("a", 11))]], shape=shape)
    assert told == ["(create A 5)", "delete A 11"]


def test_what_may_not_be_seen_is_said():
    refusal = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "you may not"}
    with pytest.raises(Refused, match="you may not"):
        follow([refusal], [])
