"""One resource listed and watched, told as writes: works against any Kubernetes.

A watch that ends is resumed; one whose revision is too old begins with a list again, whose
differences are told as `restored`: nobody knows what happened between.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import msgspec
import orjson

from kubeherd.cluster.api.errors import ApiError, Expired, from_status
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.client import ApiClient, Listed
from kubeherd.cluster.client.transport import JSON, TransportError
from kubeherd.cluster.client.wire import ADDED, BOOKMARK, DELETED, ERROR, LineSplitter, StreamEvent
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.history import Verb, Write

_WATCH_S: Final = 300
_MARGIN_S: Final = 15
_REFUSED: Final = (401, 403, 404, 405)


class Refused(Exception):
    """The server does not let us see a resource: one line for a person."""


Shape = Callable[[Write], Write]
"""Makes of a write what is kept of it."""


def whole(write: Write) -> Write:
    """Keeps all of it."""
    return write


class _Head(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an object, to tell of its end if that was missed."""

    uid: str
    version: str


class _Metadata(msgspec.Struct, frozen=True):
    name: str
    namespace: str = ""


class _Named(msgspec.Struct, frozen=True):
    metadata: _Metadata


_decode_name: Final = msgspec.json.Decoder(_Named).decode


class Follower:
    """`tell` gets every write, `passed` every revision up to which all has been told.

    `shape` gets a write first, as soon as it has come: whoever needs but a part of each object
    keeps that part only, and of a list one object at a time is whole.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        clock: Clock,
        rng: Rng,
        *,
        tell: Callable[[Write], None],
        passed: Callable[[int], None],
        shape: Shape = whole,
        only_news: bool = False,
    ) -> None:
        """`only_news`: what is there already is not told, nor kept in mind."""
        self.resource = resource
        self.revision = 0
        self.gaps = 0
        """How often it had to list again."""
        self.began_anew = False
        """Whether the server has lost its objects, and counts its revisions anew."""
        self._lost = False
        """Whether a connection broke since it was last looked at which revision the server is."""
        self._client = client
        self._clock = clock
        self._backoff = Backoff(rng, base_s=0.2, cap_s=5.0)
        self.tell = tell
        self.failing = ""
        """Why it sees nothing at present."""
        self._passed = passed
        self._shape = shape
        self._only_news = only_news
        self._known: dict[tuple[str, str], _Head] = {}

    async def list(self) -> None:
        """List it, and tell what is there as restored. Refused; TransportError."""
        try:
            listed = await self._listed()
        except ApiError as error:
            if error.status_code in _REFUSED:
                raise Refused(error.message) from error
            raise
        revision = int(listed.resource_version or 0)
        for key in self._known.keys() - set(map(_named, listed.items)):
            last = _last(key, self._known.pop(key))
            self._write(Verb.DELETE, last, restored=True, revision=revision)
        for raw in listed.items:
            item: JsonObject = orjson.loads(bytes(raw))
            key, known = _key(item), self._known.get(_key(item))
            if known is None or known.version != _version(item):
                self._write(Verb.UPDATE if known else Verb.CREATE, item, restored=True)
                self._known[key] = _head(item)
        self.revision = revision
        self._passed(revision)

    async def _listed(self) -> Listed[msgspec.Raw]:
        if not self._only_news:
            return await self._client.list(self.resource, msgspec.Raw)
        return Listed([], str(await self._newest()))

    async def _newest(self) -> int:
        """The server's revision."""
        one = await self._client.request("GET", self.resource.path(), query={"limit": "1"})
        return int(one["metadata"]["resourceVersion"])

    async def run(self) -> None:
        """Watch for ever, after a first `list`."""
        while True:
            try:
                await self._watch()
            except Expired:
                await self._again()
            except (ApiError, TransportError) as error:
                self.failing, self._lost = str(error), True
                await self._clock.sleep(self._backoff.next_s())

    async def _again(self) -> None:
        self.gaps += 1
        try:
            await self.list()
            self._lost = False
        except (ApiError, TransportError, Refused) as error:
            self.failing = str(error)
            await self._clock.sleep(self._backoff.next_s())

    async def _watch(self) -> None:
        query = {
            "watch": "1",
            "resourceVersion": str(self.revision),
            "timeoutSeconds": str(_WATCH_S),
            "allowWatchBookmarks": "true",
        }
        if self._lost:
            # A watch from a revision that is to come is silent until it does.
            if await self._newest() < self.revision:
                self.began_anew = True
                raise Expired(f"the server began anew after revision {self.revision}")
            self._lost = False
        splitter = LineSplitter()
        self.failing = ""  # as far as one can tell: a watch that has nothing to tell is silent
        chunks = self._client.transport.stream(
            self.resource.path(), query=query, accept=JSON, timeout_s=_WATCH_S + _MARGIN_S
        )
        async with aclosing(chunks) as stream:
            async for chunk in stream:
                for event in splitter.feed(chunk):
                    self._take(event)
                self._backoff.reset()
                await asyncio.sleep(0)  # others follow, too

    def _take(self, event: StreamEvent) -> None:
        if event.type == ERROR:
            raise from_status(event.tree())
        tree: JsonObject = orjson.loads(bytes(event.object))
        if event.type != BOOKMARK:
            verb = Verb.CREATE if event.type == ADDED else Verb.UPDATE
            if event.type == DELETED:
                verb = Verb.DELETE
                self._known.pop(_key(tree), None)
            elif not self._only_news:
                self._known[_key(tree)] = _head(tree)
            self._write(verb, tree)
        self.revision = max(self.revision, int(_version(tree)))
        self._passed(self.revision)

    def _write(
        self, verb: Verb, tree: JsonObject, *, restored: bool = False, revision: int = 0
    ) -> None:
        metadata = tree["metadata"]
        metadata.pop("managedFields", None)
        resource = self.resource
        write = Write(
            at=self._clock.now().timestamp(),
            revision=revision or int(_version(tree)),
            verb=verb,
            resource=resource.group_resource,
            namespace=metadata.get("namespace") or "",
            name=metadata["name"],
            uid=metadata.get("uid") or "",
            object={"apiVersion": resource.api_version, "kind": resource.kind, **tree},
            restored=restored,
        )
        self.tell(self._shape(write))


def _key(tree: JsonObject) -> tuple[str, str]:
    return tree["metadata"].get("namespace") or "", tree["metadata"]["name"]


def _version(tree: JsonObject) -> str:
    return str(tree["metadata"].get("resourceVersion") or "0")


def _head(tree: JsonObject) -> _Head:
    return _Head(tree["metadata"].get("uid") or "", _version(tree))


def _last(key: tuple[str, str], head: _Head) -> JsonObject:
    """All that is known of an object whose end was missed."""
    namespace, name = key
    metadata = {"name": name, "uid": head.uid, "resourceVersion": head.version}
    return {"metadata": {**metadata, "namespace": namespace} if namespace else metadata}


def _named(raw: msgspec.Raw) -> tuple[str, str]:
    """As `_key`."""
    metadata = _decode_name(raw).metadata
    return metadata.namespace, metadata.name
