"""Whatever a client sends, the answer is a Status or a success, never a fault of the server."""

import asyncio
import json
from typing import Any

import orjson
from apicluster import ADMIN, BOB, MANAGER, NODE, api_cluster, daemon_set, pod
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver.edge.messages import (
    ANONYMOUS,
    ApiRequest,
    ApiResponse,
    WatchResponse,
)

_SEGMENTS = st.sampled_from(
    ["", "api", "apis", "v1", "apps", "namespaces", "default", "kube-system", "pods", "nodes",
     "daemonsets", "configmaps", "watch", "status", "scale", "binding", "eviction", "log", "x",
     "..", "%", "a/b", "healthz", "openapi", "v2", "v3", "version", "events", "leases"]
) | st.text(max_size=8)  # fmt: skip
_RESOURCES = st.sampled_from(kinds.ALL)
_NAMES = st.sampled_from(["x", "p", "d", "default", "n1", "ghost", "UPPER", "a.b", "-", "é"])


@st.composite
def _resource_paths(draw: st.DrawFn) -> str:
    resource = draw(_RESOURCES)
    namespace = draw(st.sampled_from(["", "default", "kube-system", "ghost"]))
    name = draw(st.just("") | _NAMES)
    subs = [sub.name for sub in resource.subresources] + ["nothing"]
    sub = draw(st.just("") | st.sampled_from(subs)) if name else ""
    return resource.path(namespace, name, sub)


_PATHS = _resource_paths() | st.lists(_SEGMENTS, max_size=8).map(lambda p: "/" + "/".join(p))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "status", "name", "labels", "kind", "apiVersion", "data",
                 "containers", "template", "selector", "matchLabels", "finalizers", "op", "path",
                 "value", "from", "$patch", "managedFields", "ownerReferences", "target",
                 "generateName", "image", "replicas", "resourceVersion", "annotations", "taints"]
            ) | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


def _mutated(valid: object, draw: st.DrawFn) -> Any:
    """A valid object with one part replaced by anything."""
    tree = json.loads(json.dumps(valid))
    node, path = tree, []
    while isinstance(node, dict | list) and node and draw(st.booleans()) is not True:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        path.append(key)
        node = node[key]
    if not path:
        return tree
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = draw(_JSON)
    return tree


