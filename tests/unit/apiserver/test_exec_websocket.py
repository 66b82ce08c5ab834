"""exec: refusals before the upgrade in process, sessions on a real TLS socket."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from apicluster import BOB, Cluster
from patience import PATIENCE_S
from wireserver import Served, serving

from kubeherd.cluster.api.remotecommand import channels
from kubeherd.cluster.apiserver.edge.websocket import AiohttpSocket

PODS = "/api/v1/namespaces/default/pods"
UPGRADE = {"connection": "Upgrade", "upgrade": "websocket"}
SCRIPT = {"cat /x": "text\n", "fail": {"stderr": "bad\n", "exitCode": 3}}


def _pod(**metadata: object) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "x"}]}
    return {"metadata": {"name": "p", **metadata}, "spec": spec}


def _running(container_id: str = "fake://1") -> dict[str, Any]:
    entry = {"name": "c", "containerID": container_id, "state": {"running": {}}}
    return {"status": {"phase": "Running", "containerStatuses": [entry]}}


async def _bound(cluster: Cluster) -> None:
    await cluster.post(PODS, _pod())
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await cluster.post(f"{PODS}/p/binding", binding)).status == 201


async def test_the_pod_is_looked_at_before_anything_else(cluster: Cluster) -> None:
    path = f"{PODS}/p/exec?command=ls"
    assert (await cluster.get(path)).message == 'pods "p" not found'
    await cluster.post(PODS, _pod())
    answer = await cluster.get(f"{path}&container=z")
    assert (answer.status, answer.message) == (400, "container z is not valid for pod p")
    answer = await cluster.get(path)
    assert (answer.status, answer.message) == (400, "pod p does not have a host assigned")


async def test_attach_wants_a_running_container(cluster: Cluster) -> None:
    await _bound(cluster)
    path = f"{PODS}/p/attach?stdout=true"
    answer = await cluster.get(path)
    assert answer.message == "unable to upgrade connection: container c not found in pod p_default"
    await cluster.patch(f"{PODS}/p/status", _running())
    assert (await cluster.get(path)).message == "Upgrade request required"


async def test_what_is_no_session_is_refused(cluster: Cluster) -> None:
    await _bound(cluster)
    path = f"{PODS}/p/exec?command=ls"
    answer = await cluster.get(path)
    assert (answer.status, answer.message) == (
        400,
        "you must specify at least 1 of stdin, stdout, stderr",
    )
    path += "&stdout=true"
    answer = await cluster.get(path)
    assert answer.status == 400
    assert answer.message == 'unable to upgrade connection: container not found ("c")'
    await cluster.patch(f"{PODS}/p/status", _running("containerd://1"))
    assert (await cluster.get(path)).message == 'the kubelet of node "n1" is not one of kubeherd\'s'
    await cluster.patch(f"{PODS}/p/status", _running())
    answer = await cluster.get(f"{PODS}/p/exec?stdout=true")
    assert (answer.status, answer.message) == (400, "you must specify a command")


async def test_a_websocket_needs_the_right_to_create(cluster: Cluster) -> None:
    await _bound(cluster)
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]
    await cluster.post(f"{path}/roles", {"metadata": {"name": "r"}, "rules": rules})
    subject = {"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": role}
    assert (await cluster.post(f"{path}/rolebindings", binding)).status == 201
    answer = await cluster.get(f"{PODS}/p/exec?command=ls&stdout=true", user=BOB)
    assert answer.status == 403
    assert 'User "bob" cannot create resource "pods/exec"' in answer.message
    await cluster.patch(f"{path}/roles/r", {"rules": [{**rules[0], "verbs": ["get", "create"]}]})
    answer = await cluster.get(f"{PODS}/p/exec?command=ls&stdout=true", user=BOB)
    assert answer.status == 400


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served, served.admin() as admin:
        annotations = {"kubeherd.io/exec": json.dumps(SCRIPT)}
        await admin.post(PODS, json=_pod(annotations=annotations))
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
        await admin.post(f"{PODS}/p/binding", json=binding)
        kind = {"Content-Type": "application/merge-patch+json"}
        await admin.patch(f"{PODS}/p/status", json=_running(), headers=kind)
        yield served


async def test_a_client_has_time_to_make_its_channels(served: Served) -> None:
    # kubectl 1.32 discards what comes on a channel that it has not made yet, the Status too.
    async with served.admin() as admin:
        path = f"{PODS}/p/exec?command=ls&stdout=true"
        begun = asyncio.get_running_loop().time()
        async with admin.ws_connect(path, protocols=("v5.channel.k8s.io",)) as client:
            await client.receive_bytes()
            assert asyncio.get_running_loop().time() - begun >= channels.OPENING_S


async def _exec(served: Served, query: str, protocol: str) -> list[Any]:
    """All messages of a session."""
    async with served.admin() as admin:
        protocols = (protocol,) if protocol else ()
        socket = await admin.ws_connect(f"{PODS}/p/exec?{query}", protocols=protocols)
        async with socket, asyncio.timeout(PATIENCE_S):
            assert socket.protocol == (protocol or None)
            return [message.data async for message in socket]


async def test_v5_is_output_and_a_status(served: Served) -> None:
    query = "command=cat&command=/x&stdout=true&stderr=true"
    output, status = await _exec(served, query, "v5.channel.k8s.io")
    assert output == b"\x01text\n"
    assert (status[:1], json.loads(status[1:])) == (
        b"\x03",
        {"metadata": {}, "status": "Success"},
    )


async def test_the_end_comes_in_one_piece_with_the_status() -> None:
    """Clients drop the connection on the status; one that reads in a thread must have the end."""
    told: list[str] = []
    let_go = asyncio.Event()

    class Response(web.WebSocketResponse):
        async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
            told.append(data.decode())

        async def close(self, **_: Any) -> bool:
            told.append("end")
            await let_go.wait()  # it waits for the client, who must have it by then
            return True

    class Connected(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return self if name == "socket" else default

        def is_closing(self) -> bool:
            return False

        def setsockopt(self, level: int, option: int, value: int) -> None:
            assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_CORK)
            told.append("held" if value else "let go")
            if not value:
                let_go.set()

    transport = Connected()
    async with asyncio.timeout(PATIENCE_S):
        await AiohttpSocket(Response(), transport).close(b"status")
    assert told == ["held", "status", "end", "let go"]


async def test_v4_begins_with_an_empty_message(served: Served) -> None:
    query = "command=fail&stdout=true&stderr=true"
    first, output, status = await _exec(served, query, "v4.channel.k8s.io")
    assert (first, output) == (b"\x01", b"\x02bad\n")
    tree = json.loads(status[1:])
    assert tree["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_base64_and_terminal(served: Served) -> None:
    query = "command=fail&stdout=true&stderr=true&tty=true"
    first, output, status = await _exec(served, query, "v4.base64.channel.k8s.io")
    assert (first, output) == ("1", "1YmFkDQo=")  # a terminal shows both streams as one
    assert status.startswith("3")


async def test_without_a_subprotocol_only_failures_are_told(served: Served) -> None:
    first, output = await _exec(served, "command=cat&command=/x&stdout=true", "")
    assert (first, output) == (b"\x01", b"\x01text\n")
    _, output, error = await _exec(served, "command=fail&stdout=true&stderr=true", "")
    assert (output, error) == (
        b"\x02bad\n",
        b"\x03command terminated with non-zero exit code: exit status 3",
    )


async def test_streams_that_were_not_asked_for_are_silent(served: Served) -> None:
    (status,) = await _exec(served, "command=fail&stdin=true", "v5.channel.k8s.io")
    assert status[:1] == b"\x03"


async def test_a_megabyte_may_come_at_once(served: Served) -> None:
    async with served.admin() as admin, asyncio.timeout(PATIENCE_S):
        path = f"{PODS}/p/exec?command=sleep&command=0.5&stdin=true&stdout=true"
        async with admin.ws_connect(path, protocols=("v5.channel.k8s.io",)) as socket:
            await socket.send_bytes(bytes((0,)) + b"x" * 1024 * 1024)
            assert json.loads((await socket.receive()).data[1:])["status"] == "Success"


async def test_a_client_may_go_before_the_end(served: Served) -> None:
    async with served.admin() as admin, asyncio.timeout(PATIENCE_S):
        path = f"{PODS}/p/exec?command=sleep&command=1000&stdout=true"
        async with admin.ws_connect(path, protocols=("v5.channel.k8s.io",)) as socket:
            await socket.close()
        assert (await admin.get(f"{PODS}/p")).status == 200


async def test_refusals_are_a_status(served: Served) -> None:
    async with served.admin() as admin:
        path = f"{PODS}/p/exec?command=ls&stdout=true"
        for headers, text in (
            ({}, "Upgrade request required"),
            ({"Connection": "Upgrade", "Upgrade": "h2c"}, "missing upgrade headers"),
        ):
            answer = await admin.post(path, headers=headers)
            assert answer.status == 400
            assert text in (await answer.json())["message"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await admin.ws_connect(path, protocols=("soap",))
        assert refused.value.status == 400


async def test_attach_ends_with_the_container(served: Served) -> None:
    async with served.admin() as admin, asyncio.timeout(PATIENCE_S):
        path = f"{PODS}/p/attach?stdout=true&stderr=true"
        async with admin.ws_connect(path, protocols=("v4.channel.k8s.io",)) as socket:
            assert (await socket.receive()).data == b"\x01"
            ended = {"name": "c", "containerID": "fake://1", "state": {"terminated": {}}}
            kind = {"Content-Type": "application/merge-patch+json"}
            status = {"status": {"containerStatuses": [ended]}}
            await admin.patch(f"{PODS}/p/status", json=status, headers=kind)
            assert json.loads((await socket.receive()).data[1:])["status"] == "Success"
