"""The writers of the kill suite, and what its clients record of what they were told.

They use the raw transport: nothing is repeated or hidden on the way. Each write puts a token of its
own into the object, so that a state tells who made it.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from kills.history import History, Key, Outcome, State, Write
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.client.transport import (
    JSON,
    MSGPACK,
    Transport,
    TransportError,
    TransportResponse,
)
from kubeherd.cluster.runtime.rng import Rng

RESOURCES = {"configmaps": "/api/v1/namespaces/default/configmaps", "nodes": "/api/v1/nodes"}
MERGE = "application/merge-patch+json"
KINDS = ("configmaps", "configmaps", "nodes")
"""How often each is written."""
OWN_NAMES, SHARED_NAMES = 5, 4
BATCH_SIZES = (2, 12)
LARGE_BYTES = 60_000
"""Of a large object; a batch of them stays below the server's limit."""
PAUSE_S = 0.002
DOWN_S = 0.03
"""The pause after no answer: who is down is not asked for nothing all the time."""
TIMEOUT_S = 60.0


class Client(Protocol):
    """Somebody who asks, until he is cancelled."""

    async def run(self) -> None: ...


async def until_over(harm: Coroutine[object, object, None], clients: Iterable[Client]) -> None:
    """Let clients ask while the server is hurt, until that is over; whatever one of them raises."""
    tasks = [asyncio.create_task(harm), *(asyncio.create_task(one.run()) for one in clients)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


class Recorder:
    """The history so far, and what no answer should have been."""

    def __init__(self) -> None:
        self.now = 0
        self.history = History({})
        self.unexpected: list[str] = []
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.expired = 0
        self.serving = asyncio.Event()
        self.writing = asyncio.Event()

    def tick(self) -> int:
        """A moment after all that were before."""
        self.now += 1
        return self.now

    def refused(self, method: str, path: str, response: TransportResponse | None) -> None:
        """An answer that is no success: it has to be one that there is a good reason for."""
        if response is not None and response.status not in (404, 409, 503, 504):
            self.unexpected.append(f"{method} {path}: {response.status} {response}")

    def answered(self, change: "Request", began: int, response: TransportResponse | None) -> State:
        """Record a write by its answer, None for no answer; returns the state if it has one."""
        status = 504 if response is None else response.status
        outcome, state, uid = Outcome.DONE, None, ""
        if status in (200, 201) and response is not None:
            tree = json.loads(response.body)
            if change.token:
                state = state_of(change.key[0], tree)
            else:
                uid = tree["details"]["uid"]
        else:
            outcome = Outcome.UNKNOWN if status == 504 else Outcome.REFUSED
            self.refused(change.method, change.path, response)
        self.outcomes[outcome] += 1
        self.history.writes.append(
            Write(
                change.key, change.token, outcome, began, self.tick(), state, uid, change.rests_on
            )
        )
        return state or State(0, "", "")


def token_of(resource: str, tree: JsonObject) -> str:
    """What the write that made an object put there."""
    if resource == "nodes":
        return str(tree["status"]["conditions"][0]["message"])
    return str(tree["data"]["token"])


def state_of(resource: str, tree: JsonObject) -> State:
    """An object as the history has it."""
    meta = tree["metadata"]
    return State(int(meta["resourceVersion"]), token_of(resource, tree), meta["uid"])


@dataclass(frozen=True)
class Request:
    """One write; `token` is empty for a delete, `rests_on` is 0 without a precondition."""

    key: Key
    token: str
    method: str
    path: str
    body: JsonObject = field(default_factory=dict)
    content_type: str = JSON
    rests_on: int = 0

    @property
    def data(self) -> bytes:
        return json.dumps(self.body).encode() if self.body else b""


def _object(key: Key, token: str, padding: str = "") -> JsonObject:
    resource, name = key
    if resource == "nodes":
        conditions = [{"type": "Token", "status": "True", "message": token}]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name},
            "status": {"conditions": conditions},
        }
    data = {"token": token, "padding": padding}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def create(key: Key, token: str) -> Request:
    """POST of a new object."""
    return Request(key, token, "POST", RESOURCES[key[0]], _object(key, token))


