"""An API server small enough to read: objects in a dict, a revision, and the long-poll.

A stand-in for the other side of the wire when the kubelet's shell is tested. It keeps what the
shell relies on: revisions, uids, 404, 409 on create and on wrong uid, graceful pod deletion.
"""

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
import orjson

from cluster.api import kinds, patches, schemas
from cluster.client.transport import TransportError, TransportResponse

Tree = dict[str, Any]
MSGPACK = "application/msgpack"


class FakeApi:
    """Implements `cluster.client.transport.Transport`."""

    def __init__(self) -> None:
        self.objects: dict[str, Tree] = {}
        self.history: list[tuple[int, str, str, Tree]] = []
        self.revision = 100
        self.changed = asyncio.Event()
        self.requests: Counter[str] = Counter()
        self.log: list[tuple[str, str, Tree | None]] = []
        self.down = False
        self.refuse: Callable[[str, str], TransportResponse | None] = lambda _m, _p: None

    # --- what a test does ---

    def put(self, path: str, tree: Tree) -> Tree:
        """Write an object as another client would."""
        old = self.objects.get(path)
        tree = copy.deepcopy(tree)
        metadata = tree.setdefault("metadata", {})
        metadata.setdefault("name", path.rsplit("/", 1)[1])
        if "/namespaces/" in path:
            metadata.setdefault("namespace", path.split("/")[-3])
        metadata.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{self.revision}")
        if old is not None and old == tree:
            return old
        self.revision += 1
        metadata["resourceVersion"] = str(self.revision)
        self.objects[path] = tree
        self._record("MODIFIED" if old else "ADDED", path, tree)
        return tree

    def change(self, path: str, change: Callable[[Tree], None]) -> Tree:
        tree = copy.deepcopy(self.objects[path])
        change(tree)
        return self.put(path, tree)

    def remove(self, path: str) -> None:
        tree = self.objects.pop(path)
        self.revision += 1
        tree = copy.deepcopy(tree)
        tree["metadata"]["resourceVersion"] = str(self.revision)
        self._record("DELETED", path, tree)

    def _record(self, type_: str, path: str, tree: Tree) -> None:
        self.history.append((self.revision, type_, path, tree))
        self.changed.set()
        self.changed = asyncio.Event()

    # --- Transport ---

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        timeout_s: float = 30.0,
    ) -> TransportResponse:
        await asyncio.sleep(0)
        if self.down:
            raise TransportError("refused")
        query = dict(query or {})
        if query.get("watch"):
            return await self._poll(path, query)
        tree = _decode(body, content_type)
        self.requests[f"{method} {path}"] += 1
        self.log.append((method, path, tree))
        refused = self.refuse(method, path)
        if refused is not None:
            return refused
        return self._carry_out(method, path, query, tree)

    def _carry_out(
        self, method: str, path: str, query: Mapping[str, str], tree: Tree | None
    ) -> TransportResponse:
        if method == "POST":
            assert tree is not None
            item = f"{path}/{tree['metadata']['name']}"
            if item in self.objects:
                return status(409, "AlreadyExists")
            return _ok(self.put(item, tree), 201)
        if method == "GET" and path not in self.objects and path.rsplit("/", 1)[1] in PLURALS:
            items = [t for p, t in self.objects.items() if self._matches(p, t, path, query)]
            return _ok({"metadata": {"resourceVersion": str(self.revision)}, "items": items})
        target = path.removesuffix("/status")
        if target not in self.objects:
            return status(404, "NotFound")
        if method == "GET":
            return _ok(self.objects[target])
        assert tree is not None
        if method == "DELETE":
            return self._delete(target, tree)
        stored = self.objects[target]
        if method == "PUT":
            if tree["metadata"].get("resourceVersion") != stored["metadata"]["resourceVersion"]:
                return status(409, "Conflict")
            return _ok(self.put(target, tree))
        uid = (tree.get("metadata") or {}).get("uid")
        if uid and uid != stored["metadata"]["uid"]:
            return status(409, "Conflict")
        kind = "Pod" if "/pods/" in target else "Node"
        definition = schemas.definition("", "v1", kind)
        return _ok(self.put(target, patches.strategic_merge(stored, tree, definition)))

    def _delete(self, path: str, options: Tree) -> TransportResponse:
        uid = (options.get("preconditions") or {}).get("uid")
        stored = self.objects[path]
        if uid and uid != stored["metadata"]["uid"]:
            return status(409, "Conflict")
        self.remove(path)
        return _ok(stored)

    async def _poll(self, path: str, query: Mapping[str, str]) -> TransportResponse:
        since = int(query["resourceVersion"])
        while True:
            if self.down:
                raise TransportError("refused")
            changed = self.changed
            events = [
                {"type": type_, "object": tree}
                for revision, type_, item, tree in self.history
                if revision > since and self._matches(item, tree, path, query)
            ]
            if events:
                answer = {"resourceVersion": str(self.revision), "events": events}
                return TransportResponse(200, msgspec.msgpack.encode(answer), MSGPACK)
            try:
                async with asyncio.timeout(int(query["timeoutSeconds"])):
                    await changed.wait()
            except TimeoutError:
                answer = {"resourceVersion": str(self.revision), "events": []}
                return TransportResponse(200, msgspec.msgpack.encode(answer), MSGPACK)

    def _matches(self, item: str, tree: Tree, path: str, query: Mapping[str, str]) -> bool:
        plural = path.rsplit("/", 1)[1]
        if item.rsplit("/", 2)[1] != plural:
            return False
        field, _, value = query.get("fieldSelector", "").partition("=")
        if field == "spec.nodeName":
            return bool((tree.get("spec") or {}).get("nodeName") == value)
        if field == "metadata.name":
            return bool(tree["metadata"]["name"] == value)
        return True

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "",
        timeout_s: float = 30.0,
    ) -> AsyncIterator[bytes]:
        raise TransportError("no streams here")

    async def close(self) -> None:
        self.down = True


PLURALS = {r.plural for r in kinds.ALL}


def status(code: int, reason: str) -> TransportResponse:
    tree = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": reason,
    }
    return TransportResponse(code, orjson.dumps(tree))


def _ok(tree: Tree, code: int = 200) -> TransportResponse:
    return TransportResponse(code, msgspec.msgpack.encode(tree), MSGPACK)


def _decode(body: bytes | None, content_type: str) -> Tree | None:
    if not body:
        return None
    tree = msgspec.msgpack.decode(body) if content_type == MSGPACK else orjson.loads(body)
    assert isinstance(tree, dict)
    return tree
