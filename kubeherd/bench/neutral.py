"""The rows of the neutral load: what the control plane alone costs under stub nodes.

The stub nodes (`kubeherd.bench.stubs`) are one process that speaks standard JSON, so the same load
can be put on any Kubernetes. Each step is measured in several rounds; a row's value is the median,
and its spread the least and the most.
"""

import asyncio
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from kubeherd.bench.measure import CONTROL_PLANE, Row, cluster, cpu_seconds, daemonset, memory_mb
from kubeherd.cluster.api.errors import NotFound
from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.objects import DaemonSet, Node
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.http.transport import from_kubeconfig
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.runtime.clock import LoopClock

ROUNDS: Final = 3
STEADY_S: Final = 30.0
SETTLING_S: Final = 30.0
"""What a rollout leaves to be done is over then, but for the end of the compaction of what was
written in it: the rest is heartbeats."""
TIMEOUT_S: Final = 600.0
_LOOK_S: Final = 0.05
_NAME: Final = "bench"
_STEPS: Final = ("create", "update", "delete")


class Budgets(msgspec.Struct, frozen=True):
    """What `nodes` stub nodes may cost."""

    wall_s: tuple[float, float, float]
    """Create, update, delete."""
    cpu_s: tuple[float, float, float]
    steady_cores: float
    memory_mb: float


BUDGETS: Final = {
    1000: Budgets((1.0, 1.7, 0.9), (1.2, 2.0, 0.9), 0.03, 140),
    5000: Budgets((6, 10, 5), (7, 11, 5), 0.12, 300),
}
EXPONENT: Final = 1.05
"""At most: five times the nodes cost this power of five times as much."""


def neutral(*sizes: int) -> Iterator[Row]:
    """The rows of each size, and how each step grows from one size to the next."""
    before: tuple[int, dict[str, float]] | None = None
    for nodes in sizes:
        budgets, walls = BUDGETS[nodes], dict[str, float]()
        yield from rows(nodes, budgets, walls)
        if before is not None:
            yield from _exponents(*before, nodes, walls)
        before = (nodes, walls)


def rows(
    nodes: int,
    budgets: Budgets,
    walls: dict[str, float],
    *,
    rounds: int = ROUNDS,
    steady_s: float = STEADY_S,
    settling_s: float = SETTLING_S,
) -> Iterator[Row]:
    """One size; `walls` gets the seconds of each step."""
    with cluster(nodes=0) as handle, stubs(handle, nodes):
        done = asyncio.run(in_rounds(handle, nodes, rounds, timed))
        for step, wall_budget, cpu_budget in zip(
            _STEPS, budgets.wall_s, budgets.cpu_s, strict=True
        ):
            wall = [one[step][0] for one in done]
            walls[step] = statistics.median(wall)
            yield _row(f"neutral-{nodes}-{step}", wall, "s", wall_budget)
            cpu = [one[step][1] for one in done]
            yield _row(f"neutral-{nodes}-{step}-cpu", cpu, "CPU-s", cpu_budget)
        time.sleep(settling_s)
        cpu_s = cpu_seconds(handle, *CONTROL_PLANE)
        time.sleep(steady_s)
        steady = (cpu_seconds(handle, *CONTROL_PLANE) - cpu_s) / steady_s
        yield Row(f"neutral-{nodes}-steady", steady, "cores", budgets.steady_cores)
        memory = memory_mb(handle, *CONTROL_PLANE)
        yield Row(f"neutral-{nodes}-memory", memory, "MB", budgets.memory_mb)


def _row(name: str, values: list[float], unit: str, budget: float) -> Row:
    spread: list[object] = [round(min(values), 3), round(max(values), 3)]
    return Row(name, statistics.median(values), unit, budget, detail={"spread": spread})


def _exponents(
    few: int, before: dict[str, float], many: int, walls: dict[str, float]
) -> Iterator[Row]:
    for step in _STEPS:
        power = math.log(walls[step] / before[step]) / math.log(many / few)
        yield Row(f"neutral-{few}-to-{many}-{step}-exponent", power, "", EXPONENT)


@contextmanager
def stubs(handle: ClusterHandle, nodes: int) -> Iterator[None]:
    """A fleet of stub nodes, registered; RuntimeError at the end if a request of theirs failed."""
    command = [sys.executable, "-P", "-m", "kubeherd.bench.stubs", "--nodes", str(nodes)]
    command += ["--kubeconfig", str(handle.rundir.kubeconfig)]
    with subprocess.Popen(  # noqa: S603 - a module of ours
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("the stub nodes could not register")
            yield
            told = process.communicate(timeout=TIMEOUT_S)[0]
        finally:
            process.kill()
    if failures := json.loads(told or "{}").get("failures", {"no answer": 1}):
        raise RuntimeError(f"requests of the stub nodes failed: {failures}")


Act = Callable[[], Awaitable[object]]
Done = Callable[[], Awaitable[bool]]
_T = TypeVar("_T")


async def in_rounds(
    handle: ClusterHandle,
    nodes: int,
    rounds: int,
    measure: Callable[[ClusterHandle, Act, Done], Awaitable[_T]],
) -> list[dict[str, _T]]:
    """Create, update and delete a DaemonSet on all stub nodes so many times: what `measure` says of
    each step of each round. It does the act and waits until it is done."""
    transport = from_kubeconfig(handle.rundir.kubeconfig)
    client = ApiClient(transport, LoopClock())
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "b:2"}]}}}}

    async def available() -> bool:
        found = await client.get(DAEMONSETS, DaemonSet, _NAME, "default")
        return (
            found.status.observed_generation == found.metadata.generation
            and found.status.updated_number_scheduled == nodes
            and found.status.number_available == nodes
        )

    async def gone() -> bool:
        try:
            await client.get(DAEMONSETS, DaemonSet, _NAME, "default")
        except NotFound:
            pods = await client.request("GET", PODS.path("default"), query={"limit": "1"})
            return not pods["items"]
        return False

    acts: dict[str, tuple[Act, Done]] = {
        "create": (lambda: client.create(DAEMONSETS, daemonset()), available),
        "update": (lambda: client.patch(DAEMONSETS, _NAME, image, "default"), available),
        "delete": (lambda: client.delete(DAEMONSETS, _NAME, "default"), gone),
    }

    async def ready() -> bool:
        found = (await client.list(NODES, Node)).items
        return sum(map(nodeutil.is_ready, found)) == nodes

    try:
        await _until(ready, "the nodes", 1.0)
        return [
            {step: await measure(handle, *acts[step]) for step in _STEPS} for _ in range(rounds)
        ]
    finally:
        await transport.close()


async def timed(handle: ClusterHandle, act: Act, done: Done) -> tuple[float, float]:
    """Wall and CPU seconds of a step."""
    cpu_s, began_s = cpu_seconds(handle, *CONTROL_PLANE), time.monotonic()
    await act()
    await _until(done, "the DaemonSet", _LOOK_S)
    return time.monotonic() - began_s, cpu_seconds(handle, *CONTROL_PLANE) - cpu_s


async def _until(done: Callable[[], Awaitable[bool]], what: str, look_s: float) -> None:
    """Look at it from afar: a watch would cost the server what is measured."""
    end_s = time.monotonic() + TIMEOUT_S
    while not await done():
        if time.monotonic() > end_s:
            raise TimeoutError(what)
        await asyncio.sleep(look_s)