_META = {"name": "x", "labels": {"a": "b"}, "annotations": {"k": "v"}, "finalizers": ["a.b/c"],
         "ownerReferences": [
             {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]}  # fmt: skip
_OBJECTS: dict[str, dict[str, object]] = {
    "pods": {**pod("x", tolerations=[{"key": "a", "operator": "Exists"}], nodeName="n1",
                   priorityClassName="system-node-critical", hostNetwork=True)},
    "daemonsets.apps": daemon_set("x"),
    "deployments.apps": daemon_set("x"),
    "nodes": {"metadata": _META, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
              "status": {"capacity": {"cpu": "1"}, "conditions": [{"type": "Ready"}]}},
    "namespaces": {"metadata": _META, "spec": {"finalizers": ["kubernetes"]}},
    "configmaps": {"metadata": _META, "data": {"a": "b"}, "immutable": True},
    "secrets": {"metadata": _META, "data": {"a": "Yg=="}, "type": "Opaque"},
    "services": {"metadata": _META, "spec": {"ports": [{"port": 80}]}},
    "leases.coordination.k8s.io": {
        "metadata": _META,
        "spec": {"holderIdentity": "h", "renewTime": "2026-01-01T00:00:00.000000Z"}},
    "events": {"metadata": _META, "involvedObject": {"kind": "Pod", "namespace": "default"},
               "count": 1, "reason": "r", "message": "m", "type": "Normal"},
    "events.events.k8s.io": {"metadata": _META, "eventTime": "2026-01-01T00:00:00.000000Z",
                             "regarding": {"kind": "Pod", "namespace": "default"}, "note": "n"},
    "controllerrevisions.apps": {"metadata": _META, "data": {"a": 1}, "revision": 1},
    "poddisruptionbudgets.policy": {"metadata": _META, "spec": {
        "minAvailable": 1, "selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}},
    "priorityclasses.scheduling.k8s.io": {"metadata": _META, "value": 1, "globalDefault": True},
    "clusterroles.rbac.authorization.k8s.io": {"metadata": _META, "rules": [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}},
    "rolebindings.rbac.authorization.k8s.io": {"metadata": _META, "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "x", "namespace": "default"}]},
    "limitranges": {"metadata": _META, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "1"}}]}},
    "horizontalpodautoscalers.autoscaling": {"metadata": _META, "spec": {
        "maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "x"}}},
    "selfsubjectaccessreviews.authorization.k8s.io": {"metadata": {}, "spec": {
        "resourceAttributes": {"verb": "get", "resource": "pods"}}},
    "selfsubjectrulesreviews.authorization.k8s.io": {"metadata": {}, "spec": {
        "namespace": "default"}},
    "bindings": {"metadata": {"name": "x"}, "target": {"kind": "Node", "name": "n1"}},
    "pods/binding": {"metadata": {"name": "x"}, "target": {"kind": "Node", "name": "n1"}},
    "pods/eviction": {"metadata": {"name": "x"}, "deleteOptions": {"gracePeriodSeconds": 1}},
    "deployments/scale": {"metadata": {"name": "x"}, "spec": {"replicas": 2}},
}  # fmt: skip
_FITTING = [r for r in kinds.ALL if r.group_resource in _OBJECTS]


@st.composite
def _mutants(draw: st.DrawFn) -> object:
    return _mutated(draw(st.sampled_from(list(_OBJECTS.values()))), draw)


def _patch_body(draw: st.DrawFn, content_type: str, mutant: object) -> bytes:
    if content_type != "application/json-patch+json":
        return json.dumps(mutant).encode()
    operation = st.fixed_dictionaries({
        "op": st.sampled_from(["add", "remove", "replace", "test", "move", "copy", "bad"]),
        "path": st.sampled_from(["/spec", "/metadata/labels", "/metadata", "", "/a~1b", "/spec/-",
                                 "/spec/template/spec/containers/0/image", "/metadata/name"]),
        "value": _JSON,
    }, optional={"from": st.sampled_from(["/metadata", "/spec", "/x"])})  # fmt: skip
    return json.dumps(draw(st.lists(operation, max_size=3))).encode()


@st.composite
def _fitting_requests(draw: st.DrawFn) -> ApiRequest:
    """Requests that get past routing: an allowed verb, a nearly valid body."""
    resource = draw(st.sampled_from(_FITTING))
    namespace = "default" if resource.namespaced else ""
    on_item = draw(st.booleans()) and "get" in resource.verbs
    sub = ""
    if on_item and draw(st.booleans()) and resource.subresources:
        sub = draw(st.sampled_from(resource.subresources)).name
    methods = ["GET", "PUT", "PATCH", "DELETE"] if on_item else ["GET", "POST", "DELETE"]
    method = draw(st.sampled_from(["POST", "PUT", "PATCH", "GET"] if sub else methods))
    key = f"{resource.plural}/{sub}"
    mutant = _mutated(_OBJECTS.get(key, _OBJECTS[resource.group_resource]), draw)
    headers = {"content-type": "application/json", "accept": "application/json"}
    body = json.dumps(mutant).encode()
    if draw(st.integers(0, 4)) == 0:
        headers["accept"] = draw(_ACCEPTS)
    query: dict[str, str] = {}
    no_query: dict[str, str] = {}
    if method == "PATCH":
        headers["content-type"] = draw(st.sampled_from(_PATCH_TYPES))
        body = _patch_body(draw, headers["content-type"], mutant)
        if headers["content-type"] == "application/apply-patch+yaml":
            query = {"fieldManager": "f", "force": draw(st.sampled_from(["", "true"]))}
            if isinstance(mutant, dict):
                full = {"kind": resource.kind, "apiVersion": resource.api_version, **mutant}
                body = json.dumps(full).encode()
    elif method == "GET":
        body = b""
    elif method == "DELETE":
        options = {"gracePeriodSeconds": 0, "propagationPolicy": "Orphan", "preconditions": {}}
        body = draw(st.just(b"") | st.just(json.dumps(_mutated(options, draw)).encode()))
    query |= draw(st.just(no_query) | _QUERIES)
    if "watch" in query:
        query |= {"poll": "1", "timeoutSeconds": "0"}
    user = draw(st.sampled_from([ADMIN, ADMIN, ADMIN, MANAGER, NODE]))
    name = draw(st.sampled_from(["x", "x", "x", "p", "d", "default"])) if on_item else ""
    return ApiRequest(method, resource.path(namespace, name, sub), query, headers, body, user)


_PATCH_TYPES = [
    "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml",
]  # fmt: skip
_BODIES = (
    st.binary(max_size=40)
    | _JSON.map(lambda tree: json.dumps(tree).encode())
    | _mutants().map(lambda tree: json.dumps(tree).encode())
)
_TYPES = st.sampled_from(
    ["", "application/json", "application/yaml", "application/msgpack", "text/plain",
     "application/vnd.kubernetes.protobuf", "application/json-patch+json",
     "application/merge-patch+json", "application/strategic-merge-patch+json",
     "application/apply-patch+yaml", "application/json; charset=utf-8", ";;", "é"]
)  # fmt: skip
_ACCEPTS = st.sampled_from(
    ["", "*/*", "application/json", "application/yaml", "application/msgpack", "text/html",
     "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;stream=watch",
     "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,*/*", "q=é;;,"]
)  # fmt: skip
_QUERIES = st.dictionaries(
    st.sampled_from(
        ["watch", "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector",
         "fieldSelector", "fieldManager", "force", "dryRun", "fieldValidation", "pretty",
         "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "sendInitialEvents",
         "allowWatchBookmarks", "includeObject", "container", "exclude", "verbose"]
    ),
    st.sampled_from(
        ["", "1", "0", "-1", "true", "false", "x", "a=b", "a in (b,c)", "!a", "metadata.name=x",
         "spec.nodeName=n1", "All", "Strict", "Warn", "Exact", "NotOlderThan", "Orphan",
         "Foreground", "99999999999999999999", "é", "Object", "None", "a=b,c!=d",
         "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJ4In0"]
    ) | st.text(max_size=8),
    max_size=4,
)  # fmt: skip
_METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "FOO"])
_USERS = st.sampled_from([ADMIN, ADMIN, ADMIN, NODE, BOB, ANONYMOUS])
_REQUESTS = st.builds(
    lambda method, path, query, content_type, accept, body, user: ApiRequest(
        method,
        path,
        {**query, "poll": "1", "timeoutSeconds": "0"} if "watch" in query else query,
        {"content-type": content_type, "accept": accept, "user-agent": "fuzz/1"},
        body,
        user,
    ),
    _METHODS, _PATHS, _QUERIES, _TYPES, _ACCEPTS, _BODIES, _USERS,
)  # fmt: skip


