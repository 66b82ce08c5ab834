"""The rows of Deployments: what a plan costs, and many rollouts at the same time."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import msgspec

from kubeherd.bench.measure import CONTROL_PLANE, Row, cluster, cpu_seconds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DEPLOYMENTS
from kubeherd.cluster.api.objects import ObjectMeta, Wire
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.client.listwatch import ListWatch
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng

DEPLOYED = 100
REPLICAS = 10
NODES = 20
TIMEOUT_S = 120.0
LOOK_S = 0.05
CPU_BUDGETS_S = {"create": 12, "rollout": 34}
"""A third of what the control plane of Kubernetes took for them (docs/upstream-tests.md)."""


class _Spec(Wire, frozen=True, kw_only=True):
    replicas: int = 0


class _Status(Wire, frozen=True, kw_only=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0


class _Deployment(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def complete(self) -> bool:
        """As `kubectl rollout status` sees it."""
        status = self.status
        return (
            status.observed_generation >= self.metadata.generation
            and status.replicas == status.updated_replicas == status.available_replicas
            and status.replicas == self.spec.replicas
        )


def deployments() -> Iterator[Row]:
    """Plans, then 100 Deployments of 10 pods: created, and rolled out once more.

    CPU is that of the API server and the controller manager.
    """
    command = [sys.executable, "-P", "-m", "kubeherd.bench.plans"]
    done = subprocess.run(  # noqa: S603 - a module of ours
        command, capture_output=True, check=True, timeout=TIMEOUT_S
    )
    for row, cost_ms in json.loads(done.stdout).items():
        yield Row(row, cost_ms, "CPU-ms", 20)
    with cluster(nodes=NODES, nodes_per_agent=NODES) as handle:
        for step, (elapsed_s, cpu_s) in asyncio.run(_steps(handle)).items():
            yield Row(f"{DEPLOYED}-deployments-{step}", elapsed_s, "s", 10)
            yield Row(f"{DEPLOYED}-deployments-{step}-cpu", cpu_s, "CPU-s", CPU_BUDGETS_S[step])


async def _steps(handle: ClusterHandle) -> dict[str, tuple[float, float]]:
    async with handle.view() as view:
        await view.until(lambda: len(view.ready_nodes()) == NODES, "Ready", TIMEOUT_S)
    transport = from_kubeconfig(handle.rundir.kubeconfig)
    clock, rng = LoopClock(), Rng(1)
    client = ApiClient(transport, clock)
    seen = Reflector(client, ListWatch(DEPLOYMENTS, _Deployment), clock=clock, rng=rng)
    watching = asyncio.create_task(seen.run())
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "b:2"}]}}}}

    async def create(name: str) -> None:
        await client.create(DEPLOYMENTS, _deployment(name), "default")

    async def update(name: str) -> None:
        await client.patch(DEPLOYMENTS, name, image, "default")

    def complete(generation: int) -> bool:
        found = list(seen.cache.values())
        return len(found) == DEPLOYED and all(
            one.complete and one.metadata.generation >= generation for one in found
        )

    async def step(act: Callable[[str], Awaitable[None]], generation: int) -> tuple[float, float]:
        cpu_s, began_s = cpu_seconds(handle, *CONTROL_PLANE), time.monotonic()
        await asyncio.gather(*(act(f"bench-{i}") for i in range(DEPLOYED)))
        while not complete(generation):
            if time.monotonic() - began_s > TIMEOUT_S:
                raise TimeoutError("the rollouts of the Deployments")
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - began_s, cpu_seconds(handle, *CONTROL_PLANE) - cpu_s

    try:
        return {"create": await step(create, 1), "rollout": await step(update, 2)}
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await transport.close()


def _deployment(name: str) -> JsonObject:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": "b:1"}],
                },
            },
        },
    }
