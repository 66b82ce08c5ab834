"""Writes of pods are gathered: one request for a moment; they are asked for when they are sent."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from kubeherd.agents.kubelet.podworker import PodWorker
from kubeherd.agents.kubelet.podwrites import MAX_GATHERINGS, PodWrites
from kubeherd.agents.pods.facts import PodFacts
from kubeherd.cluster.api.objects import ObjectMeta, Pod
from kubeherd.cluster.client.batching import MAX_BATCH
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.sending import Outcome, Write
from kubeherd.cluster.client.transport import TransportResponse


class Sent:
    """A client that notes what it is given, and answers when it may."""

    def __init__(self) -> None:
        self.requests: list[Sequence[Write]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def send_all(self, writes: Sequence[Write], *, parallel: int) -> list[Outcome]:
        assert parallel
        self.requests.append(writes)
        await self.may_answer.wait()
        return [TransportResponse(200, write.path.encode(), "") for write in writes]


class Node:
    """A writer of as many pods as it is given."""

    def __init__(self, client: Sent) -> None:
        self.client = cast("ApiClient", client)
        self.answers: list[bytes] = []
        self.nothing = False

    def next_write(self, worker: PodWorker) -> Write | None:
        return None if self.nothing else Write("PATCH", worker.pod.metadata.name)

    def written(self, worker: PodWorker, outcome: Outcome) -> None:
        assert isinstance(outcome, TransportResponse)
        assert outcome.body == worker.pod.metadata.name.encode()
        self.answers.append(outcome.body)


def with_writes(test: Callable[[PodWrites, Sent], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            await test(PodWrites(tasks), Sent())

    asyncio.run(main())


def pods(count: int) -> list[PodWorker]:
    named = (Pod(metadata=ObjectMeta(name=f"web-{number}")) for number in range(count))
    return [PodWorker(pod, PodFacts(uid="")) for pod in named]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a list has no event for it
        await asyncio.sleep(0)


def test_what_is_put_in_one_step_goes_out_in_as_few_requests_as_hold_it() -> None:
    async def scenario(writes: PodWrites, client: Sent) -> None:
        nodes = [Node(client), Node(client)]
        for number, worker in enumerate(pods(MAX_BATCH + 2)):
            writes.put(nodes[number % 2], worker)
        await until(lambda: sum(len(node.answers) for node in nodes) == MAX_BATCH + 2)
        assert [len(request) for request in client.requests] == [MAX_BATCH, 2]

    with_writes(scenario)


def test_a_few_requests_are_under_way_and_the_rest_gathers() -> None:
    async def scenario(writes: PodWrites, client: Sent) -> None:
        client.may_answer.clear()
        node = Node(client)
        for worker in pods(MAX_GATHERINGS):
            writes.put(node, worker)
            await until(lambda: sum(map(len, client.requests)) == len(client.requests) > 0)
            await asyncio.sleep(0)
        for worker in pods(7):
            writes.put(node, worker)
        await asyncio.sleep(0)
        assert [len(request) for request in client.requests] == [1] * MAX_GATHERINGS
        client.may_answer.set()
        await until(lambda: len(node.answers) == MAX_GATHERINGS + 7)
        assert len(client.requests[-1]) == 7

    with_writes(scenario)


def test_who_has_nothing_to_write_any_more_writes_nothing() -> None:
    async def scenario(writes: PodWrites, client: Sent) -> None:
        node, other = Node(client), Node(client)
        for each in (node, other):
            writes.put(each, pods(1)[0])
        node.nothing = True
        await until(lambda: len(other.answers) == 1)
        assert [len(request) for request in client.requests] == [1]

    with_writes(scenario)


def test_a_node_that_is_hurt_meanwhile_writes_with_what_it_has_now() -> None:
    async def scenario(writes: PodWrites, client: Sent) -> None:
        node, hurt = Node(client), Sent()
        hurt.may_answer.clear()
        writes.put(node, pods(1)[0])
        node.client = cast("ApiClient", hurt)
        await until(lambda: bool(hurt.requests))
        other = Node(client)
        writes.put(other, pods(1)[0])
        await until(lambda: len(other.answers) == 1)
        assert not node.answers
        assert [len(request) for request in (*client.requests, *hurt.requests) if request] == [1, 1]
        hurt.may_answer.set()
        await until(lambda: len(node.answers) == 1)

    with_writes(scenario)
