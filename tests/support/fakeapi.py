"""A small API server in memory, behind the real client: for the shells of agents and controllers.

It knows revisions, watches (long-poll), field selectors, the patch types, status and binding
subresources, graceful deletion of bound pods, finalizers, propagation policies and preconditions.
No validation.
"""

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from urllib.parse import unquote

import msgspec

from kubeherd.cluster.api import fields, kinds, patches
from kubeherd.cluster.api.errors import (
    MODIFIED,
    ApiError,
    Conflict,
    Expired,
    NotFound,
    already_exists,
    conflict,
    not_found,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.private import grouppoll
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.transport import JSON, MSGPACK, TransportError, TransportResponse
from kubeherd.simulation.transport import Request, StubTransport
from kubeherd.simulation.virtualtime import VirtualClock

Disturbance = Callable[[Request], Exception | None]
"""What happens to a request instead of an answer; an ApiError becomes its Status."""


def undisturbed(_request: Request) -> None:
    """Every request gets its answer."""


def failing_writes(path_part: str, error: Exception) -> Disturbance:
    """The error for every write whose path contains `path_part`."""
    return lambda sent: error if sent.method != "GET" and path_part in sent.path else None


class FakeApi(StubTransport):
    """The server, and its transport. Objects are found by their path (`Resource.path`)."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.revision = 0
        self.objects: dict[str, JsonObject] = {}
        self.history: list[tuple[int, str, str, JsonObject]] = []
        """(revision, type of the event, path, object)."""
        self.requests: list[Request] = []
        """Everything but watches."""
        self.disturbance: Disturbance = undisturbed
        self.groups = list(_GROUPS)
        """(group, version) of what discovery tells beside the core group."""
        self._down = False
        self._incarnations: Counter[str] = Counter()
        self._moved = asyncio.Event()

    # --- for tests ---

    def put(self, resource: Resource, tree: JsonObject) -> JsonObject:
        """Create or replace an object directly, as some other client would."""
        meta = tree.setdefault("metadata", {})
        path = _path(resource, tree)
        old = self.objects.get(path)
        if old is None:
            self._incarnations[path] += 1
        meta.setdefault("uid", old["metadata"]["uid"] if old else self._new_uid(path))
        meta.setdefault("creationTimestamp", format_time(self.clock.now()))
        tree = {"apiVersion": resource.api_version, "kind": resource.kind, **tree}
        return self._store(path, tree, "ADDED" if old is None else "MODIFIED")

    def change(
        self, resource: Resource, name: str, patch: JsonObject, namespace: str = ""
    ) -> JsonObject:
        """Merge-patch an object directly."""
        tree = self.objects[resource.path(namespace, name)]
        return self.put(resource, patches.merge_patch(tree, patch))

    def edit(self, path: str, change: Callable[[JsonObject], None]) -> JsonObject:
        """Change an object in place, as some other client would."""
        tree = copy.deepcopy(self.objects[path])
        change(tree)
        return self._store(path, tree, "MODIFIED")

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Take an object away at once."""
        path = resource.path(namespace, name)
        self._store(path, self.objects[path], "DELETED")

    def get(self, resource: Resource, name: str, namespace: str = "") -> JsonObject | None:
        return self.objects.get(resource.path(namespace, name))

    def all(self, resource: Resource) -> list[JsonObject]:
        return [tree for path, tree in self.objects.items() if _is_of(resource, path)]

    def events(self) -> list[tuple[str, str, str]]:
        """(object, reason, message) of all events."""
        out = []
        for tree in self.all(kinds.EVENTS):
            about = tree.get("involvedObject") or tree.get("regarding") or {}
            out.append((about["name"], tree["reason"], tree.get("message") or tree.get("note", "")))
        return out

    @property
    def writes(self) -> list[tuple[str, str]]:
        """(method, path) of every write so far."""
        return [(sent.method, sent.path) for sent in self.requests if sent.method != "GET"]

    def count(self, method: str, path: str) -> int:
        """How often a request was made; watches do not count."""
        return sum((sent.method, sent.path) == (method, path) for sent in self.requests)

    def go_down(self) -> None:
        """Answer nobody, open long-polls included, until `come_back`."""
        self._down = True
        self._wake()

    def come_back(self) -> None:
        self._down = False

    # --- the transport ---

    async def answer(self, request: Request) -> TransportResponse:
        await asyncio.sleep(0)
        if self._down:
            raise TransportError("refused")
        if not request.query.get("watch") and request.path != grouppoll.PATH:
            self.requests.append(request)
        try:
            if (error := self.disturbance(request)) is not None:
                raise error
            tree = await self._answer(request)
        except ApiError as error:
            return TransportResponse(error.status_code, msgspec.json.encode(error.status()), JSON)
        return TransportResponse(200, msgspec.msgpack.encode(tree), MSGPACK)

    async def _answer(self, request: Request) -> JsonObject:
        method, path = request.method, request.path
        if path in ("/apis", "/api/v1") or (path.startswith("/apis/") and path.count("/") == 3):
            return _discovery(path, self.groups)
        if not path.startswith(("/api/", "/apis/")):
            raise NotFound("the server could not find the requested resource")
        resource, namespace, name, subresource = _parse(path)
        selector = fields.parse(request.query.get("fieldSelector", ""), resource)

        def wanted(path: str, tree: JsonObject) -> bool:
            return (
                _is_of(resource, path)
                and (not namespace or tree["metadata"].get("namespace") == namespace)
                and selector.matches(fields.selectable(resource, tree))
            )

        if method == "GET" and request.query.get("poll"):
            return await self._poll(wanted, request.query)
        if not name and method in ("GET", "DELETE"):
            items = [tree for path, tree in self.objects.items() if wanted(path, tree)]
            if method == "DELETE":
                for tree in items:
                    self._delete(resource, _path(resource, tree), request.tree)
                return {}
            return {"metadata": {"resourceVersion": str(self.revision)}, "items": items}
        if method == "POST":
            return self._post(resource, namespace, name, subresource, request.tree)
        path = resource.path(namespace, name)
        if path not in self.objects:
            raise not_found(resource, name)
        if method == "GET":
            return self.objects[path]
        if method == "DELETE":
            return self._delete(resource, path, request.tree)
        return self._update(resource, path, subresource, request)

    async def _poll(
        self, wanted: Callable[[str, JsonObject], bool], query: dict[str, str]
    ) -> JsonObject:
        since = int(query["resourceVersion"])
        if since > self.revision:
            raise Expired("too new")

        def news() -> list[JsonObject]:
            return [
                {"type": type_, "object": tree}
                for revision, type_, path, tree in self.history
                if revision > since and wanted(path, tree)
            ]

        with suppress(TimeoutError):
            async with asyncio.timeout(float(query["timeoutSeconds"])):
                while not news():
                    if self._down:
                        raise TransportError("connection reset")
                    await self._moved.wait()
        # looked at once more: something may have happened in the very moment of the time-out
        return {"resourceVersion": str(self.revision), "events": news()}

    def _post(
        self, resource: Resource, namespace: str, name: str, subresource: str, sent: JsonObject
    ) -> JsonObject:
        if subresource == "binding":
            path = kinds.PODS.path(namespace, name)
            if path not in self.objects:
                raise not_found(kinds.PODS, name)
            old = self.objects[path]
            if old["spec"].get("nodeName"):
                raise Conflict(f"pod {name} is already assigned to node")
            spec = {**old["spec"], "nodeName": sent["target"]["name"]}
            self._store(path, {**old, "spec": spec}, "MODIFIED")
            return {"kind": "Status", "status": "Success"}
        meta = sent["metadata"]
        if resource.path(namespace, meta["name"]) in self.objects:
            raise already_exists(resource, meta["name"])
        tree = {**sent, "metadata": {**meta, "namespace": namespace} if namespace else meta}
        return self.put(resource, tree)

    def _update(
        self, resource: Resource, path: str, subresource: str, request: Request
    ) -> JsonObject:
        old, sent = self.objects[path], request.tree
        stored, meta = old["metadata"], sent.get("metadata") or {}
        if meta.get("uid", stored["uid"]) != stored["uid"]:
            raise conflict(resource, stored["name"], "Precondition failed: UID")
        if meta.get("resourceVersion", stored["resourceVersion"]) != stored["resourceVersion"]:
            raise conflict(resource, stored["name"], MODIFIED)
        new = sent
        if request.method == "PATCH" and request.content_type.startswith("application/strategic"):
            definition = schemas.definition(resource.group, resource.version, resource.kind)
            new = patches.strategic_merge(old, sent, definition)
        elif request.method == "PATCH":
            new = patches.merge_patch(old, sent)
        if request.method == "PUT":
            kept = {name: stored[name] for name in ("uid", "creationTimestamp") if name in stored}
            new = {**new, "metadata": {**kept, **meta}}
        if subresource == "status":
            new = {**old, "metadata": new["metadata"], "status": new.get("status", {})}
        elif subresource != "finalize" and "status" in old:
            new = {**new, "status": old["status"]}
        if new == old:
            return old
        done = (
            new["metadata"].get("deletionTimestamp")
            and not new["metadata"].get("finalizers")
            and not (new.get("spec") or {}).get("finalizers")
            and not new["metadata"].get("deletionGracePeriodSeconds")
        )
        return self._store(path, new, "DELETED" if done else "MODIFIED")

    def _delete(self, resource: Resource, path: str, options: JsonObject) -> JsonObject:
        old = self.objects[path]
        meta = dict(old["metadata"])
        for name, wanted in (options.get("preconditions") or {}).items():
            if meta.get(name) != wanted:
                raise conflict(
                    resource, meta["name"], f"the {name} in the precondition does not match"
                )
        finalizers = [f for f in meta.get("finalizers") or () if f not in _PROPAGATION.values()]
        wanted_finalizer = _PROPAGATION.get(options.get("propagationPolicy", ""))
        if wanted_finalizer:
            finalizers.append(wanted_finalizer)
        grace_s = options.get("gracePeriodSeconds", 30)
        graceful = resource == kinds.PODS and old["spec"].get("nodeName") and grace_s > 0
        if graceful or finalizers or (old.get("spec") or {}).get("finalizers"):
            if meta.get("deletionTimestamp") and finalizers == meta.get("finalizers", []):
                return old
            meta |= {"deletionTimestamp": format_time(self.clock.now()), "finalizers": finalizers}
            meta["deletionGracePeriodSeconds"] = grace_s if graceful else 0
            return self._store(path, {**old, "metadata": meta}, "MODIFIED")
        return self._store(path, old, "DELETED")

    def _store(self, path: str, tree: JsonObject, type_: str) -> JsonObject:
        self.revision += 1
        tree = {**tree, "metadata": {**tree["metadata"], "resourceVersion": str(self.revision)}}
        if type_ == "DELETED":
            del self.objects[path]
        else:
            self.objects[path] = tree
        self.history.append((self.revision, type_, path, tree))
        self._wake()
        return tree

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def _new_uid(self, path: str) -> str:
        name, incarnation = path.rpartition("/")[2], self._incarnations[path]
        return f"uid-{name}" if incarnation == 1 else f"uid-{name}-{incarnation}"


_PROPAGATION = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def _path(resource: Resource, tree: JsonObject) -> str:
    return resource.path(tree["metadata"].get("namespace", ""), tree["metadata"]["name"])


def _is_of(resource: Resource, path: str) -> bool:
    return path.startswith(resource.root) and path.split("/")[-2] == resource.plural


def _parse(path: str) -> tuple[Resource, str, str, str]:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    group, version, rest = ("", parts[1], parts[2:])
    if parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:], "", "")[:2]
    storage = {"events": kinds.EVENTS}.get(rest[0])
    return storage or kinds.resource(group, version, rest[0]), namespace, name, subresource


_GROUPS = (
    ("apps", "v1"),
    ("coordination.k8s.io", "v1"),
    ("policy", "v1"),
    ("apiextensions.k8s.io", "v1"),
)


def _discovery(path: str, groups: Iterable[tuple[str, str]]) -> JsonObject:
    if path == "/apis":
        return {
            "groups": [
                {
                    "name": group,
                    "versions": [{"version": version}],
                    "preferredVersion": {"version": version},
                }
                for group, version in groups
            ]
        }
    return {
        "resources": [
            {
                "name": resource.plural,
                "kind": resource.kind,
                "namespaced": resource.namespaced,
                "verbs": list(resource.verbs),
            }
            for resource in kinds.ALL
            if resource.root == path
        ]
    }
