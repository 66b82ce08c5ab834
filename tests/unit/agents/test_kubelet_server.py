"""A kubelet's server: who may ask, logs, exec over WebSocket (agents/kubelet/server.py)."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from daemonset_world import EPOCH
from scripted_transport import Answer, ScriptedTransport

from kubeherd.agents.kubelet import remotecommand, server
from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.launcher.pki import Authority, Identity
from kubeherd.simulation.virtualtime import VirtualClock

LOGS = "/containerLogs/default/web/app"
EXEC = "/exec/default/web/app?output=1&error=1"
LINES = "".join(f"2026-03-01T10:00:0{second}Z stdout F line {second}\n" for second in range(4))


def pod(**state: object) -> JsonObject:
    started = {"startedAt": "2026-03-01T10:00:00Z"}
    entry = {
        "name": "app",
        "containerID": "fake://1",
        "image": "nginx",
        "state": state or {"running": started},
    }
    script = {"hostname": "web\n", "fail": {"stderr": "no\n", "exitCode": 3}}
    return {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u1",
            "annotations": {"kubeherd.io/exec": json.dumps(script)},
        },
        "spec": {"nodeName": "node-0", "containers": [{"name": "app", "image": "nginx"}]},
        "status": {"containerStatuses": [entry]},
    }


class Api:
    """Knows one pod, the token `good`, and that `system:masters` may do everything."""

    def __init__(self) -> None:
        self.pod = pod()
        self.asked: list[JsonObject] = []

    def __call__(self, _method: str, path: str, body: JsonObject) -> Answer:
        if path.endswith("/tokenreviews"):
            known = body["spec"]["token"] == "good"
            user = {"username": "ann", "groups": ["system:masters"]} if known else {}
            return {"status": {"authenticated": known, "user": user}}
        if path.endswith("/subjectaccessreviews"):
            self.asked.append(body["spec"])
            return {"status": {"allowed": "system:masters" in body["spec"]["groups"]}}
        if path == "/api/v1/namespaces/default/pods/web":
            return self.pod
        return errors.not_found(PODS, path.rpartition("/")[2])


class World:
    """A kubelet's server and clients of it."""

    def __init__(self, directory: Path) -> None:
        self.api = Api()
        self.authority = Authority.create()
        self.directory = directory
        self.port = 0
        logs = directory / "u1"
        logs.mkdir()
        (logs / "app.log").write_text(LINES)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["World"]:
        clock = VirtualClock(EPOCH)
        client = ApiClient(ScriptedTransport(self.api), clock, private_features=False)
        facts = server.KubeletFacts(
            "node-0", client, clock, self.authority.certificate_pem, self.directory
        )
        async with server.serving(facts) as self.port:
            yield self

    @asynccontextmanager
    async def client(
        self, token: str = "good", identity: Identity | None = None
    ) -> AsyncIterator[aiohttp.ClientSession]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if identity is not None:
            pair, file = self.authority.issue_client(identity), self.directory / "client.pem"
            file.write_bytes(pair.key + pair.certificate)
            context.load_cert_chain(file)
        connector = aiohttp.TCPConnector(ssl=context)
        base = f"https://{server.ADDRESS}:{self.port}"
        async with aiohttp.ClientSession(base, connector=connector, headers=headers) as session:
            yield session

    async def get(
        self, target: str, token: str = "good", identity: Identity | None = None
    ) -> tuple[int, str]:
        async with (
            self.client(token, identity) as client,
            client.get(target, timeout=aiohttp.ClientTimeout(10)) as answer,
        ):
            return answer.status, await answer.text()

    async def run(self, query: str, protocol: str) -> list[bytes]:
        """The messages with which a command is answered."""
        async with (
            self.client() as client,
            client.ws_connect(f"{EXEC}&{query}", protocols=[protocol], timeout=WAIT) as socket,
        ):
            return [message.data async for message in socket]


WAIT = aiohttp.ClientWSTimeout(ws_receive=10, ws_close=10)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path).serving() as world:
        yield world


