"""A small API server in memory, behind the real client: enough for the shells of controllers.

It knows revisions, watches (long-poll), the patch types, status and binding subresources, graceful
deletion of bound pods, finalizers, propagation policies and preconditions. No validation.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from urllib.parse import unquote

import msgspec

from cluster.api import kinds, patches, schemas
from cluster.api.errors import (
    MODIFIED,
    ApiError,
    Conflict,
    Expired,
    already_exists,
    conflict,
    not_found,
)
from cluster.api.jsontypes import JsonObject
from cluster.api.kinds import Resource
from cluster.api.timestamps import format_time
from cluster.client.client import ApiClient
from cluster.client.transport import JSON, MSGPACK, TransportError, TransportResponse
from cluster.runtime.clock import VirtualClock
from cluster.runtime.rng import Rng
from controller.informers import Informers
from controller.manager import Context

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
Key = tuple[str, str, str]
"""(group resource, namespace, name)."""


class FakeApi:
    """The server, and its transport."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.revision = 0
        self.objects: dict[Key, JsonObject] = {}
        self.history: list[tuple[int, str, Resource, JsonObject]] = []
        self.requests: list[tuple[str, str]] = []
        """(method, path) of every write."""
        self.failing: list[str] = []
        """Parts of paths whose writes get no answer."""
        self.surprises: list[str] = []
        """Parts of paths whose writes raise what no client expects."""
        self._moved = asyncio.Condition()

    # --- for tests ---

    def put(self, resource: Resource, tree: JsonObject) -> JsonObject:
        """Create or replace an object directly, as some other client would."""
        meta = tree.setdefault("metadata", {})
        key = (resource.group_resource, meta.get("namespace", ""), meta["name"])
        old = self.objects.get(key)
        meta.setdefault("uid", f"uid-{meta['name']}")
        meta.setdefault("creationTimestamp", format_time(self.clock.now()))
        tree = {"apiVersion": resource.api_version, "kind": resource.kind, **tree}
        return self._store(resource, key, tree, "ADDED" if old is None else "MODIFIED")

    def change(
        self, resource: Resource, name: str, patch: JsonObject, namespace: str = ""
    ) -> JsonObject:
        """Merge-patch an object directly."""
        tree = self.objects[resource.group_resource, namespace, name]
        return self.put(resource, patches.merge_patch(tree, patch))

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Take an object away at once."""
        key = (resource.group_resource, namespace, name)
        self._store(resource, key, self.objects[key], "DELETED")

    def get(self, resource: Resource, name: str, namespace: str = "") -> JsonObject | None:
        return self.objects.get((resource.group_resource, namespace, name))

    def all(self, resource: Resource) -> list[JsonObject]:
        return [tree for key, tree in self.objects.items() if key[0] == resource.group_resource]

    def events(self) -> list[tuple[str, str, str]]:
        """(object, reason, message) of all events."""
        out = []
        for tree in self.all(kinds.EVENTS):
            about = tree.get("involvedObject") or tree.get("regarding") or {}
            out.append((about["name"], tree["reason"], tree.get("message") or tree.get("note", "")))
        return out

    def context(self, informers: Informers, client: ApiClient) -> Context:
        return Context(client, self.clock, Rng(1), informers, "host", root_ca_pem=b"CA\n")

    # --- the transport ---

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
        if method != "GET":
            self.requests.append((method, path))
            if any(part in path for part in self.failing):
                raise TransportError("no answer")
            if any(part in path for part in self.surprises):
                raise RuntimeError("surprise")
        try:
            tree = await self._answer(method, path, dict(query or {}), body, content_type)
        except ApiError as error:
            return TransportResponse(error.status_code, msgspec.json.encode(error.status()), JSON)
        return TransportResponse(200, msgspec.msgpack.encode(tree), MSGPACK)

    def stream(self, path: str, **_options: object) -> AsyncIterator[bytes]:
        raise NotImplementedError("the fake only long-polls")

    async def close(self) -> None:
        return

    async def _answer(
        self, method: str, path: str, query: dict[str, str], body: bytes | None, content_type: str
    ) -> JsonObject:
        if path in ("/apis", "/api/v1") or (path.startswith("/apis/") and path.count("/") == 3):
            return _discovery(path)
        resource, namespace, name, subresource = _parse(path)
        if method == "GET" and query.get("poll"):
            return await self._poll(resource, namespace, query)
        if method == "GET" and not name:
            items = [t for t in self.all(resource) if _in(t, namespace)]
            return {"metadata": {"resourceVersion": str(self.revision)}, "items": items}
        sent = None if body is None else _decode(body, content_type)
        if method == "POST":
            return self._post(resource, namespace, name, subresource, sent or {})
        if method == "DELETE" and not name:
            for tree in [t for t in self.all(resource) if _in(t, namespace)]:
                meta = tree["metadata"]
                key = (resource.group_resource, meta.get("namespace", ""), meta["name"])
                self._delete(resource, key, sent or {})
            return {}
        key = (resource.group_resource, namespace, name)
        if key not in self.objects:
            raise not_found(resource, name)
        if method == "GET":
            return self.objects[key]
        if method == "DELETE":
            return self._delete(resource, key, sent or {})
        return self._update(resource, key, subresource, method, sent, content_type)

    async def _poll(self, resource: Resource, namespace: str, query: dict[str, str]) -> JsonObject:
        since = int(query["resourceVersion"])
        if since > self.revision:
            raise Expired("too new")

        def news() -> list[JsonObject]:
            return [
                {"type": type_, "object": tree}
                for revision, type_, kind, tree in self.history
                if revision > since
                and kind.group_resource == resource.group_resource
                and _in(tree, namespace)
            ]

        try:
            async with asyncio.timeout(float(query["timeoutSeconds"])), self._moved:
                await self._moved.wait_for(lambda: bool(news()))
        except TimeoutError:
            pass
        return {"resourceVersion": str(self.revision), "events": news()}

    def _post(
        self, resource: Resource, namespace: str, name: str, subresource: str, sent: JsonObject
    ) -> JsonObject:
        if subresource == "binding":
            key = ("pods", namespace, name)
            if key not in self.objects:
                raise not_found(kinds.PODS, name)
            old = self.objects[key]
            if old["spec"].get("nodeName"):
                raise Conflict(f"pod {name} is already assigned to node")
            spec = {**old["spec"], "nodeName": sent["target"]["name"]}
            self._store(kinds.PODS, key, {**old, "spec": spec}, "MODIFIED")
            return {"kind": "Status", "status": "Success"}
        meta = sent["metadata"]
        key = (resource.group_resource, namespace, meta["name"])
        if key in self.objects:
            raise already_exists(resource, meta["name"])
        tree = {**sent, "metadata": {**meta, "namespace": namespace} if namespace else meta}
        return self.put(resource, tree)

    def _update(
        self,
        resource: Resource,
        key: Key,
        subresource: str,
        method: str,
        sent: JsonObject | None,
        content_type: str,
    ) -> JsonObject:
        old = self.objects[key]
        sent = sent or {}
        meta = sent.get("metadata") or {}
        if meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise conflict(resource, key[2], "Precondition failed: UID")
        if (
            meta.get("resourceVersion", old["metadata"]["resourceVersion"])
            != (old["metadata"]["resourceVersion"])
        ):
            raise conflict(resource, key[2], MODIFIED)
        new = sent
        if method == "PATCH" and content_type.startswith("application/strategic"):
            definition = schemas.definition(resource.group, resource.version, resource.kind)
            new = patches.strategic_merge(old, sent, definition)
        elif method == "PATCH":
            new = patches.merge_patch(old, sent)
        if subresource == "status":
            new = {**old, "status": new.get("status", {})}
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
        return self._store(resource, key, new, "DELETED" if done else "MODIFIED")

    def _delete(self, resource: Resource, key: Key, options: JsonObject) -> JsonObject:
        old = self.objects[key]
        meta = dict(old["metadata"])
        for name, wanted in (options.get("preconditions") or {}).items():
            if meta.get(name) != wanted:
                raise conflict(resource, key[2], f"the {name} in the precondition does not match")
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
            return self._store(resource, key, {**old, "metadata": meta}, "MODIFIED")
        return self._store(resource, key, old, "DELETED")

    def _store(self, resource: Resource, key: Key, tree: JsonObject, type_: str) -> JsonObject:
        self.revision += 1
        tree = {**tree, "metadata": {**tree["metadata"], "resourceVersion": str(self.revision)}}
        if type_ == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = tree
        self.history.append((self.revision, type_, resource, tree))
        asyncio.get_running_loop().create_task(self._notify())
        return tree

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()


_PROPAGATION = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def _in(tree: JsonObject, namespace: str) -> bool:
    return not namespace or tree["metadata"].get("namespace") == namespace


def _decode(body: bytes, content_type: str) -> JsonObject:
    codec = msgspec.msgpack if content_type.startswith(MSGPACK) else msgspec.json
    tree: JsonObject = codec.decode(body)
    return tree


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


_GROUPS = (("apps", "v1"), ("coordination.k8s.io", "v1"), ("policy", "v1"))


def _discovery(path: str) -> JsonObject:
    if path == "/apis":
        return {
            "groups": [
                {
                    "name": group,
                    "versions": [{"version": version}],
                    "preferredVersion": {"version": version},
                }
                for group, version in _GROUPS
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
