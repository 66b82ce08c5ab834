"""The clients of `check_watches.py`: writers, and watchers of every kind, who record what they are
told. They use the raw transport: nothing is repeated or hidden on the way."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubeherd.checks.watchhistory import Change, Event, History, Listing, Selection, Start, Watch
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.client.http.transport import HttpTransport
from kubeherd.cluster.client.transport import JSON, TransportError, TransportResponse
from kubeherd.cluster.runtime.rng import Rng
from watches.decoding import PROTOBUF, Frames, Lines, Refused, event, shown

NAMESPACES = ("x", "x-y", "y")
RESOURCES = ("configmaps", "pods")
NAMES = 6
COLOURS = ("red", "green", "blue")
NODES = ("n1", "n2")
EVERYTHING = Selection()
MERGE = "application/merge-patch+json"
PAUSE_S = 0.003
SLOW_S = 0.15
TIMEOUT_S = 60.0
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def path(resource: str, namespace: str = "", name: str = "") -> str:
    """Of an object, or of a collection."""
    middle = f"/namespaces/{namespace}" if namespace else ""
    return f"/api/v1{middle}/{resource}" + (f"/{name}" if name else "")


class Recorder:
    """The history so far, and what no answer should have been."""

    def __init__(self, history_events: int) -> None:
        self.window = history_events - history_events // 16 - 1
        self.serving = asyncio.Event()
        self.writing = asyncio.Event()
        self.unexpected: list[str] = []
        self.seen: Counter[str] = Counter()
        self.history = History({}, self.window)
        self.newest = 0
        """The newest revision of an acknowledged write."""
        self.done = 0
        self._more = asyncio.Event()

    async def writes(self, number: int) -> None:
        """Wait until so many writes more have been acknowledged, or nobody writes any more: loads,
        not seconds, make a run the same on a slow machine."""
        wanted = self.done + number
        while self.done < wanted and self.writing.is_set():
            self._more.clear()
            await self._more.wait()

    def rest(self) -> None:
        """No more writes."""
        self.writing.clear()
        self._more.set()

    def wrote(self, resource: str, answer: TransportResponse | None) -> None:
        """Record the answer to a write, None for none."""
        status = answer.status if answer is not None else 0
        self.seen[f"writes answered {status}" if status else "writes without an answer"] += 1
        if status in (200, 201) and answer is not None:
            self.done += 1
            self._more.set()
            tree = json.loads(answer.body)
            if tree["kind"] != "Status" and "deletionTimestamp" not in tree["metadata"]:
                one = shown(tree)
                self.history.written.append((resource, one))
                self.newest = max(self.newest, one.revision)
        elif status not in (0, 404, 409, 503, 504):
            self.unexpected.append(f"a write to {resource} was answered {status}")


def made(resource: str, namespace: str, name: str, rng: Rng) -> dict[str, Any]:
    """A new object."""
    meta = {"name": name, "namespace": namespace, "labels": {"colour": rng.choice(COLOURS)}}
    if resource == "configmaps":
        return {"metadata": meta, "data": {"token": rng.uuid4()}}
    spec = {"nodeName": rng.choice(NODES), "containers": [{"name": "c", "image": "i"}]}
    return {"metadata": meta, "spec": {**spec, "automountServiceAccountToken": False}}


class Writer:
    """Creates, changes and deletes objects that it shares with the other writers."""

    def __init__(self, transport: HttpTransport, recorder: Recorder, rng: Rng) -> None:
        self._transport = transport
        self._recorder = recorder
        self._rng = rng
        self.idle = asyncio.Event()
        """Set while no write is under way."""

    async def run(self) -> None:
        """For ever, while the server serves and writing is wanted."""
        while True:
            self.idle.set()
            await self._recorder.serving.wait()
            await self._recorder.writing.wait()
            self.idle.clear()
            await self._write()
            await asyncio.sleep(self._rng.uniform(0, PAUSE_S))

    async def _write(self) -> None:
        rng = self._rng
        resource, namespace = rng.choice(RESOURCES), rng.choice(NAMESPACES)
        name = f"o{rng.randrange(NAMES)}"
        where = path(resource, namespace, name)
        match rng.choice("cccpppppppd"):
            case "c":
                body = made(resource, namespace, name, rng)
                await self.send(resource, "POST", path(resource, namespace), body)
            case "d":
                grace = {"gracePeriodSeconds": rng.choice((0, 0, 5))}
                await self.send(resource, "DELETE", where, grace)
            case _:
                padding = "x" * rng.choice((1, 1, 1, 4000))
                annotations = {"token": rng.uuid4(), "padding": padding}
                labels = {"colour": rng.choice(COLOURS)}
                body = {"metadata": {"labels": labels, "annotations": annotations}}
                await self.send(resource, "PATCH", where, body)

    async def send(self, resource: str, method: str, where: str, body: Mapping[str, Any]) -> int:
        """One write, recorded; its status, 0 for no answer."""
        try:
            answer = await self._transport.request(
                method,
                where,
                body=json.dumps(body).encode(),
                content_type=MERGE if method == "PATCH" else JSON,
                accept=JSON,
                timeout_s=TIMEOUT_S,
            )
        except TransportError:
            self._recorder.wrote(resource, None)
            return 0
        self._recorder.wrote(resource, answer)
        return answer.status


@dataclass(frozen=True)
class Plan:
    """What kind of watcher it is."""

    resource: str
    wanted: Selection = EVERYTHING
    start: Start = Start.LIST
    accept: str = JSON
    bookmarks: bool = False
    polls: bool = False
    slow: bool = False
    away: int = 0
    """How many writes it lets pass before it resumes."""
    lasts_s: int = 600
    """Of each request, in the server's nominal seconds."""

    @property
    def query(self) -> dict[str, str]:
        """The selectors."""
        found = {}
        if self.wanted.labels:
            found["labelSelector"] = ",".join(
                f"{key} in ({','.join(sorted(values))})"
                for key, values in self.wanted.labels.items()
            )
        fields = dict(self.wanted.fields)
        if self.wanted.name:
            fields["metadata.name"] = self.wanted.name
        if fields:
            found["fieldSelector"] = ",".join(f"{key}={value}" for key, value in fields.items())
        return found


