"""The reflector: its cache follows the server through everything that can happen to a watch."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
import structlog

from kubeherd.cluster.api.errors import Expired, ServiceUnavailable
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.api.objects import Node
from kubeherd.cluster.api.private.longpoll import POLLED
from kubeherd.cluster.apiserver.read.polling import POLL_LIMIT
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.listwatch import FULL_POLL_EVENTS, NO_PAUSE, ListWatch, PollPause
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.client.transport import JSON, MSGPACK, TransportError, TransportResponse
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.transport import Request, StubTransport
from kubeherd.simulation.virtualtime import VirtualClock

Tree = dict[str, Any]
Change = tuple[str | None, str | None]


def node(name: str, revision: int, **labels: str) -> Tree:
    meta = {"name": name, "uid": name, "resourceVersion": str(revision), "labels": labels}
    return {"metadata": meta}


def listed(revision: int, *items: Tree) -> Tree:
    return {"metadata": {"resourceVersion": str(revision)}, "items": list(items)}


def polled(revision: int, *events: tuple[str, Tree]) -> Tree:
    shown = [{"type": type_, "object": obj} for type_, obj in events]
    return {"resourceVersion": str(revision), "events": shown}


class Script(StubTransport):
    """A transport that answers from two lists: of lists, and of watches; then hangs."""

    def __init__(self, lists: list[Any], watches: list[Any], *, msgpack: bool = True) -> None:
        self.lists = lists
        self.watches = watches
        self.msgpack = msgpack
        self.queries: list[dict[str, str]] = []

    async def answer(self, request: Request) -> TransportResponse:
        self.queries.append(request.query)
        answer = await self._next(self.watches if "watch" in request.query else self.lists)
        if self.msgpack and MSGPACK in request.accept:
            return TransportResponse(200, msgspec.msgpack.encode(answer), MSGPACK)
        told = POLLED if self.msgpack and "poll" in request.query else JSON
        return TransportResponse(200, msgspec.json.encode(answer), told)

    async def answer_stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        self.queries.append(request.query)
        for chunk in await self._next(self.watches):
            await asyncio.sleep(2)
            yield chunk

    async def _next(self, answers: list[Any]) -> Any:
        await asyncio.sleep(0.001)
        if not answers:
            await asyncio.sleep(1e6)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def follow(
    script: Script,
    then: Callable[[Reflector[Node]], Awaitable[None]] | None = None,
    nodes: Sequence[str] = (),
    pause: PollPause = NO_PAUSE,
) -> tuple[dict[str, dict[str, str]], list[Change], Reflector[Node]]:
    """Run a reflector on virtual time: (labels by name, changes, reflector)."""

    async def main(
        clock: VirtualClock,
    ) -> tuple[dict[str, dict[str, str]], list[Change], Reflector[Node]]:
        client = ApiClient(script, clock)
        reflector = Reflector(
            client,
            ListWatch(NODES, Node, nodes=frozenset(nodes)),
            clock=clock,
            rng=Rng(1),
            pause=pause,
        )
        changes: list[Change] = []
        reflector.on_change(lambda old, new: changes.append((shown(old), shown(new))))
        task = asyncio.ensure_future(reflector.run())
        if then is not None:
            await then(reflector)
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        labels = {obj.metadata.name: obj.metadata.labels for obj in reflector.cache.values()}
        return labels, changes, reflector

    return virtualtime.run_with_clock(main)


def shown(obj: Node | None) -> str | None:
    return None if obj is None else f"{obj.metadata.name}@{obj.metadata.resource_version}"


def test_a_list_and_then_changes_by_long_poll() -> None:
    script = Script(
        [listed(5, node("a", 3), node("b", 5))],
        [
            polled(7, ("MODIFIED", node("a", 6, x="1")), ("ADDED", node("c", 7))),
            polled(9, ("DELETED", node("b", 8))),
        ],
    )
    labels, changes, reflector = follow(script)
    assert labels == {"a": {"x": "1"}, "c": {}}
    assert changes == [
        (None, "a@3"),
        (None, "b@5"),
        ("a@3", "a@6"),
        (None, "c@7"),
        ("b@5", None),
    ]
    assert [query.get("resourceVersion") for query in script.queries] == [None, "5", "7", "9"]
    assert script.queries[1]["poll"] == "1"
    assert 25 <= int(script.queries[1]["timeoutSeconds"]) <= 35
    assert reflector.synced.is_set()


def test_an_answer_is_full_with_as_many_events_as_the_server_gives() -> None:
    assert FULL_POLL_EVENTS == POLL_LIMIT


@pytest.mark.parametrize("from_events", [1, 8])
@pytest.mark.parametrize("events", [0, 1, 7, 8, FULL_POLL_EVENTS - 1, FULL_POLL_EVENTS])
def test_who_lets_changes_gather_waits_unless_there_are_few_or_more(
    events: int, from_events: int
) -> None:
    script = Script([listed(5, node("a", 5))], [polled(2000, *changed(events))])
    asked: list[int] = []

    async def look(_followed: Reflector[Node]) -> None:
        for _ in range(2):
            await asyncio.sleep(1.0)
            asked.append(len(script.queries))

    follow(script, look, pause=PollPause(1.5, from_events))
    waits = from_events <= events < FULL_POLL_EVENTS
    assert asked == ([2, 3] if waits else [3, 3])


@pytest.mark.parametrize("before", [True, False])
def test_nothing_gathers_while_somebody_waits_for_a_revision(before: bool) -> None:
    script = Script(
        [listed(5, node("a", 5))], [polled(9, *changed(2)), polled(10, ("ADDED", node("b", 10)))]
    )
    seen_s: list[float] = []

    async def look(reflector: Reflector[Node]) -> None:
        await reflector.synced.wait() if before else await reflector.seen(9, 1.0)
        await reflector.seen(10, 1.0)
        seen_s.append(asyncio.get_running_loop().time())

    follow(script, look, pause=PollPause(100.0))
    assert seen_s[0] < 1.0


def changed(count: int) -> list[tuple[str, Tree]]:
    return [("MODIFIED", node("a", 6 + number)) for number in range(count)]


def test_of_other_nodes_nothing_is_asked_for_and_nothing_is_kept() -> None:
    script = Script(
        [listed(5, node("n-1", 3), node("n-7", 5))],
        [polled(7, ("ADDED", node("n-2", 6)), ("MODIFIED", node("n-7", 7)))],
    )
    labels, changes, _ = follow(script, nodes=("n-1", "n-2"))
    assert set(labels) == {"n-1", "n-2"}
    assert changes == [(None, "n-1@3"), (None, "n-2@6")]
    assert [query["nodes"] for query in script.queries[:2]] == ["n-:1-2"] * 2


def test_after_410_it_lists_again_and_tells_the_difference() -> None:
    script = Script(
        [
            listed(5, node("a", 3), node("b", 5), node("c", 5)),
            listed(20, node("a", 3), node("c", 9)),
        ],
        [Expired("too old"), polled(21, ("MODIFIED", node("a", 21)))],
    )
    _, changes, reflector = follow(script)
    assert changes[3:] == [("b@5", None), ("c@5", "c@9"), ("a@3", "a@21")]
    assert reflector.revision == 21


def test_a_server_that_lost_its_past_is_listed_again() -> None:
    script = Script([listed(500, node("a", 3)), listed(2, node("z", 2))], [polled(1)])
    labels, _, reflector = follow(script)
    assert labels == {"z": {}}
    assert reflector.revision == 2


def test_lost_connections_resume_where_they_were_and_are_reported_once() -> None:
    lost = [TransportError("refused") for _ in range(5)]
    script = Script([*lost[:2], listed(5)], [*lost, polled(6, ("ADDED", node("a", 6)))])
    with structlog.testing.capture_logs() as logs:
        labels, _, _ = follow(script)
    assert labels == {"a": {}}
    assert [entry["event"] for entry in logs] == ["server_unreachable", "server_reachable"] * 2
    assert [query.get("resourceVersion") for query in script.queries[3:9]] == ["5"] * 6


def test_an_object_that_does_not_decode_is_skipped_with_one_line() -> None:
    bad = {"metadata": {"name": "bad"}, "spec": {"taints": "none"}}
    script = Script([listed(5)], [polled(7, ("ADDED", bad), ("ADDED", node("a", 7)))])
    with structlog.testing.capture_logs() as logs:
        labels, _, reflector = follow(script)
    assert labels == {"a": {}}
    assert reflector.revision == 7
    assert [entry["name"] for entry in logs if entry["event"] == "object_undecodable"] == ["bad"]


@pytest.mark.parametrize("msgpack", [True, False])
def test_of_what_is_gone_nothing_but_its_name_is_decoded(msgpack: bool) -> None:
    odd = {"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"taints": "none"}}
    answers = [polled(7, ("DELETED", odd))] if msgpack else [[line("DELETED", odd)]]
    with structlog.testing.capture_logs() as logs:
        labels, changes, reflector = follow(
            Script([listed(5, node("a", 5))], answers, msgpack=msgpack)
        )
    assert labels == {}
    assert changes == [(None, "a@5"), ("a@5", None)]
    assert reflector.revision == 7
    assert not [entry for entry in logs if entry["event"] == "object_undecodable"]


def line(type_: str, obj: Tree) -> bytes:
    return msgspec.json.encode({"type": type_, "object": obj}) + b"\n"


def test_a_plain_server_is_followed_by_stream_with_bookmarks() -> None:
    added = line("ADDED", node("a", 6))
    script = Script(
        [listed(5)],
        [
            [added[:10], added[10:] + line("MODIFIED", node("a", 8, x="1"))],
            [line("BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": "30"}})],
            [line("DELETED", node("a", 31))],
        ],
        msgpack=False,
    )
    labels, changes, reflector = follow(script)
    assert labels == {}
    assert changes == [(None, "a@6"), ("a@6", "a@8"), ("a@8", None)]
    assert [query.get("resourceVersion") for query in script.queries[1:4]] == ["5", "8", "30"]
    assert script.queries[1]["allowWatchBookmarks"] == "true"
    assert "poll" not in script.queries[1]
    assert reflector.revision == 31


def test_a_server_that_turns_out_to_know_no_polls_is_followed_by_stream() -> None:
    """The one that listed was kubeherd's; behind the same address there is another one now."""

    class Replaced(Script):
        async def answer(self, request: Request) -> TransportResponse:
            if "poll" in request.query:
                self.queries.append(request.query)
                return TransportResponse(200, line("ADDED", node("never told", 6)), JSON)
            return await super().answer(request)

    script = Replaced([listed(5)], [[line("ADDED", node("a", 7))]])
    _, changes, reflector = follow(script)
    assert changes == [(None, "a@7")]
    assert [query.get("poll") for query in script.queries[:3]] == [None, "1", None]
    assert reflector.revision == 7


