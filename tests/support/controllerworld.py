"""Runs controllers against the fake API server on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fakeapi import FakeApi

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.informers import Informers
from kubeherd.controller.manager import NO_KEYS, Context, Controller, Keys
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

Scenario = Callable[[FakeApi], Awaitable[None]]


def play(
    *factories: Callable[[Context], Controller],
    scenario: Scenario,
    keys: Keys = NO_KEYS,
    api_of: Callable[[VirtualClock], FakeApi] = FakeApi,
) -> FakeApi:
    """Start the controllers on an empty cluster, play the scenario, stop them. `api_of`: a server
    that knows more than the usual one."""

    async def main(clock: VirtualClock) -> FakeApi:
        api = api_of(clock)
        client = ApiClient(api, clock)
        await client.request("GET", "/apis")  # from here on the client knows that it may long-poll
        informers = Informers(client, clock, Rng(2))
        context = Context(client, clock, Rng(1), informers, "host", root_ca_pem=b"CA\n", keys=keys)
        controllers = [make(context) for make in factories]
        async with asyncio.TaskGroup() as tasks:
            caches = tasks.create_task(informers.run())
            await informers.wait_synced()
            running = [tasks.create_task(one.run()) for one in controllers]
            running += [tasks.create_task(recorder.run()) for recorder in context.recorders]
            await clock.sleep(0.1)
            await scenario(api)
            for task in [caches, *running]:
                task.cancel()
        return api

    return virtualtime.run_with_clock(main)


def node(name: str, ready: str | None = "True", **fields: Any) -> JsonObject:
    """A Node tree with room for pods."""
    conditions = []
    if ready is not None:
        conditions = [
            {"type": kind, "status": "False", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
            for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
        ]
        conditions.append(
            {"type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
        )
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    return {
        "metadata": {"name": name, **(fields.pop("metadata", {}))},
        "spec": fields,
        "status": {"conditions": conditions, "allocatable": allocatable},
    }


def pod(name: str, node_name: str = "", ready: bool = True, **spec: object) -> JsonObject:
    """A Pod tree in namespace ``ns``, bound if a node is named."""
    fields: JsonObject = {
        "containers": [{"name": "c", "image": "i"}],
        "schedulerName": "default-scheduler",
        **spec,
    }
    status: JsonObject = {"phase": "Pending"}
    if node_name:
        fields["nodeName"] = node_name
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        status = {"phase": "Running", "conditions": [condition]}
    return {
        "metadata": {"name": name, "namespace": "ns", "generation": 1},
        "spec": fields,
        "status": status,
    }
