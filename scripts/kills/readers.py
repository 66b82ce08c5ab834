"""The clients of the kill suite that read: gets, lists and watches, all recorded."""

import asyncio
import json
from collections.abc import Iterable, Mapping

from kills.clients import (
    KINDS,
    PAUSE_S,
    RESOURCES,
    SHARED_NAMES,
    TIMEOUT_S,
    Recorder,
    state_of,
)
from kills.history import Change, Event, Listing, Read, Watch
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.transport import JSON, Transport, TransportError
from kubeherd.cluster.runtime.rng import Rng

POLL_S = 2


class Reader:
    """Gets what the writers share, and now and then a list."""

    def __init__(self, transport: Transport, recorder: Recorder, rng: Rng) -> None:
        self._transport = transport
        self._recorder = recorder
        self._rng = rng
        self.idle = asyncio.Event()
        """Set while no read is under way."""

    async def run(self) -> None:
        """For ever, while writing is wanted."""
        while True:
            self.idle.set()
            await self._recorder.writing.wait()
            self.idle.clear()
            try:
                await self._read(self._rng.choice(KINDS))
            except TransportError:
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(self._rng.uniform(0, PAUSE_S))

    async def _read(self, resource: str) -> None:
        if self._rng.random() < 0.1:
            await listing(self._transport, self._recorder, resource)
            return
        key = (resource, f"shared-{self._rng.randrange(SHARED_NAMES)}")
        path = f"{RESOURCES[resource]}/{key[1]}"
        began = self._recorder.tick()
        answer = await self._transport.request("GET", path, accept=JSON, timeout_s=TIMEOUT_S)
        state = None
        if answer.status == 200:
            state = state_of(resource, json.loads(answer.body))
        elif answer.status != 404:
            self._recorder.refused("GET", path, answer)
            return
        self._recorder.history.reads.append(Read(key, state, began, self._recorder.tick()))


async def listing(
    transport: Transport, recorder: Recorder, resource: str, query: Mapping[str, str] | None = None
) -> Listing:
    """A list of the resource, recorded. TransportError if there is no answer, or another one."""
    began = recorder.tick()
    answer = await transport.request(
        "GET", RESOURCES[resource], query=query, accept=JSON, timeout_s=TIMEOUT_S
    )
    if answer.status != 200:
        raise TransportError(f"status {answer.status}")
    tree = json.loads(answer.body)
    states = {(resource, item["metadata"]["name"]): state_of(resource, item)
              for item in tree["items"]}  # fmt: skip
    revision = int(tree["metadata"]["resourceVersion"])
    exact = query is not None and "resourceVersion" in query
    found = Listing(resource, revision, states, began, recorder.tick(), exact)
    recorder.history.listings.append(found)
    return found


class Watcher:
    """Lists once, then watches on from the last revision that it saw, across all servers."""

    def __init__(
        self,
        name: str,
        resource: str,
        transport: Transport,
        recorder: Recorder,
        *,
        polls: bool,
        stream_s: int = 600,
    ) -> None:
        self._name = name
        self._stream_s = stream_s
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
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(self._stream_s)}
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
                at = self._recorder.tick()
                self._watch.events.append(Event(Change(type_), key, state, at))
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