def plans(number: int, rng: Rng) -> list[Plan]:
    """So many watchers. The first ones are of whole collections, so that all changes are known;
    every selection takes the object o0 of its namespace while that is red and on n1."""
    found = [Plan(resource, bookmarks=True) for resource in RESOURCES]
    found += [Plan(resource, polls=True) for resource in RESOURCES]
    red = {"colour": frozenset({"red"})}
    selections = (
        Selection(), Selection("x"), Selection("x-y"), Selection("", "o0"), Selection("y", "o0"),
        Selection(labels=red), Selection("y", labels={"colour": frozenset({"red", "blue"})}),
        Selection(fields={"spec.nodeName": "n1"}), Selection("x", "o0", red),
        Selection("x", fields={"spec.nodeName": "n1"}, labels=red),
    )  # fmt: skip
    starts = (Start.LIST, Start.LIST, Start.MARKED_STATE, Start.MARKED_STATE, Start.STATE)
    while len(found) < number:
        wanted = rng.choice(selections)
        start = rng.choice(starts)
        polls = start is Start.LIST and rng.random() < 0.25
        found.append(
            Plan(
                "pods" if wanted.fields else rng.choice(RESOURCES),
                wanted,
                start,
                JSON if polls else rng.choice((JSON, JSON, PROTOBUF, PROTOBUF, _TABLE, _PARTIAL)),
                bookmarks=start is Start.MARKED_STATE or rng.random() < 0.5,
                polls=polls,
                slow=rng.random() < 0.2,
                away=0 if rng.random() < 0.8 else rng.randint(100, 400),
                lasts_s=600 if start is Start.STATE else rng.choice((4, 8, 600, 600)),
            )
        )
    return found


