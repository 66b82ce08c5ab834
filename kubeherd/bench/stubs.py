"""A fleet of stub nodes in one process: the neutral load, for any Kubernetes; JSON lines.

    python -m kubeherd.bench.stubs --kubeconfig FILE --nodes 1000

Registers its Nodes and their Leases, renews each Lease every ten seconds, and follows all pods by
one standard watch: of each that is bound to a node of its it says that it runs, by a patch of its
status in JSON, and it deletes those that are to end. All that costs far less than the control plane
that is measured. Prints a line when all Nodes are there; runs until its standard input ends, and
prints how many requests it made, how many of them failed, and its own `cpu_s`.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import orjson
import uvloop

from kubeherd.bench.requests import LEASES, STRATEGIC
from kubeherd.bench.wire import JSON, Answer, Connection, connected, message
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.runtime.together import together

RENEW_S: Final = 10.0
"""How often a kubelet renews its Lease."""
CONNECTIONS: Final = 16
WATCH_S: Final = 3600
SILENCE_S: Final = WATCH_S + 60.0
"""Nothing comes while no pod changes."""
REQUEST_TIMEOUT_S: Final = 60.0
AGENT: Final = "User-Agent: stub-nodes/1\r\n"
_NODE_INFO: Final = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)
_LATE: Final = frozenset({404, 409})
"""The pod was gone, or was another one: that happens to a kubelet, too."""


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None


class _Container(msgspec.Struct):
    name: str
    image: str = ""


class _PodSpec(msgspec.Struct, rename="camel"):
    node_name: str = ""
    containers: list[_Container] = []


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)


class _Event(msgspec.Struct):
    type: str
    object: _Pod


class _List(msgspec.Struct):
    metadata: _Metadata
    items: list[_Pod] = []


class Api:
    """Requests over a few connections, in the order in which they are made."""

    def __init__(self, connections: list[Connection], host: str) -> None:
        self.requests = 0
        self.failures: dict[str, int] = {}
        """By verb and status."""
        self._next = cycle(connections)
        self._host = host

    async def send(
        self, verb: str, path: str, body: JsonObject, content_type: str = JSON
    ) -> Answer:
        """Send one; TimeoutError, ConnectionError without an answer."""
        data = message(verb, path, self._host, orjson.dumps(body), content_type, AGENT)
        self.requests += 1
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            answer = await next(self._next).send(data)
        if answer.status >= 300 and answer.status not in _LATE:
            about = f"{verb} {answer.status}"
            self.failures[about] = self.failures.get(about, 0) + 1
        return answer


class Fleet:
    """Stub nodes ``stub-0`` to ``stub-N``."""

    def __init__(self, api: Api, count: int) -> None:
        self._api = api
        self._leases = {name: lease(name) for name in names(count)}
        self._told: dict[str, str] = {}
        """What a node has done for a pod: by uid, ``running`` or ``deleted``."""

    async def register(self) -> None:
        """Make all Nodes and Leases, some at a time."""
        waiting = iter(list(self._leases))

        async def some() -> None:
            for name in waiting:
                await self._api.send("POST", "/api/v1/nodes", node(name))
                made = await self._api.send("POST", LEASES, self._leases[name])
                self._keep(name, made)

        async with asyncio.TaskGroup() as group:
            for _ in range(2 * CONNECTIONS):
                group.create_task(some())

    async def renew(self) -> None:
        """Renew the Leases for ever, spread evenly over the interval."""
        every = list(self._leases)
        random.Random(1).shuffle(every)  # noqa: S311 - an order, no secret
        begin_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for count, name in enumerate(cycle(every), 1):
                group.create_task(self._renew_one(name))
                due_s = begin_s + count * RENEW_S / len(every)
                if (wait_s := due_s - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)

    async def _renew_one(self, name: str) -> None:
        tree = self._leases[name]
        tree["spec"] = {**spec(name), "renewTime": now()}
        self._keep(name, await self._api.send("PUT", f"{LEASES}/{name}", tree))

    def _keep(self, name: str, answer: Answer) -> None:
        """A Lease as the server has it now, for the next update of it."""
        if answer.status < 300:
            self._leases[name] = orjson.loads(answer.body)

    async def run_pods(self, events: AsyncIterator[_Event]) -> None:
        """Do what a kubelet does for each pod of these nodes."""
        async with asyncio.TaskGroup() as group:
            async for event in events:
                pod = event.object
                step = self._step(event.type, pod)
                if step is not None:
                    self._told[pod.metadata.uid] = step
                    group.create_task(self._carry_out(step, pod))

    def _step(self, event: str, pod: _Pod) -> str | None:
        uid = pod.metadata.uid
        if event == "DELETED":
            self._told.pop(uid, None)
            return None
        if pod.spec.node_name not in self._leases:
            return None
        wanted = "running" if pod.metadata.deletion_timestamp is None else "deleted"
        return wanted if self._told.get(uid) not in (wanted, "deleted") else None

    async def _carry_out(self, step: str, pod: _Pod) -> None:
        path = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}"
        if step == "running":
            await self._api.send("PATCH", f"{path}/status", running(pod), STRATEGIC)
        else:
            options: JsonObject = {
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": pod.metadata.uid},
            }
            await self._api.send("DELETE", path, options)


async def pod_events(kubeconfig: Path) -> AsyncIterator[_Event]:
    """All pods, then what becomes of them, from a standard list and watch, for ever."""
    transport = from_kubeconfig(kubeconfig, user_agent="stub-nodes/1")
    decode = msgspec.json.Decoder(_Event).decode
    try:
        while True:
            answer = await transport.request("GET", "/api/v1/pods")
            listed = msgspec.json.decode(answer.body, type=_List)
            for pod in listed.items:
                yield _Event("ADDED", pod)
            query = {
                "watch": "1",
                "resourceVersion": listed.metadata.resource_version,
                "timeoutSeconds": str(WATCH_S),
            }
            rest = b""
            async for chunk in transport.stream("/api/v1/pods", query=query, timeout_s=SILENCE_S):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield decode(line)
    finally:
        await transport.close()


def names(count: int) -> Iterator[str]:
    """The names of the nodes."""
    return (f"stub-{number}" for number in range(count))


def now() -> str:
    """The time as a Lease has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def node(name: str) -> JsonObject:
    """A Node that is Ready, as a kubelet registers it."""
    moment = f"{now()[:19]}Z"
    amounts: JsonObject = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                    "lastHeartbeatTime": moment,
                    "lastTransitionTime": moment,
                }
            ],
            "nodeInfo": dict.fromkeys(_NODE_INFO, "stub"),
        },
    }