async def test_nobody_is_answered_without_credentials(world: World) -> None:
    assert await world.get("/healthz", token="") == (401, "Unauthorized\n")
    assert await world.get("/healthz", token="bad") == (401, "Unauthorized\n")
    assert world.api.asked == []


async def test_who_is_known_needs_the_right(world: World) -> None:
    stranger = Identity("bob", ("dev",))
    status, text = await world.get(LOGS, "", stranger)
    assert (status, text) == (
        403,
        "Forbidden (user=bob, verb=get, resource=nodes, subresource(s)=[proxy])\n",
    )
    wanted = {"verb": "get", "version": "v1", "resource": "nodes", "name": "node-0"}
    assert world.api.asked[-1]["resourceAttributes"] == {**wanted, "subresource": "proxy"}


async def test_a_certificate_of_the_cluster_is_an_identity(world: World) -> None:
    assert await world.get("/healthz", "", Identity("kube-apiserver", ("system:masters",))) == (
        200,
        "ok",
    )
    assert (world.api.asked[-1]["user"], world.api.asked[-1]["groups"]) == (
        "kube-apiserver",
        ["system:masters"],
    )


async def test_the_lines_of_a_container(world: World) -> None:
    assert await world.get(LOGS) == (200, "line 0\nline 1\nline 2\nline 3\n")
    assert await world.get(f"{LOGS}?tailLines=1&timestamps=true") == (
        200,
        "2026-03-01T10:00:03.000000000Z line 3\n",
    )
    since = "2026-03-01T10:00:02Z"
    assert await world.get(f"{LOGS}?sinceTime={since}&limitBytes=9") == (200, "line 2\nli")


async def test_a_followed_log_ends_with_its_container(world: World) -> None:
    world.api.pod = pod(terminated={"exitCode": 0, "startedAt": "2026-03-01T10:00:00Z"})
    assert (await world.get(f"{LOGS}?follow=true"))[1].endswith("line 3\n")


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        (f"{LOGS}?tailLines=x", 400, '{"message": "Unable to decode query."}\n'),
        (
            f"{LOGS}?previous=true",
            400,
            'previous terminated container "app" in pod "web" not found\n',
        ),
        ("/containerLogs/default/other/app", 404, 'pod "other" does not exist\n'),
        ("/containerLogs/default/web/x", 400, "container x is not valid for pod web\n"),
        (EXEC, 400, "you must specify a command\n"),
        (f"{EXEC}&command=ls", 400, "this kubelet speaks WebSocket, not SPDY\n"),
        ("/exec/default/web/app?command=ls", 400, f"{remotecommand.NO_STREAM}\n"),
    ],
)
async def test_what_is_refused(world: World, target: str, status: int, text: str) -> None:
    assert await world.get(target) == (status, text)


async def test_a_pod_of_another_node_does_not_exist_here(world: World) -> None:
    world.api.pod["spec"]["nodeName"] = "node-1"
    assert await world.get(LOGS) == (404, 'pod "web" does not exist\n')


async def test_a_command_is_answered_from_the_script(world: World) -> None:
    success, output = b'\x03{"metadata": {}, "status": "Success"}', b"\x01web\n"
    assert await world.run("command=hostname", "v5.channel.k8s.io") == [output, success]
    greeting = b"\x01"
    assert await world.run("command=hostname", "v4.channel.k8s.io") == [greeting, output, success]


async def test_a_command_that_fails_tells_its_exit_code(world: World) -> None:
    said, status = await world.run("command=fail", "v5.channel.k8s.io")
    assert said == b"\x02no\n"
    cause = json.loads(status[1:])["details"]["causes"][0]
    assert cause == {"reason": "ExitCode", "message": "3"}


async def test_a_container_that_does_not_run_answers_no_command(world: World) -> None:
    world.api.pod = pod(waiting={"reason": "CrashLoopBackOff"})
    status, text = await world.get(f"{EXEC}&command=ls")
    assert (status, text) == (
        500,
        'unable to upgrade connection: container not found ("app")\n',
    )
