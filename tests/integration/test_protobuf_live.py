"""A client that speaks protobuf only, over real HTTP: a DaemonSet from its creation to its end."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl

import pytest
from liveherd import Herd
from patience import PATIENCE_S
from protowire import parts

from kubeherd.cluster.api.serializer.protobuf import bodies
from kubeherd.cluster.client.transport import TransportResponse

pytestmark = pytest.mark.integration

PROTOBUF = "application/vnd.kubernetes.protobuf"
SETS = "/apis/apps/v1/namespaces/default/daemonsets"
PODS = "/api/v1/namespaces/default/pods"
LABELS = {"app": "d"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
DAEMON_SET = {
    "kind": "DaemonSet",
    "apiVersion": "apps/v1",
    "metadata": {"name": "d"},
    "spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE},
}


async def send(
    herd: Herd, method: str, path: str, tree: Any = None, accept=PROTOBUF
) -> TransportResponse:
    path, _, query = path.partition("?")
    return await herd.client.transport.request(
        method,
        path,
        query=dict(parse_qsl(query)),
        body=bodies.encode(tree) if tree else b"",
        content_type=PROTOBUF,
        accept=accept,
        timeout_s=PATIENCE_S,
    )


async def shown(herd: Herd, method: str, path: str, tree: Any = None) -> Any:
    response = await send(herd, method, path, tree)
    assert response.content_type == PROTOBUF
    return bodies.decode(response.body)


async def events(herd: Herd, path: str) -> AsyncGenerator[tuple[str, Any]]:
    path, _, query = path.partition("?")
    data = b""
    accept = f"{PROTOBUF};stream=watch"
    stream = herd.client.transport.stream(path, query=dict(parse_qsl(query)), accept=accept)
    async with aclosing(stream):
        async for chunk in stream:
            data += chunk
            while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "big")):
                event = parts(data[4:end])
                data = data[end:]
                yield event[1].decode(), bodies.decode(parts(event[2])[1])


@pytest.mark.kubeherd(nodes=1)
async def test_a_daemon_set_in_protobuf(herd: Herd):
    created = await shown(herd, "POST", SETS, DAEMON_SET)
    assert created["spec"]["updateStrategy"]["type"] == "RollingUpdate"
    since = created["metadata"]["resourceVersion"]

    seen = []
    async with aclosing(
        events(herd, f"{PODS}?watch=1&timeoutSeconds=900&resourceVersion={since}")
    ) as pods:
        async for type_, pod in pods:
            seen.append(type_)
            conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", ())}
            if conditions.get("Ready") == "True":
                break
    assert seen[0] == "ADDED"
    assert seen.count("ADDED") == 1

    listed = await shown(herd, "GET", f"{PODS}?labelSelector=app%3Dd")
    assert listed["items"][0]["metadata"]["name"] == pod["metadata"]["name"]
    in_json = await send(
        herd, "GET", f"{PODS}/{pod['metadata']['name']}", accept="application/json"
    )
    assert json.loads(in_json.body)["spec"]["nodeName"] == pod["spec"]["nodeName"]

    for _ in range(10):  # the controller writes the status meanwhile
        current = await shown(herd, "GET", f"{SETS}/d")
        current["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
        changed = await shown(herd, "PUT", f"{SETS}/d", current)
        if changed.get("reason") != "Conflict":
            break
    assert changed["metadata"]["generation"] == current["metadata"]["generation"] + 1

    options = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "propagationPolicy": "Background"}
    gone = await shown(herd, "DELETE", f"{SETS}/d", options)
    assert (gone["kind"], gone["status"]) == ("Status", "Success")
    missing = await send(herd, "GET", f"{SETS}/d")
    assert (missing.status, bodies.decode(missing.body)["reason"]) == (404, "NotFound")
