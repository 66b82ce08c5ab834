"""Requests of the real components, byte for byte, are answered as a real API server did.

`tests/data/component-exchanges.json.gz` holds what kubelet (hollow), kube-controller-manager and
kube-scheduler v1.36.2, with default flags, sent to a kube-apiserver v1.36.2, most of it in
protobuf, and the answers (scripts/select_exchanges.py). Here each is sent to a server on which the
object is as it was there just before.
"""

import base64
import gzip
import json
import re
from difflib import unified_diff
from pathlib import Path
from typing import Any

import orjson
from apicluster import Cluster, api_cluster

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver.edge import routing

DATA = Path(__file__).parents[2] / "data/component-exchanges.json.gz"
EXCHANGES: list[dict[str, Any]] = json.loads(gzip.decompress(DATA.read_bytes()))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
UID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNLIKE = ("uid", "resourceVersion", "token")
OPENSHIFT = "openshift-service-ca.crt"
"""What the recorded binaries add to Kubernetes: a ConfigMap, also in token volumes."""


def name_of(exchange: dict[str, Any]) -> str:
    path = exchange["path"].partition("?")[0]
    return f"{exchange['component']} {exchange['method']} {path} {exchange['status']}"


def shown(value: Any, key: str = "") -> Any:
    """A tree without what differs from run to run."""
    if isinstance(value, dict):
        if value.get("generateName"):
            value = {**value, "name": "GENERATED"}
        return {k: shown(v, k) for k, v in value.items() if k not in UNLIKE}
    if isinstance(value, list):
        if key == "sources":
            value = [one for one in value if (one.get("configMap") or {}).get("name") != OPENSHIFT]
        return [shown(item) for item in value]
    if isinstance(value, str):
        return VOLUME.sub("kube-api-access-?", TIME.sub("TIME", value))
    return value


async def put(cluster: Cluster, resource: kinds.Resource, tree: dict[str, Any]) -> str:
    """Store the object as it is; its resourceVersion here, with as many digits as there."""
    meta, store = tree["metadata"], cluster.store
    version = str(meta["resourceVersion"])
    stored = {"kind": resource.kind, "apiVersion": resource.api_version, **tree}

    def text(revision: int) -> bytes:
        stored["metadata"] = {**meta, "resourceVersion": str(revision)}
        return orjson.dumps(stored)  # as the server writes: a ControllerRevision keeps its text

    where = (resource.group_resource, meta.get("namespace", ""), meta["name"])
    while len(str(store.revision + 1)) < len(version):
        await store.committed(store.put("fillers", "", "x", lambda _: b"{}", None))
    staged = store.put(*where, text, None)
    await store.committed(staged)
    return str(stored["metadata"]["resourceVersion"])


async def remove(cluster: Cluster, route: routing.Route, meta: dict[str, Any]) -> None:
    """Let the object that a request creates not be there."""
    where = (route.resource.group_resource, meta.get("namespace", ""), meta.get("name", ""))
    if cluster.store.head(*where) is not None:
        await cluster.store.committed(cluster.store.delete(*where, lambda _: b"{}"))


async def prepare(cluster: Cluster, exchange: dict[str, Any]) -> bytes:
    """Make what the request needs; its body, for the object as it is here."""
    body = base64.b64decode(exchange["body"])
    path = exchange["path"].partition("?")[0]
    route = routing.parse(exchange["method"], path, {})
    namespace = route.namespace
    if namespace and namespace not in ("default", "kube-system"):
        active = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        meta = {"name": namespace, "uid": "1", "resourceVersion": "1"}
        await put(cluster, kinds.NAMESPACES, {"metadata": meta, **active})
    if namespace:
        account = {"metadata": {"name": "default"}}
        await cluster.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    if exchange["method"] == "POST" and not route.name:
        await remove(cluster, route, exchange["answer"].get("metadata") or {})
    if route.subresource_name == "binding":
        uid = UID.findall(body)[0].decode()
        meta = {"name": route.name, "namespace": namespace, "uid": uid, "resourceVersion": "1"}
        await put(cluster, route.resource, {"metadata": meta, "spec": {"containers": []}})
    if before := exchange["before"]:
        version = str(before["metadata"]["resourceVersion"])
        here = await put(cluster, route.resource, before)
        assert len(here) == len(version)
        body = body.replace(version.encode(), here.encode())
    return body


async def difference(cluster: Cluster, exchange: dict[str, Any]) -> str:
    """What is answered differently, "" if nothing."""
    body = await prepare(cluster, exchange)
    answer = await cluster.call(
        exchange["method"],
        exchange["path"],
        body,
        content_type=exchange["contentType"],
        user_agent=exchange["agent"],
        accept=exchange["accept"].replace("vnd.kubernetes.protobuf", "json"),
    )
    here = {"status": answer.status, "answer": shown(answer.tree)}
    there = {"status": exchange["status"], "answer": shown(exchange["answer"])}
    if here == there:
        return ""
    wanted, found = (
        json.dumps(tree, indent=1, sort_keys=True).splitlines() for tree in (there, here)
    )
    changes = [line for line in unified_diff(wanted, found, lineterm="", n=0) if line[:1] in "+-"]
    return "\n".join([f"{name_of(exchange)}:", *changes[2:]])


async def test_the_answers_are_those_of_kubernetes() -> None:
    async with api_cluster() as cluster:
        found = [await difference(cluster, exchange) for exchange in EXCHANGES]
    assert "\n\n".join(filter(None, found)) == ""


def test_what_is_recorded_is_worth_it() -> None:
    """Every component, most of it in protobuf, and what broke before: status, events, bindings."""
    assert {exchange["component"] for exchange in EXCHANGES} == {"kcm", "node", "sched"}
    protobuf = [e for e in EXCHANGES if e["contentType"].endswith("protobuf")]
    assert len(protobuf) > len(EXCHANGES) / 2
    paths = {e["path"].partition("?")[0].rpartition("/")[2] for e in protobuf}
    assert {"nodes", "binding", "events", "controllerrevisions", "pods", "status"} <= paths
