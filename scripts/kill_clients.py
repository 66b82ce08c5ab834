"""The clients of the kill suite: they write, watch and list, and record what they were told.

They use the raw transport: nothing is repeated or hidden on the way. Each write puts a token of its
own into the object, so that a state tells who made it.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from kill_history import Change, Event, History, Key, Listing, Outcome, State, Watch, Write

from kubeherd.cluster.api import batch
from kubeherd.cluster.api.batch import BatchedRequest
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.http import HttpTransport
from kubeherd.cluster.client.transport import JSON, MSGPACK, TransportError, TransportResponse
from kubeherd.cluster.runtime.rng import Rng

RESOURCES = {"configmaps": "/api/v1/namespaces/default/configmaps", "nodes": "/api/v1/nodes"}
MERGE = "application/merge-patch+json"
OWN_NAMES, SHARED_NAMES = 5, 4
BATCH_SIZES = (2, 12)
LARGE_BYTES = 60_000
"""Of a large object; a batch of them stays below the server's limit."""
PAUSE_S = 0.002
POLL_S = 2
TIMEOUT_S = 20.0


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
            if status not in (404, 409, 503, 504):
                self.unexpected.append(f"{change.method} {change.path}: {status} {response}")
        self.outcomes[outcome] += 1
        self.history.writes.append(
            Write(change.key, change.token, outcome, began, self.tick(), state, uid)
        )
        return state or State(0, "", "")


def state_of(resource: str, tree: JsonObject) -> State:
    """An object as the history has it."""
    meta = tree["metadata"]
    if resource == "nodes":
        token = tree["status"]["conditions"][0]["message"]
    else:
        token = tree["data"]["token"]
    return State(int(meta["resourceVersion"]), token, meta["uid"])


@dataclass(frozen=True)
class Request:
    """One write; `token` is empty for a delete."""

    key: Key
    token: str
    method: str
    path: str
    body: JsonObject = field(default_factory=dict)
    content_type: str = JSON

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
    return Request(key, token, "PUT", _path(key), body)


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

    def __init__(self, name: str, transport: HttpTransport, recorder: Recorder, rng: Rng) -> None:
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
        key = (rng.choice(("configmaps", "configmaps", "nodes")), name)
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
            return None


async def listing(transport: HttpTransport, recorder: Recorder, resource: str) -> Listing:
    """A list of the resource, recorded. TransportError or ApiError if there is no answer."""
    began = recorder.tick()
    answer = await transport.request("GET", RESOURCES[resource], accept=JSON, timeout_s=TIMEOUT_S)
    if answer.status != 200:
        raise TransportError(f"status {answer.status}")
    tree = json.loads(answer.body)
    states = {(resource, item["metadata"]["name"]): state_of(resource, item)
              for item in tree["items"]}  # fmt: skip
    revision = int(tree["metadata"]["resourceVersion"])
    found = Listing(resource, revision, states, began, recorder.tick())
    recorder.history.listings.append(found)
    return found


class Watcher:
    """Lists once, then watches on from the last revision that it saw, across all servers."""

    def __init__(
        self, name: str, resource: str, transport: HttpTransport, recorder: Recorder, *, polls: bool
    ) -> None:
        self._name = name
        self.resource = resource
        self._transport = transport
        self._recorder = recorder
        self._once = self._poll if polls else self._stream
        self._watch = Watch(name, resource, 0, {})
        self._moved = asyncio.Event()
        self.events = 0

    async def run(self) -> None:
        """For ever: a new list only when the server says that the revision is too old."""
        while True:
            await self._recorder.serving.wait()
            try:
                if not self._watch.reached:
                    found = await listing(self._transport, self._recorder, self.resource)
                    self.begin(found)
                await self._once()
            except TransportError:
                await asyncio.sleep(PAUSE_S)
            except ApiError as error:
                self._refused(error.status_code, str(error))

    def begin(self, found: Listing) -> None:
        """Go on in a new watch of the history, from this list."""
        self._watch = Watch(self._name, self.resource, found.revision, found.states)
        self._watch.reached = found.revision
        self._recorder.history.watches.append(self._watch)

    async def until(self, revision: int) -> None:
        """Wait until this watcher has been told of everything up to `revision`."""
        while self._watch.reached < revision:
            await self._moved.wait()

    async def _poll(self) -> None:
        query = {"watch": "1", "poll": "1", "timeoutSeconds": str(POLL_S)}
        query["resourceVersion"] = str(self._watch.reached)
        path = RESOURCES[self.resource]
        answer = await self._transport.request(
            "GET", path, query=query, accept=JSON, timeout_s=TIMEOUT_S
        )
        tree = json.loads(answer.body)
        if answer.status != 200:
            self._refused(answer.status, str(tree))
            return
        self._saw(tree["events"])
        self._reach(int(tree["resourceVersion"]))

    async def _stream(self) -> None:
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "600"}
        query["resourceVersion"] = str(self._watch.reached)
        buffer = b""
        async for chunk in self._transport.stream(
            RESOURCES[self.resource], query=query, accept=JSON, timeout_s=600
        ):
            *lines, buffer = (buffer + chunk).split(b"\n")
            self._saw(map(json.loads, lines))

    def _saw(self, events: Iterable[JsonObject]) -> None:
        for event in events:
            type_, tree = event["type"], event["object"]
            if type_ == "ERROR":
                self._refused(tree["code"], tree["message"])
                return
            if type_ != "BOOKMARK":
                state = state_of(self.resource, tree)
                key = (self.resource, tree["metadata"]["name"])
                self._watch.events.append(Event(Change(type_), key, state))
                self.events += 1
            self._reach(int(tree["metadata"]["resourceVersion"]))

    def _reach(self, revision: int) -> None:
        if revision < self._watch.reached:
            self._recorder.unexpected.append(
                f"{self._name} was at {self._watch.reached} and is told of {revision}"
            )
        self._watch.reached = max(revision, self._watch.reached)
        self._moved.set()
        self._moved = asyncio.Event()

    def _refused(self, status: int, why: str) -> None:
        if status == 410 and "too new" not in why:
            self._recorder.expired += 1
            self._watch = Watch(self._name, self.resource, 0, {})
        elif status != 503:
            self._recorder.unexpected.append(f"{self._name}: {status} {why}")
