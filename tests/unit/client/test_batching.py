"""Writes of the same moment go out together; each has the outcome it would have had alone."""

import asyncio
import random

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedAnswer, BatchedRequest
from kubeherd.cluster.client.batching import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    PARALLEL_SENDS,
    BatchingTransport,
    ProcessSlots,
)
from kubeherd.cluster.client.transport import MSGPACK, TransportError, TransportResponse
from kubeherd.simulation.transport import Request, StubTransport


class Server(StubTransport):
    """Answers when the gate is open; knows batches unless `batches` is False."""

    def __init__(self, *, batches: bool = True, media: str = MSGPACK) -> None:
        self.batches = batches
        self.media = media
        self.sent: list[list[str]] = []
        """The paths of each HTTP request."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def answer(self, request: Request) -> TransportResponse:
        path = request.path
        if path == batch.PATH:
            paths = [one.path for one in batch.decode_requests(request.body)]
        else:
            paths = [path]
        self.sent.append(paths)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if path != batch.PATH:
            return TransportResponse(200, path.encode(), self.media)
        if not self.batches:
            return TransportResponse(404, b"404 page not found", "text/plain")
        answers = [BatchedAnswer(_status(p), MSGPACK, {}, p.encode()) for p in paths]
        return TransportResponse(200, batch.encode(answers), MSGPACK)


def _status(path: str) -> int:
    if "lost" in path:
        return batch.NO_ANSWER
    return 409 if "bad" in path else 200


async def opened(server: Server, slots: ProcessSlots | None = None) -> BatchingTransport:
    """A transport that knows whom it talks to."""
    transport = BatchingTransport(server, slots)
    await transport.request("GET", "/hello")
    server.sent.clear()
    return transport


async def write_all(transport: BatchingTransport, count: int) -> list[TransportResponse]:
    writes = (transport.request("POST", f"/{n}", body=b"x") for n in range(count))
    return await asyncio.gather(*writes)


async def test_writes_one_after_the_other_go_alone():
    server = Server()
    transport = await opened(server)
    for n in range(3):
        assert (await transport.request("POST", f"/{n}")).body == f"/{n}".encode()
    assert server.sent == [["/0"], ["/1"], ["/2"]]


async def test_many_writes_share_a_few_requests_and_each_gets_its_answer():
    server = Server()
    transport = await opened(server)
    answers = await write_all(transport, 200)
    assert [answer.body for answer in answers] == [f"/{n}".encode() for n in range(200)]
    assert sorted(path for paths in server.sent for path in paths) == sorted(
        f"/{n}" for n in range(200)
    )
    assert len(server.sent) < 20
    assert max(map(len, server.sent)) <= MAX_BATCH


async def test_a_write_that_lost_its_answer_is_alone_in_that():
    server = Server()
    transport = await opened(server)
    paths = [*(f"/{n}" for n in range(8)), "/lost"]
    writes = (transport.request("POST", path, body=b"x") for path in paths)
    *others, lost = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(lost, TransportError)
    assert all(isinstance(one, TransportResponse) and one.status == 200 for one in others)


async def test_a_refused_write_is_refused_alone():
    transport = await opened(Server())
    paths = ["/a", "/b", "/bad", "/c", "/d", "/e", "/bad2", "/f"]
    answers = await asyncio.gather(*(transport.request("PUT", path) for path in paths))
    refused = [path for path, answer in zip(paths, answers, strict=True) if answer.status == 409]
    assert set(refused) <= {"/bad", "/bad2"}
    assert all(answers[i].body == path.encode() for i, path in enumerate(paths))


async def test_reads_never_wait_for_writes():
    server = Server()
    transport = await opened(server)
    server.gate.clear()
    writes = asyncio.create_task(write_all(transport, 20))
    await asyncio.sleep(0)
    reading = asyncio.create_task(transport.request("GET", "/read"))
    await asyncio.sleep(0.001)
    assert ["/read"] in server.sent
    server.gate.set()
    await reading
    await writes


async def test_a_server_without_batches_gets_every_write_alone():
    server = Server(batches=False)
    transport = await opened(server)
    answers = await write_all(transport, 50)
    assert [answer.body for answer in answers] == [f"/{n}".encode() for n in range(50)]
    server.sent.clear()
    await write_all(transport, 10)
    assert all(len(paths) == 1 for paths in server.sent)


async def test_a_server_that_is_not_known_gets_no_batch():
    server = Server(media="application/json")
    transport = await opened(server)
    await write_all(transport, PARALLEL_SENDS * 3)
    assert all(len(paths) == 1 for paths in server.sent)


async def test_no_answer_fails_every_write_of_the_batch_and_no_later_one():
    server = Server()
    transport = await opened(server)
    server.failure = TransportError("connection reset")
    writes = [transport.request("POST", f"/{n}") for n in range(20)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(outcome, TransportError) for outcome in outcomes)
    server.failure = None
    assert len(await write_all(transport, 20)) == 20


@pytest.mark.parametrize("victims", [range(4), range(4, 8), range(12), range(0, 12, 2)])
async def test_a_cancelled_write_takes_no_other_one_with_it_unless_it_carried_it(victims: range):
    server = Server()
    transport = await opened(server)
    server.gate.clear()
    tasks = [asyncio.create_task(transport.request("POST", f"/{n}")) for n in range(12)]
    await asyncio.sleep(0.001)
    for victim in victims:
        tasks[victim].cancel()
    server.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if number in victims:
            assert isinstance(outcome, asyncio.CancelledError)
        else:
            assert isinstance(outcome, TransportResponse | TransportError)
    assert len(await write_all(transport, 30)) == 30  # nobody holds the turn for ever


async def test_cancelled_in_the_moment_of_its_turn():
    """The turn to send was given to a task that is cancelled before it runs again."""
    server = Server()
    transport = await opened(server)
    server.gate.clear()
    tasks = [asyncio.create_task(transport.request("POST", f"/{n}")) for n in range(6)]
    await asyncio.sleep(0.001)
    late = [asyncio.create_task(transport.request("POST", f"/late{n}")) for n in range(3)]
    await asyncio.sleep(0)
    server.gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
        for task in late:
            task.cancel()
    await asyncio.gather(*tasks, *late, return_exceptions=True)
    assert len(await write_all(transport, 30)) == 30


async def test_events_do_not_hold_up_other_writes():
    """However many events wait, other writes go out at once, and events one request at a time."""
    server = Server()
    transport = await opened(server)
    server.gate.clear()
    events = "/api/v1/namespaces/default/events"
    waiting = [asyncio.create_task(transport.request("POST", events)) for _ in range(200)]
    await asyncio.sleep(0.001)
    assert len(server.sent) == 1
    status = asyncio.create_task(transport.request("PATCH", "/api/v1/nodes/n/status"))
    await asyncio.sleep(0.001)
    assert server.sent[-1] == ["/api/v1/nodes/n/status"]
    server.gate.set()
    await asyncio.gather(status, *waiting)
    assert sum(map(len, server.sent)) == 201


async def test_identities_of_a_process_share_the_turns_and_no_request():
    """However many there are, no more requests are under way than with one; each gets its turn."""
    slots, servers = ProcessSlots(), [Server() for _ in range(3)]
    transports = [await opened(server, slots) for server in servers]
    for server in servers:
        server.gate.clear()
    writing = []
    for _ in range(2):
        writing += [asyncio.create_task(write_all(transport, 50)) for transport in transports]
        await asyncio.sleep(0.001)
    assert sum(len(server.sent) for server in servers) == PARALLEL_SENDS
    for server in servers:
        server.gate.set()
    for answers in await asyncio.gather(*writing):
        assert [answer.body for answer in answers] == [f"/{n}".encode() for n in range(50)]
    assert [sum(map(len, server.sent)) for server in servers] == [100, 100, 100]
    assert slots.writes.free == PARALLEL_SENDS


@pytest.mark.parametrize("shared", [False, True])
async def test_any_mix_of_writes_and_cancellations_leaves_the_lanes_open(shared: bool):
    server, slots = Server(), ProcessSlots()
    transport = await opened(server, slots)
    if shared:
        await opened(Server(), slots)  # another identity, which writes nothing
    chance = random.Random(1)
    paths = ["/api/v1/nodes/n", "/api/v1/namespaces/a/events", "/api/v1/namespaces/a/events/e"]

    async def write() -> None:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        await transport.request(
            "PATCH", chance.choice(paths), body=b"x" * chance.randrange(100_000)
        )

    async def write_many() -> None:
        paths_ = [chance.choice(paths[:1])] * chance.randrange(1, 200)
        await transport.request_all(asked(paths_, chance.randrange(20_000)), 1.0, 4)

    for _ in range(50):
        tasks = [asyncio.create_task(write()) for _ in range(chance.randrange(1, 40))]
        tasks += [asyncio.create_task(write_many()) for _ in range(chance.randrange(3))]
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
            chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_S):
        await write_all(transport, 300)
        await asyncio.gather(*(transport.request("POST", paths[1]) for _ in range(300)))


def asked(paths: list[str], size: int = 1) -> list[BatchedRequest]:
    return [BatchedRequest("POST", path, {}, "", MSGPACK, b"x" * size) for path in paths]


async def test_writes_of_one_moment_fill_requests_and_each_gets_its_own_outcome():
    server = Server()
    transport = await opened(server)
    paths = [f"/{n}" for n in range(150)]
    paths[3], paths[100] = "/bad", "/lost"
    outcomes = await transport.request_all(asked(paths), 1.0, 4)
    assert sorted(map(len, server.sent)) == [22, MAX_BATCH, MAX_BATCH]
    for path, outcome in zip(paths, outcomes, strict=True):
        if path == "/lost":
            assert isinstance(outcome, TransportError)
        else:
            assert isinstance(outcome, TransportResponse)
            assert (outcome.status, outcome.body) == (_status(path), path.encode())


async def test_one_request_holds_no_more_bytes_than_it_may():
    server = Server()
    transport = await opened(server)
    outcomes = await transport.request_all(asked(list("/abcd"), MAX_BATCH_BYTES // 2), 1.0, 4)
    assert [isinstance(one, TransportResponse) for one in outcomes] == [True] * 5
    assert sorted(map(len, server.sent)) == [1, 2, 2]


async def test_single_writes_come_along_with_those_of_one_moment():
    server = Server()
    transport = await opened(server)
    many = asyncio.create_task(transport.request_all(asked([f"/{n}" for n in range(10)]), 1.0, 4))
    alone = [asyncio.create_task(transport.request("POST", f"/alone{n}")) for n in range(5)]
    await asyncio.gather(many, *alone)
    assert server.sent == [[*(f"/{n}" for n in range(10)), *(f"/alone{n}" for n in range(5))]]


@pytest.mark.parametrize("media", [MSGPACK, "application/json"])
async def test_a_server_without_batches_gets_those_of_one_moment_alone_too(media: str):
    server = Server(batches=False, media=media)
    transport = await opened(server)
    outcomes = await transport.request_all(asked([f"/{n}" for n in range(80)]), 1.0, 4)
    assert [one.body for one in outcomes if isinstance(one, TransportResponse)] == [
        f"/{n}".encode() for n in range(80)
    ]


async def test_no_answer_to_one_request_says_nothing_of_the_others():
    server = Server()
    transport = await opened(server)
    server.failure = TransportError("connection reset")
    outcomes = await transport.request_all(asked([f"/{n}" for n in range(70)]), 1.0, 4)
    assert [str(one) for one in outcomes] == ["connection reset"] * 70