def _is_fault(response: ApiResponse) -> bool:
    """Whether the server failed: bad input for which Kubernetes has no Status is a 500, too, but
    names no reason (`errors.PlainError`)."""
    return response.status == 500 and b"InternalError" in response.body


async def _run(requests: list[ApiRequest]) -> None:
    async with api_cluster(speed=1000.0) as cluster:
        for name in ("p", "x"):
            await cluster.post("/api/v1/namespaces/default/pods", pod(name))
        await cluster.post("/apis/apps/v1/namespaces/default/daemonsets", daemon_set("d"))
        for request in requests:
            revision = cluster.store.revision
            response = await cluster.api.handle(request)
            if isinstance(response, WatchResponse):
                await response.chunks.aclose()
                continue
            assert isinstance(response, ApiResponse)
            assert not _is_fault(response), (request, response.body)
            if response.status >= 400:
                assert cluster.store.revision == revision, (request, response.body)
                if response.content_type == "application/json":
                    status = orjson.loads(response.body)
                    assert status["kind"] == "Status"
                    assert status["code"] == response.status


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_REQUESTS, min_size=5, max_size=25))
@example([ApiRequest("GET", "", {}, {}), ApiRequest("GET", "no-slash", {}, {}, user=ADMIN)])
def test_no_request_is_answered_with_500(requests: list[ApiRequest]) -> None:
    asyncio.run(_run(requests))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_fitting_requests(), min_size=10, max_size=30))
def test_no_nearly_valid_request_is_answered_with_500(requests: list[ApiRequest]) -> None:
    asyncio.run(_run(requests))