def lease(name: str) -> JsonObject:
    """The Lease of a node."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {**spec(name), "renewTime": now()},
    }


def spec(name: str) -> JsonObject:
    """What does not change of it."""
    return {"holderIdentity": name, "leaseDurationSeconds": 40}


def running(pod: _Pod) -> JsonObject:
    """The patch that says that a pod runs and is Ready."""
    moment = f"{now()[:19]}Z"
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    return {
        "metadata": {"uid": pod.metadata.uid},
        "status": {
            "phase": "Running",
            "hostIP": "10.0.0.1",
            "podIP": "10.1.0.1",
            "podIPs": [{"ip": "10.1.0.1"}],
            "startTime": moment,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": moment} for kind in kinds
            ],
            "containerStatuses": [
                {
                    "name": one.name,
                    "image": one.image,
                    "imageID": f"stub://{one.image}",
                    "containerID": f"stub://{pod.metadata.uid}/{one.name}",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": moment}},
                }
                for one in pod.spec.containers
            ],
        },
    }


async def until_stdin_ends() -> None:
    """Return when nobody needs this program any more. The thread that reads does not keep a program
    that has failed from ending."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        with suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True, name="stdin").start()
    await ended.wait()


async def run(options: argparse.Namespace) -> int:
    """Be the fleet until standard input ends; how many requests failed."""
    access = load_kubeconfig(options.kubeconfig)
    connections = await connected(access, CONNECTIONS)
    api = Api(connections, urlsplit(access.server).netloc)
    fleet = Fleet(api, options.nodes)
    began_s = time.monotonic()
    await fleet.register()
    print(json.dumps({"nodes": options.nodes, "seconds": time.monotonic() - began_s}), flush=True)
    await together(
        fleet.renew(),
        fleet.run_pods(pod_events(options.kubeconfig)),
        until_stdin_ends(),
    )
    for connection in connections:
        connection.close()
    print(
        json.dumps(
            {"requests": api.requests, "failures": api.failures, "cpu_s": time.process_time()}
        )
    )
    return sum(api.failures.values())


def main() -> int:
    """Run it; exit code 1 if a request failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--nodes", type=int, required=True)
    return 1 if uvloop.run(run(parser.parse_args())) else 0


if __name__ == "__main__":
    sys.exit(main())
