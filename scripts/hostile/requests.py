"""The stream of hostile requests: kinds, verbs, encodings, queries and paths, all from one seed.

Most are nearly right, because a request that is wrong in one place gets far: it passes the checks
in front of the code that trusts them.
"""

import base64
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hostile.bombs import BOMBS, Bomb
from hostile.encodings import JSON, MSGPACK, PROTOBUF, YAML, as_json, encoded, is_json
from hostile.objects import NAMES, ODD, Objects
from hostile.recorded import Recorded
from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.private import batch

PATCHES = (
    "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml",
)  # fmt: skip
_BODIES = (JSON, JSON, YAML, MSGPACK, PROTOBUF, PROTOBUF)
_TYPES = (JSON, YAML, MSGPACK, PROTOBUF, "", "text/plain", "application/json; charset=utf-8", ";;",
          *PATCHES)  # fmt: skip
_ACCEPTS = (
    "", "*/*", JSON, JSON, JSON, YAML, MSGPACK, "text/html", PROTOBUF,
    "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;stream=watch",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,*/*", "q=;;,",
)  # fmt: skip
_PARAMETERS = (
    "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector",
    "fieldSelector", "fieldManager", "force", "dryRun", "fieldValidation", "pretty",
    "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "sendInitialEvents",
    "allowWatchBookmarks", "includeObject", "container", "exclude", "verbose", "sinceTime",
    "sinceSeconds", "tailLines", "limitBytes", "follow", "previous", "timestamps", "nodes", "hash",
)  # fmt: skip
_VALUES = (
    "", "1", "0", "-1", "true", "false", "x", "a=b", "a in (b,c)", "!a", "a>1", "metadata.name=a",
    "spec.nodeName=n1", "All", "Strict", "Warn", "Exact", "NotOlderThan", "Orphan", "Foreground",
    "9" * 20, "9" * 5000, "1e3", "Object", "None", "a=b,c!=d", "node-:0-9", "),(", "a in (", "=",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00Z", "2016-12-31",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJ4In0", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
    "a" * 3000, "\x00", "٣", "%",
)  # fmt: skip
_SEGMENTS = ("", "api", "apis", "v1", "apps", "namespaces", "default", "pods", "nodes", "watch",
             "status", "scale", "log", "..", "%", "healthz", "openapi", "v2", "v3", "version",
             "metrics", "readyz", "kubeherd", "batch", "a" * 300, "é")  # fmt: skip
_USERS = ("", "", "", "", "", "", "bob", "system:kube-controller-manager", "system:node:n1")
_SUB_KINDS = {
    "scale": ("autoscaling/v1", "Scale"), "binding": ("v1", "Binding"),
    "eviction": ("policy/v1", "Eviction"),
}  # fmt: skip
_SUB_PARTS: Mapping[str, Mapping[str, Any]] = {
    "scale": {"spec": {"replicas": 2}},
    "binding": {"target": {"name": "n1"}},
    "eviction": {"deleteOptions": {"gracePeriodSeconds": 0}},
}
_COMMON = tuple(
    r for r in kinds.ALL
    if r.plural in ("pods", "nodes", "deployments", "daemonsets", "configmaps", "services",
                    "namespaces", "leases", "clusterroles", "replicasets", "statefulsets", "jobs")
)  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """One request. `route` groups it in the summary."""

    route: str
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def shown(self) -> str:
        """The request as JSON, to be sent again: `hostile_requests.py --replay FILE`."""
        return json.dumps({
            "route": self.route, "method": self.method, "path": self.path, "query": self.query,
            "headers": self.headers, "body_base64": base64.b64encode(self.body).decode(),
        })  # fmt: skip

    @staticmethod
    def from_json(text: str) -> "Hostile":
        """The reverse of `shown`."""
        tree = json.loads(text)
        tree["body"] = base64.b64decode(tree.pop("body_base64"))
        return Hostile(**tree)


class Requests(Protocol):
    """What sends one request after the other."""

    def next(self) -> Hostile:
        """The next request; there always is one."""


class Stream:
    """An endless stream of requests. All bombs come first, so that the server has had what memory
    it needs at most when its growth begins to be measured."""

    def __init__(self, seed: int, *, bombs: bool = True, recorded: Sequence[Recorded] = ()) -> None:
        self._rng = random.Random(seed)
        self._objects = Objects(self._rng)
        kinds_of_request: list[tuple[Callable[[], Hostile], int]] = [
            (self._create, 300), (self._update, 150), (self._patch, 300), (self._read, 100),
            (self._delete, 40), (self._path, 40), (self._batch, 10), (self._garbage, 60),
        ]  # fmt: skip
        self._recorded = recorded
        if recorded:
            kinds_of_request.append((self._replay, 600))
        self._unsent = self._rng.sample(BOMBS, len(BOMBS)) if bombs else []
        if bombs:
            kinds_of_request.append((self._bomb, 2))
        self._makers = [maker for maker, _ in kinds_of_request]
        self._weights = [weight for _, weight in kinds_of_request]

    def next(self) -> Hostile:
        """The next request."""
        if self._unsent:
            return _thrown(self._unsent.pop())
        return self._rng.choices(self._makers, self._weights)[0]()

    # --- kinds of requests ---

    def _create(self) -> Hostile:
        resource = self._resource("create")
        sub = self._sub(resource, "create", 0.2)
        name = self._name()
        tree = self._sub_object(sub, name) if sub else self._objects.of(resource, name)
        path = self._path_of(resource, name if sub else "", sub)
        return self._sending("POST", resource, sub, path, self._maybe_mutated(tree))

    def _update(self) -> Hostile:
        resource = self._resource("update")
        sub, name = self._sub(resource, "update", 0.4), self._name()
        tree = self._tree(resource, sub, name)
        path = self._path_of(resource, name, sub)
        return self._sending("PUT", resource, sub, path, self._maybe_mutated(tree))

    def _patch(self) -> Hostile:
        resource = self._resource("patch")
        sub, name = self._sub(resource, "patch", 0.4), self._name()
        tree = self._tree(resource, sub, name)
        content_type = self._rng.choice(PATCHES)
        query = self._query(0.3)
        body: Any = self._maybe_mutated(tree)
        if content_type == PATCHES[0]:
            body = [self._operation(tree) for _ in range(self._rng.randint(0, 4))]
        elif content_type == PATCHES[3]:
            query |= {"fieldManager": self._rng.choice("fgh")}
            if self._rng.random() < 0.5:
                query["force"] = "true"
        elif isinstance(body, dict) and self._rng.random() < 0.7:
            body = {key: body[key] for key in self._rng.sample(list(body), min(len(body), 2))}
        headers = self._headers(content_type)
        route = f"{resource.plural}/{sub}" if sub else resource.plural
        path = self._path_of(resource, name, sub)
        return Hostile(route, "PATCH", path, query, headers, as_json(body))

    def _read(self) -> Hostile:
        resource = self._resource("get")
        item = self._rng.random() < 0.5
        sub = self._sub(resource, "get", 0.5) if item else ""
        query = self._query(0.9)
        method = self._rng.choice(("GET", "GET", "HEAD"))
        if not item and method == "GET" and self._rng.random() < 0.2:
            query |= {"watch": self._rng.choice(("1", "", "true")), "timeoutSeconds": "1"}
            if self._rng.random() < 0.5:
                query |= {"poll": "1", "resourceVersion": "1"}
        if query.get("follow"):
            query.pop("follow")  # lasts as long as its container
        path = self._path_of(resource, self._name() if item else "", sub)
        route = f"{resource.plural}/{sub}" if sub else resource.plural
        return Hostile(route, method, path, query,
                       self._headers(""))  # fmt: skip

    def _delete(self) -> Hostile:
        resource = self._resource("delete")
        item = self._rng.random() < 0.9
        options = {
            "gracePeriodSeconds": 0, "propagationPolicy": "Background", "kind": "DeleteOptions",
            "apiVersion": "v1", "preconditions": {"uid": "x"}, "dryRun": ["All"],
        }  # fmt: skip
        chosen = {key: options[key] for key in self._rng.sample(list(options), 2)}
        body = b"" if self._rng.random() < 0.6 else as_json(self._maybe_mutated(chosen))
        query = self._query(0.4) | {"gracePeriodSeconds": "0"}
        path = self._path_of(resource, self._name() if item else "", "")
        return Hostile(resource.plural, "DELETE", path, query, self._headers(JSON), body)

    def _path(self) -> Hostile:
        path = "/" + "/".join(self._rng.choices(_SEGMENTS, k=self._rng.randint(0, 7)))
        if self._rng.random() < 0.4:
            resource = self._resource("get")
            path = self._path_of(
                resource, self._name(), self._rng.choice(("", "x", "a/b", "status"))
            )
        method = self._rng.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
        return Hostile("paths", method, path, self._query(0.3), self._headers(JSON))

    def _batch(self) -> Hostile:
        inner = [
            self._rng.choice((self._create, self._patch))() for _ in range(self._rng.randint(0, 6))
        ]
        items = [
            batch.BatchedRequest(
                one.method, one.path, one.query, one.headers.get("content-type", ""),
                one.headers.get("accept", ""), one.body,
            )
            for one in inner
        ]  # fmt: skip
        body = (
            self._damaged(batch.encode(items)) if self._rng.random() < 0.3 else batch.encode(items)
        )
        return Hostile("batch", "POST", batch.PATH, {}, {"content-type": MSGPACK}, body)

    def _garbage(self) -> Hostile:
        base = self._create()
        content_type = self._rng.choice(_TYPES)
        body = (
            encoded(json.loads(base.body), content_type, self._rng)
            if is_json(base.body)
            else base.body
        )
        headers = {**base.headers, "content-type": content_type}
        return Hostile(base.route, base.method, base.path, base.query, headers, self._damaged(body))

    def _replay(self) -> Hostile:
        """A recorded request, mostly wrong in one place, in any encoding that its verb takes."""
        one = self._rng.choice(self._recorded)
        tree = self._maybe_mutated(one.body)
        patches = one.method == "PATCH" or one.body is None
        content_type = one.content_type if patches else self._rng.choice(_BODIES)
        body = b"" if one.body is None else encoded(tree, content_type, self._rng)
        if self._rng.random() < 0.1:
            body = self._damaged(body)
        query = {**one.query, **self._query(0.1)}
        return Hostile("recorded", one.method, one.path, query, self._headers(content_type), body)

    def _bomb(self) -> Hostile:
        return _thrown(self._rng.choice(BOMBS))

    # --- their parts ---

    def _resource(self, verb: str) -> Resource:
        pool = _COMMON if self._rng.random() < 0.5 else kinds.ALL
        return self._rng.choice([resource for resource in pool if verb in resource.verbs])

    def _sub(self, resource: Resource, verb: str, wanted: float) -> str:
        fitting = [sub.name for sub in resource.subresources if verb in sub.verbs]
        return self._rng.choice(fitting) if fitting and self._rng.random() < wanted else ""

    def _name(self) -> str:
        return self._rng.choice(NAMES)

    def _path_of(self, resource: Resource, name: str, sub: str) -> str:
        return resource.path("default" if resource.namespaced else "", name, sub)

    def _tree(self, resource: Resource, sub: str, name: str) -> Any:
        """What a write to a subresource takes: the whole object, or a kind of its own."""
        if sub in _SUB_KINDS:
            return self._sub_object(sub, name)
        return self._objects.of(resource, name)

    def _sub_object(self, sub: str, name: str) -> Any:
        api_version, kind = _SUB_KINDS.get(sub, ("v1", "Pod"))
        tree = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
        return {**tree, **_SUB_PARTS.get(sub, {})}

    def _maybe_mutated(self, tree: Any) -> Any:
        for _ in range(self._rng.choice((0, 1, 1, 1, 2))):
            tree = self._objects.mutated(tree)
        return tree

    def _operation(self, tree: Any) -> Any:
        operation = {
            "op": self._rng.choice(("add", "remove", "replace", "test", "move", "copy", "x")),
            "path": self._objects.pointer(tree),
            "value": self._rng.choice(ODD),
            "from": self._objects.pointer(tree),
        }
        return self._objects.mutated(operation) if self._rng.random() < 0.2 else operation

    def _sending(self, method: str, resource: Resource, sub: str, path: str, tree: Any) -> Hostile:
        content_type = self._rng.choice(_BODIES)
        route = f"{resource.plural}/{sub}" if sub else resource.plural
        body = encoded(tree, content_type, self._rng)
        return Hostile(route, method, path, self._query(0.2), self._headers(content_type), body)

    def _damaged(self, body: bytes) -> bytes:
        how = self._rng.randrange(5)
        at = self._rng.randrange(len(body) + 1)
        if how == 0:
            return body[:at]
        if how == 1:
            return body[:at] + bytes(self._rng.choices(range(256), k=3)) + body[at + 3 :]
        if how == 2:
            return body[:at] + body[at // 2 : at] + body[at:]
        return body if how == 3 else bytes(self._rng.choices(range(256), k=20))

    def _query(self, wanted: float) -> dict[str, str]:
        if self._rng.random() > wanted:
            return {}
        names = self._rng.sample(_PARAMETERS, self._rng.randint(1, 3))
        return {name: self._rng.choice(_VALUES) for name in names}

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"content-type": content_type, "accept": self._rng.choice(_ACCEPTS)}
        user = self._rng.choice(_USERS)
        if user:
            headers["impersonate-user"] = user
            if user.startswith("system:node:"):
                headers["impersonate-group"] = "system:nodes"
        return headers


def _thrown(bomb: Bomb) -> Hostile:
    name, method, path, content_type, make = bomb
    query = {"fieldManager": "f"} if method == "PATCH" else {}
    return Hostile(f"bomb {name}", method, path, query, {"content-type": content_type}, make())
