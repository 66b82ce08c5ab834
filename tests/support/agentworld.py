"""An agent process with its nodes against the fake API server, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fakeapi import FakeApi
from kubelet_pods import Tree

from kubeherd.agents.__main__ import until_stopped
from kubeherd.agents.fleet import Fleet
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

NODE = "/api/v1/nodes/node-1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"
POD = "/api/v1/namespaces/shop/pods/web-0"


class Agent:
    """One agent process with one node, started and stopped at will."""

    def __init__(self, api: FakeApi, clock: VirtualClock, **options: Any) -> None:
        client = ApiClient(api, clock)
        names = options.pop("names", ("node-1",))
        self.fleet = Fleet(
            options.pop("configs", [NodeConfig(name=name) for name in names]),
            lambda _: client,
            one_identity=len(names) > 1,
            clock=clock,
            rng=Rng(7),
            **options,
        )
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(until_stopped(self.fleet, self.stop, self.ready.set))

    async def end(self) -> None:
        self.stop.set()
        await self.task


def with_agent(
    test: Callable[[FakeApi, VirtualClock, Agent], Awaitable[None]], **options: Any
) -> None:
    async def main(clock: VirtualClock) -> None:
        api = FakeApi(clock)
        agent = Agent(api, clock, **options)
        await agent.ready.wait()
        await test(api, clock, agent)
        await agent.end()

    virtualtime.run_with_clock(main)


def a_pod(**fields: Any) -> Tree:
    return {
        "metadata": {
            "name": fields.pop("name", "web-0"),
            "namespace": "shop",
            "generation": 1,
            "annotations": fields.pop("annotations", {}),
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "web", "image": "nginx"}],
            **fields,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def delete_gracefully(tree: Tree) -> None:
    tree["metadata"] |= {
        "deletionTimestamp": "2026-01-01T00:10:00Z",
        "deletionGracePeriodSeconds": 30,
        "generation": 2,
    }


def ready(api: FakeApi, path: str = POD) -> str:
    conditions = api.objects[path]["status"].get("conditions", [])
    return str(next((c["status"] for c in conditions if c["type"] == "Ready"), ""))
