"""Writes of one moment against the same writes one by one: whatever the server answers, the same
outcomes, and nothing is carried out twice."""

import asyncio
from collections import defaultdict
from datetime import UTC, datetime

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedAnswer
from kubeherd.cluster.client.batching import BatchingTransport
from kubeherd.cluster.client.sending import Outcome, Sender, Write
from kubeherd.cluster.client.transport import JSON, MSGPACK, TransportError, TransportResponse
from kubeherd.simulation import virtualtime
from kubeherd.simulation.transport import Request, StubTransport
from kubeherd.simulation.virtualtime import VirtualClock

ANSWERS = ["taken", "exists", "wait", "overloaded", "broken", "unfit", "lost"]
LIVES = st.lists(st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3), max_size=80)
"""Of each write: what is answered to its tries, the last one to all that follow."""


def _answer(word: str) -> TransportResponse:
    if word == "taken":
        return TransportResponse(201, b"\x80", MSGPACK)
    code = {"exists": 409, "wait": 429, "overloaded": 503, "broken": 500, "unfit": 415}[word]
    reason = "UnsupportedMediaType" if word == "unfit" else ""
    body = orjson.dumps({"kind": "Status", "code": code, "reason": reason, "message": word})
    again = {"retry-after": "1"} if word in ("wait", "overloaded") else {}
    return TransportResponse(code, body, JSON, again)


class Server(StubTransport):
    """Answers each write as its life says."""

    def __init__(self, lives: list[list[str]], *, batches: bool) -> None:
        self.lives = lives
        self.batches = batches
        self.tries: defaultdict[str, list[str]] = defaultdict(list)

    async def answer(self, request: Request) -> TransportResponse:
        await asyncio.sleep(0.001)
        if request.path != batch.PATH:
            return self._one(request.path)
        if not self.batches:
            return TransportResponse(404, b"", "text/plain")
        answers = []
        for one in batch.decode_requests(request.body):
            try:
                said = self._one(one.path)
                answers.append(
                    BatchedAnswer(said.status, said.content_type, dict(said.headers), said.body)
                )
            except TransportError:
                answers.append(BatchedAnswer(batch.NO_ANSWER, "", {}, b""))
        return TransportResponse(200, batch.encode(answers), MSGPACK)

    def _one(self, path: str) -> TransportResponse:
        if path == "/hello":
            return _answer("taken")
        life, tries = self.lives[int(path[1:])], self.tries[path]
        word = life[min(len(tries), len(life) - 1)]
        tries.append(word)
        if word == "lost":
            raise TransportError("lost")
        return _answer(word)


def _told(outcome: Outcome | BaseException) -> str:
    if isinstance(outcome, TransportResponse):
        return f"{outcome.status}"
    assert isinstance(outcome, ApiError | TransportError)
    return type(outcome).__name__


def _run(
    lives: list[list[str]], *, together: bool, batches: bool, private: bool
) -> tuple[list[str], dict[str, list[str]]]:
    server = Server(lives, batches=batches)

    async def main() -> list[str]:
        transport = BatchingTransport(server) if private else server
        clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
        client = Sender(transport, clock, private_features=private)
        await client.send("GET", "/hello")
        writes = [Write("POST", f"/{n}", b"\x80", MSGPACK) for n in range(len(lives))]
        if together:
            return list(map(_told, await client.send_all(writes, parallel=4)))
        outcomes = [
            await asyncio.gather(
                client.send(one.method, one.path, body=one.body, content_type=one.content_type),
                return_exceptions=True,
            )
            for one in writes
        ]
        return [_told(outcome) for (outcome,) in outcomes]

    return virtualtime.run(main()), dict(server.tries)


@given(lives=LIVES, batches=st.booleans(), private=st.booleans())
@settings(deadline=None)
def test_writes_of_one_moment_have_the_outcomes_that_they_have_alone(
    lives: list[list[str]], batches: bool, private: bool
) -> None:
    alone = _run(lives, together=False, batches=batches, private=private)
    together = _run(lives, together=True, batches=batches, private=private)
    assert together == alone