@dataclass
class Watcher:
    """Watches by its plan, across all servers: resumes what was cut, and begins anew when the
    server says that it is too late."""

    name: str
    plan: Plan
    transport: HttpTransport
    recorder: Recorder
    reached: int = 0
    """Up to this revision everything has been told; 0: there is nothing to resume from."""
    watch: Watch | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.recorder.serving.wait()
            try:
                watch = self.watch = await self._begun()
                self.recorder.history.watches.append(watch)
                await (self._poll if self.plan.polls else self._stream)(watch)
            except TransportError:
                self.recorder.seen["watches cut"] += 1
                await asyncio.sleep(PAUSE_S)
            except (Refused, ApiError) as error:
                await self._refused(error)
            await self.recorder.writes(self.plan.away)
            if self.watch is not None and self.watch.start is Start.STATE:
                self.reached = 0  # without a mark nobody knows whether the state was complete

    async def until(self, revision: int) -> None:
        """Wait until it has been told of what has this revision."""
        while self.watch is None or self._newest() < revision:
            self.moved.clear()
            await self.moved.wait()
        self.watch.until = revision

    def _newest(self) -> int:
        events = self.watch.events if self.watch is not None else []
        return max((one.revision for one in events), default=self.reached)

    async def _begun(self) -> Watch:
        plan = self.plan
        if self.reached:
            self.recorder.seen["watches resumed"] += 1
            return Watch(self.name, plan.resource, plan.wanted, Start.RESUMED, self.reached)
        self.recorder.seen[f"watches begun {plan.start.name.lower()}"] += 1
        if plan.start is not Start.LIST:
            known = self.recorder.newest
            return Watch(self.name, plan.resource, plan.wanted, plan.start, known)
        found = await listed(self.transport, plan)
        self.reached = found.revision
        return Watch(
            self.name, plan.resource, plan.wanted, plan.start, found.revision, found.objects
        )

    def _query(self, watch: Watch) -> dict[str, str]:
        query = {"watch": "1", **self.plan.query}
        if self.plan.bookmarks:
            query["allowWatchBookmarks"] = "true"
        if self.reached:
            query["resourceVersion"] = str(self.reached)
        elif watch.start is Start.MARKED_STATE:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        return query

    async def _stream(self, watch: Watch) -> None:
        plan = self.plan
        query = self._query(watch) | {"timeoutSeconds": str(plan.lasts_s)}
        decoder = Frames() if plan.accept == PROTOBUF else Lines()
        accept = PROTOBUF + ";stream=watch" if plan.accept == PROTOBUF else plan.accept
        where = path(plan.resource, plan.wanted.namespace)
        stream = self.transport.stream(where, query=query, accept=accept, timeout_s=600)
        async with contextlib.aclosing(stream):
            async for chunk in stream:
                for one in decoder.feed(chunk):
                    self._told(watch, one)
                if plan.slow:
                    await asyncio.sleep(SLOW_S)
        self.recorder.seen["watches ended by the server"] += 1

    async def _poll(self, watch: Watch) -> None:
        while True:
            query = self._query(watch) | {"poll": "1", "timeoutSeconds": "2"}
            where = path(self.plan.resource, self.plan.wanted.namespace)
            answer = await self.transport.request(
                "GET", where, query=query, accept=JSON, timeout_s=TIMEOUT_S
            )
            tree = json.loads(answer.body)
            if answer.status != 200:
                raise Refused(tree)
            for one in tree["events"]:
                self._told(watch, event(one["type"], one["object"]))
            self._told(watch, Event(Change.BOOKMARK, int(tree["resourceVersion"])))
            if self.plan.slow:
                await asyncio.sleep(SLOW_S)

    def _told(self, watch: Watch, one: Event) -> None:
        watch.events.append(one)
        self.recorder.seen["events" if one.shown is not None else "bookmarks"] += 1
        marked = watch.start is not Start.MARKED_STATE or self.reached or one.ends_state
        if marked and watch.start is not Start.STATE:
            self.reached = max(one.revision, self.reached)
        self.moved.set()

    async def _refused(self, error: Refused | ApiError) -> None:
        code = error.code if isinstance(error, Refused) else error.status_code
        if code == 410 and self.watch is not None and self.reached:
            self.recorder.seen["watches expired"] += 1
            watch, self.watch = self.watch, None
            since, self.reached = self.reached, 0
            while not watch.refused_at:
                with contextlib.suppress(TransportError):
                    await self.recorder.serving.wait()
                    newest = (await listed(self.transport, Plan(self.plan.resource))).revision
                    if watch.events:  # it was ended under way; what it had been told stands
                        watch = Watch(self.name, watch.resource, watch.wanted, Start.RESUMED, since)
                        self.recorder.history.watches.append(watch)
                    watch.refused_at = newest
        elif code == 503:
            await asyncio.sleep(PAUSE_S)
        else:
            self.recorder.unexpected.append(f"{self.name}: {code} {error}")
            self.reached = 0


async def listed(transport: HttpTransport, plan: Plan) -> Listing:
    """What the plan selects, now. TransportError if there is no answer."""
    answer = await transport.request(
        "GET",
        path(plan.resource, plan.wanted.namespace),
        query=plan.query,
        accept=JSON,
        timeout_s=TIMEOUT_S,
    )
    if answer.status != 200:
        raise TransportError(f"status {answer.status}")
    tree = json.loads(answer.body)
    found = [shown(item) for item in tree["items"]]
    return Listing(int(tree["metadata"]["resourceVersion"]), {one.key: one for one in found})