def test_a_stream_that_says_expired_leads_to_a_new_list() -> None:
    error = line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"})
    script = Script([listed(5, node("a", 5)), listed(50)], [[error]], msgpack=False)
    labels, changes, _ = follow(script)
    assert labels == {}
    assert changes == [(None, "a@5"), ("a@5", None)]


def test_seen_waits_for_a_revision_and_gives_up_in_time() -> None:
    async def wait(reflector: Reflector[Node]) -> None:
        await reflector.seen(6, 10)
        assert reflector.cache.get("", "a") is not None
        with pytest.raises(TimeoutError):
            await reflector.seen(99, 10)

    follow(Script([listed(5)], [polled(6, ("ADDED", node("a", 6)))]), wait)


def test_an_index_follows_the_objects() -> None:
    async def index(reflector: Reflector[Node]) -> None:
        reflector.cache.add_index("x", lambda obj: obj.metadata.labels.get("x", ""))

    script = Script(
        [listed(5, node("a", 3, x="1"), node("b", 5, x="1"))],
        [polled(7, ("MODIFIED", node("a", 6, x="2")), ("DELETED", node("b", 7)))],
    )
    _, _, reflector = follow(script, index)
    assert [obj.metadata.name for obj in reflector.cache.by_index("x", "2")] == ["a"]
    assert reflector.cache.by_index("x", "1") == []
    with pytest.raises(KeyError):
        reflector.cache.by_index("y", "")


def test_refused_lists_are_reported_once() -> None:
    script = Script([ServiceUnavailable("disk full")] * 3 + [listed(5, node("a", 3))], [polled(5)])
    with structlog.testing.capture_logs() as logs:
        labels, _, _ = follow(script)
    assert labels == {"a": {}}
    assert [entry["event"] for entry in logs] == ["watch_failing", "watch_recovered"]
