"""What a process writes for a leader's term carries the term, and a refusal ends that term only."""

import asyncio

import orjson
import pytest

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import LeaseLost
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedAnswer
from kubeherd.cluster.client.batching import PARALLEL_SENDS, BatchingTransport
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.fence import Fence
from kubeherd.cluster.client.transport import MSGPACK, TransportResponse
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.simulation.transport import Request, StubTransport

OVER = errors.lease_lost(PODS, "p", "old")


class Server(StubTransport):
    """Takes every write but those of the term "old"; notes the term of each."""

    def __init__(self) -> None:
        self.terms: list[tuple[str, str]] = []
        self.batches = 0

    async def answer(self, request: Request) -> TransportResponse:
        await asyncio.sleep(0)
        if request.path != batch.PATH:
            return self._one(request.method, request.fence)
        self.batches += 1
        answers = [self._one(one.method, one.fence) for one in batch.decode_requests(request.body)]
        body = batch.encode([BatchedAnswer(a.status, a.content_type, {}, a.body) for a in answers])
        return TransportResponse(200, body, MSGPACK)

    def _one(self, method: str, term: str) -> TransportResponse:
        self.terms.append((method, term))
        if term == "old":
            return TransportResponse(409, orjson.dumps(OVER.status()))
        return TransportResponse(200, b"\x80", MSGPACK)


def fenced(server: Server, term: str, *, private: bool = True) -> ApiClient:
    client = ApiClient(server, LoopClock(), private_features=private)
    client.fence = Fence()
    client.fence.put_up(term)
    return client


async def test_writes_carry_the_term_and_reads_do_not() -> None:
    server = Server()
    client = fenced(server, "mine")
    await client.request("GET", "/x")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        await client.request(method, "/x")
    assert server.terms[0] == ("GET", "")
    assert {term for _, term in server.terms[1:]} == {"mine"}


async def test_without_private_features_nothing_private_is_sent() -> None:
    server = Server()
    await fenced(server, "mine", private=False).send("POST", "/x")
    assert server.terms == [("POST", "")]


async def test_a_refusal_ends_the_term_in_force() -> None:
    client = fenced(Server(), "old")
    assert client.fence is not None
    with pytest.raises(LeaseLost):
        await client.request("POST", "/x")
    assert client.fence.refused.is_set()
    client.fence.put_up("new")
    assert not client.fence.refused.is_set()


async def test_a_late_refusal_of_an_old_term_does_not_end_the_new_one() -> None:
    client = fenced(Server(), "old")
    assert client.fence is not None
    late = asyncio.ensure_future(client.request("POST", "/x"))
    await asyncio.sleep(0)
    client.fence.put_up("new")
    with pytest.raises(LeaseLost):
        await late
    assert not client.fence.refused.is_set()


async def test_each_write_of_a_batch_has_the_term_for_which_it_was_asked() -> None:
    """Whenever the batch is sent: also after that term."""
    server = Server()
    client = ApiClient(BatchingTransport(server), LoopClock())
    await client.request("GET", "/x")
    client.fence = Fence()
    terms = ["mine", "old", "later"] * PARALLEL_SENDS

    async def write(term: str) -> bool:
        assert client.fence is not None
        client.fence.put_up(term)
        try:
            await client.request("POST", "/x")
        except LeaseLost:
            return False
        return True

    done = await asyncio.gather(*map(write, terms))
    assert done == [term != "old" for term in terms]
    assert server.batches, "this test is about batches"
    assert sorted(term for method, term in server.terms if method == "POST") == sorted(terms)
    batches = server.batches
    assert await write("alone")
    assert (server.terms[-1], server.batches) == (("POST", "alone"), batches)