def update(key: Key, token: str, revision: int) -> Request:
    """PUT of a ConfigMap, of a Node's status; conditional if the revision is known."""
    body = _object(key, token)
    if revision:
        body["metadata"]["resourceVersion"] = str(revision)
    return Request(key, token, "PUT", _path(key), body, rests_on=revision)


def patch(key: Key, token: str, padding: str = "") -> Request:
    """Merge-patch of a ConfigMap, of a Node's status."""
    part = "status" if key[0] == "nodes" else "data"
    body = {part: _object(key, token, padding)[part]}
    return Request(key, token, "PATCH", _path(key), body, MERGE)


def delete(key: Key) -> Request:
    """DELETE, at once."""
    return Request(key, "", "DELETE", f"{RESOURCES[key[0]]}/{key[1]}")


def _path(key: Key) -> str:
    return f"{RESOURCES[key[0]]}/{key[1]}" + ("/status" if key[0] == "nodes" else "")


class Writer:
    """Writes to objects of its own and to some that it shares with the other writers."""

    def __init__(self, name: str, transport: Transport, recorder: Recorder, rng: Rng) -> None:
        self._name = name
        self._transport = transport
        self._recorder = recorder
        self._rng = rng
        self._count = 0
        self._revisions: dict[Key, int] = {}
        self.idle = asyncio.Event()
        """Set while no write is under way."""
        self.large = False
        """Whether to write large objects, which brings the store's next checkpoint nearer."""

    async def run(self) -> None:
        """For ever, while the server serves and writing is wanted."""
        while True:
            self.idle.set()
            await self._recorder.serving.wait()
            await self._recorder.writing.wait()
            self.idle.clear()
            if self._rng.random() < 0.1:
                await self._batch()
            else:
                await self._send(self._next())
            await asyncio.sleep(self._rng.uniform(0, PAUSE_S))

    def _next(self) -> Request:
        rng = self._rng
        if rng.random() < 0.3:
            name = f"shared-{rng.randrange(SHARED_NAMES)}"
        else:
            name = f"{self._name}-{rng.randrange(OWN_NAMES)}"
        key = (rng.choice(KINDS), name)
        self._count += 1
        token = f"{self._name}.{self._count}"
        if self.large:
            return patch(("configmaps", name), token, "x" * LARGE_BYTES)
        if key not in self._revisions:
            return create(key, token)
        match rng.choice("pppuuudc"):
            case "p":
                return patch(key, token)
            case "u":
                return update(key, token, self._revisions[key])
            case "d":
                return delete(key)
            case _:
                return create(key, token)

    async def _send(self, change: Request) -> None:
        began = self._recorder.tick()
        answer = await self._request(
            change.method, change.path, change.data, change.content_type, JSON
        )
        self._learn(change, began, answer)

    async def _batch(self) -> None:
        changes = [self._next() for _ in range(self._rng.randint(*BATCH_SIZES))]
        began = self._recorder.tick()
        body = batch.encode([
            BatchedRequest(one.method, one.path, {}, one.content_type, JSON, one.data)
            for one in changes
        ])  # fmt: skip
        answer = await self._request("POST", batch.PATH, body, MSGPACK, MSGPACK)
        if answer is None or answer.status != 200:
            for change in changes:
                self._learn(change, began, answer)
            return
        for change, one in zip(changes, batch.decode_answers(answer.body), strict=True):
            self._learn(change, began, TransportResponse(one.status, one.body))

    def _learn(self, change: Request, began: int, answer: TransportResponse | None) -> None:
        state = self._recorder.answered(change, began, answer)
        if state.revision:
            self._revisions[change.key] = state.revision
        elif answer is not None and answer.status == 409:
            self._revisions[change.key] = 0  # it is there, at a revision that is not known
        elif answer is not None and answer.status in (200, 404):
            self._revisions.pop(change.key, None)

    async def _request(
        self, method: str, path: str, body: bytes, content_type: str, accept: str
    ) -> TransportResponse | None:
        try:
            return await self._transport.request(
                method,
                path,
                body=body or None,
                content_type=content_type if body else "",
                accept=accept,
                timeout_s=TIMEOUT_S,
            )
        except TransportError:
            await asyncio.sleep(DOWN_S)
            return None
