"""port-forward: its script, its ports, and conversations on a real TLS socket."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from apicluster import Cluster
from patience import PATIENCE_S
from wireserver import Served, serving

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.streams import forwarding, portscript
from kubeherd.cluster.apiserver.streams.inbox import Inbox

PODS = "/api/v1/namespaces/default/pods"
SCRIPT = {"80": {"body": "<p>hi</p>", "contentType": "text/html"}, "5432": "N"}


def _annotated(text: str) -> dict[str, str]:
    return {"kubeherd.io/port-forward": text}


def _scripted(text: str) -> JsonObject:
    return {"kind": "Pod", "metadata": {"name": "p", "annotations": _annotated(text)}, "spec": {}}


def test_a_text_is_sent_as_it_is_and_a_body_as_http() -> None:
    pod = _scripted(json.dumps({**SCRIPT, "81": {"body": "é", "status": 404}}))
    assert portscript.reply(pod, 5432) == b"N"
    assert portscript.reply(pod, 80) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n"
        b"Connection: close\r\n\r\n<p>hi</p>"
    )
    missing = portscript.reply(pod, 81) or b""
    assert missing.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"Content-Length: 2\r\n" in missing
    assert portscript.reply(pod, 82) is None


@pytest.mark.parametrize("text", ["", "{", '{"80": 5}', '{"80": {"status": 99}}', "\ud800"])
def test_what_cannot_be_read_counts_as_absent(text: str) -> None:
    assert portscript.reply(_scripted(text), 80) is None


HELLO = 'echo -e "HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nhi\\n"'


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"while true; do {HELLO} | nc -l -p 8080 || true; done", b"OK"),
        (f"while :\ndo\n {HELLO} | nc -lk -w 1 -p 8080\ndone\n", b"OK"),
        (f"until false; do {HELLO} | busybox nc -nlp 8080; done", b"OK"),
        ("while true; do echo -n 'a  b' c | nc -l 8080; done", b"a  b c"),
        (f"while true; do {HELLO} | nc -l -p 8081; done", None),
        (f"while true; do {HELLO} | nc -p 8080; done", None),
        (f"while true; do {HELLO} | nc -l -p 8080 -e sh; done", None),
        (f"{HELLO} | nc -l -p 8080", None),
        (f"while true; do {HELLO} | cat | nc -l -p 8080; done", None),
        ("while true; do echo $(date) | nc -l -p 8080; done", None),
        ("while true; do echo 'a\\q' | nc -l -p 8080; done", None),
        ("while true; do date | nc -l -p 8080; done", None),
        ("while true; do nc -l -p 8080; done", None),
        ("while true; do", None),
        ("'", None),
    ],
)
def test_netcat_in_a_loop_says_its_text(script: str, said: bytes | None) -> None:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    expected = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n\n" if said == b"OK" else said
    assert portscript.reply(pod, 8080) == expected


def test_the_ports_of_a_request() -> None:
    assert portscript.ports(["80,443", "8080"]) == [80, 443, 8080]
    for values, why in (
        ([], 'query parameter "port" is required'),
        (["0"], 'port "0" must be > 0'),
        (["http"], 'unable to parse "http" as a port'),
        (["65536"], 'unable to parse "65536" as a port'),
        (["-1"], 'unable to parse "-1" as a port'),
    ):
        with pytest.raises(BadRequest, match=why):
            portscript.ports(values)


async def test_a_local_port_is_reached() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    heard = bytearray()
    inbox = Inbox()

    async def send(data: bytes) -> None:
        heard.extend(data)
        if heard.endswith(b"B\n"):
            server.close()
            talking.cancel()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    talking = asyncio.create_task(forwarding.relay("p", port, inbox, send))
    for line in (b"a\n", b"b\n"):
        await inbox.put(line)
    await asyncio.wait((talking,), timeout=PATIENCE_S)
    assert bytes(heard) == b"A\nB\n"
    await server.wait_closed()
    assert await forwarding.relay("p", port, inbox, send) == (
        f"error forwarding port {port} to pod p: failed to connect to localhost:{port}: "
        "connect: connection refused"
    )


def _running(phase: str = "Running") -> dict[str, Any]:
    entry = {"name": "c", "containerID": "fake://1", "state": {"running": {}}}
    return {"status": {"phase": phase, "containerStatuses": [entry]}}


def _pod() -> dict[str, Any]:
    metadata = {"name": "p", "annotations": _annotated(json.dumps(SCRIPT))}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "x"}]}}


BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}


async def test_refusals(cluster: Cluster) -> None:
    path = f"{PODS}/p/portforward?ports=80"
    assert (await cluster.get(path)).message == 'pods "p" not found'
    await cluster.post(PODS, _pod())
    assert (await cluster.get(path)).message == "pod p does not have a host assigned"
    await cluster.post(f"{PODS}/p/binding", BINDING)
    answer = await cluster.get(path)
    assert answer.status == 400
    assert answer.message == 'unable to upgrade connection: pod not found ("p_default")'
    await cluster.patch(f"{PODS}/p/status", _running())
    assert (await cluster.get(path)).message == "Upgrade request required"
    answer = await cluster.post(path, None, connection="Upgrade", upgrade="SPDY/3.1")
    assert "header X-Stream-Protocol-Version does not exist" in answer.message


async def _talk(served: Served, ports: str, *says: bytes) -> list[bytes]:
    async with served.admin() as admin, asyncio.timeout(PATIENCE_S):
        path = f"{PODS}/p/portforward?ports={ports}"
        async with admin.ws_connect(path, protocols=("v4.channel.k8s.io",)) as socket:
            for message in says:
                await socket.send_bytes(message)
            return [message.data async for message in socket]


async def test_conversations(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        async with served.admin() as admin:
            await admin.post(PODS, json=_pod())
            await admin.post(f"{PODS}/p/binding", json=BINDING)
            kind = {"Content-Type": "application/merge-patch+json"}
            await admin.patch(f"{PODS}/p/status", json=_running(), headers=kind)
        heard = await _talk(served, "80", b"\x00GET / HTTP/1.1\r\n\r\n")
        assert heard[:2] == [b"\x00\x50\x00", b"\x01\x50\x00"]
        assert heard[2].startswith(b"\x00HTTP/1.1 200 OK\r\n")
        heard = await _talk(served, "80,5432", b"\x02ssl?", b"\x00GET /", b"\x09x", b"\x01x")
        assert heard[:4] == [b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\x38\x15", b"\x03\x38\x15"]
        assert b"\x02N" in heard[4:]
        (_, _, error) = await _talk(served, "99")
        assert error.startswith(b"\x01error forwarding port 99 to pod p, uid ")
