"""What `kubeherd bench` measures: each row is a number and its budget.

Each function of `ROWS` starts a cluster of its own and yields its rows as it measures them. Fleet
rows put many nodes into one agent process.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kubeherd.bench.delivery import busy_get, watchers
from kubeherd.bench.deployments import deployments
from kubeherd.bench.measure import (
    CONTROL_PLANE,
    Row,
    cluster,
    cpu_seconds,
    daemonset,
    memory_mb,
    pss_mb,
)
from kubeherd.bench.neutral import neutral
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.state import ClusterState

ALL = tuple(Role)
PARALLEL_REQUESTS = 32
MEASURE_S = 5.0
LISTED_OBJECTS = 10_000
FLEET_TIMEOUT_S = 300.0
LOAD_TIMEOUT_S = 120.0


def start() -> Iterator[Row]:
    """From the start of the supervisor until the API server serves."""
    with cluster(nodes=0, up=False) as handle:
        began_s = time.monotonic()
        lifecycle.begin(handle.rundir, handle.settings, follow_pid=os.getpid())
        served_s: list[float] = []

        def progress(state: ClusterState) -> None:
            if not served_s and any(p.ready for p in state.processes if p.role is Role.APISERVER):
                served_s.append(time.monotonic() - began_s)

        lifecycle.wait_until_up(handle.rundir, 60, progress)
        yield Row("start", served_s[0], "s", 0.7)


def fixture() -> Iterator[Row]:
    """A cluster for a test: from the request to three Ready nodes, and its end.

    The first of a program, and the median of those after it. CPU is that of all processes.
    """
    command = [sys.executable, "-P", "-m", "kubeherd.bench.fixture"]
    done = subprocess.run(  # noqa: S603 - a module of ours
        command, capture_output=True, check=True, timeout=LOAD_TIMEOUT_S
    )
    for which, cost in json.loads(done.stdout).items():
        yield Row(f"fixture-{which}", cost["wall_s"], "s", 1)
        yield Row(f"fixture-{which}-cpu", cost["cpu_s"], "CPU-s", 0.7)
        yield Row(f"fixture-{which}-stop", cost["stop_s"], "s", 0.5)


def idle_memory() -> Iterator[Row]:
    """Proportional set size of the idle control plane, the supervisor included."""
    with cluster(nodes=0) as handle:
        time.sleep(2)
        supervisor = handle.state().supervisor
        total_mb = memory_mb(handle, *CONTROL_PLANE) + (pss_mb(supervisor.pid) if supervisor else 0)
        yield Row("idle-memory", total_mb, "MB", 100)


def node_processes() -> Iterator[Row]:
    """50 node processes: from `up` to all Ready, and what each costs."""
    with cluster(nodes=50, up=False) as handle:
        began_s = time.monotonic()
        handle.up()

        async def all_ready() -> None:
            async with handle.view() as view:
                await view.until(lambda: len(view.ready_nodes()) == 50, "50 nodes Ready", 60)

        asyncio.run(all_ready())
        yield Row("50-node-processes", time.monotonic() - began_s, "s", 4)
        yield Row("node-process-memory", memory_mb(handle, Role.AGENT) / 50, "MB", 15)


def fleet(
    nodes: int, budgets: dict[str, float], cpu_budgets: dict[str, float], memory_budget_mb: float
) -> Iterator[Row]:
    """Create, update and delete a DaemonSet on many nodes: seconds, CPU of all processes, and what
    the control plane holds then."""
    with cluster(nodes=nodes, nodes_per_agent=min(nodes, 500)) as handle:
        for step, (elapsed_s, cpu_s) in asyncio.run(_fleet_steps(handle, nodes)).items():
            yield Row(f"{nodes}-nodes-{step}", elapsed_s, "s", budgets[step])
            if step in cpu_budgets:
                yield Row(f"{nodes}-nodes-{step}-cpu", cpu_s, "CPU-s", cpu_budgets[step])
        memory = memory_mb(handle, *CONTROL_PLANE)
        yield Row(f"{nodes}-nodes-memory", memory, "MB", memory_budget_mb)


async def _fleet_steps(handle: ClusterHandle, nodes: int) -> dict[str, tuple[float, float]]:
    results: dict[str, tuple[float, float]] = {}
    async with handle.view() as view:
        await view.until(lambda: len(view.ready_nodes()) == nodes, "Ready", FLEET_TIMEOUT_S)

        def available() -> bool:
            found = view.daemonset("default", "bench")
            return (
                found is not None
                and found.status.observed_generation == found.metadata.generation
                and found.status.updated_number_scheduled == nodes
                and found.status.number_available == nodes
            )

        def gone() -> bool:
            return view.daemonset("default", "bench") is None and not view.pods("bench")

        image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "b:2"}]}}}}
        client = view.client
        steps = (
            ("create", lambda: client.create(DAEMONSETS, daemonset()), available),
            ("update", lambda: client.patch(DAEMONSETS, "bench", image, "default"), available),
            ("delete", lambda: client.delete(DAEMONSETS, "bench", "default"), gone),
        )
        for step, act, done in steps:
            cpu_s, began_s = cpu_seconds(handle, *ALL), time.monotonic()
            await act()
            await _wait_quietly(done, step)
            elapsed_s = time.monotonic() - began_s
            results[step] = (elapsed_s, cpu_seconds(handle, *ALL) - cpu_s)
    return results


async def _wait_quietly(done: Callable[[], bool], what: str) -> None:
    """Look at the condition a few times a second: looking at every change would cost too much."""
    deadline_s = time.monotonic() + FLEET_TIMEOUT_S
    while not done():
        if time.monotonic() > deadline_s:
            raise TimeoutError(what)
        await asyncio.sleep(0.02)


def crud() -> Iterator[Row]:
    """GET and POST of a 1 KB object, and the list of 10,000 of them, over TLS.

    The load generator shares the cores with the server: `server_cpu_us`, what a request cost the
    server, says what it could do alone.
    """
    with cluster(nodes=0) as handle:
        load(handle, "post", requests=LISTED_OBJECTS)
        yield load(handle, "get").row("get-1kb", 20_000)
        yield load(handle, "list", connections=2).row("list-10000", 45)
        yield load(handle, "post", first=LISTED_OBJECTS).row("post-1kb", 6_000)


@dataclass(frozen=True)
class Load:
    """What `kubeherd.bench.load` measured, and what it cost the API server."""

    per_s: float
    server_cpu_us: float

    def row(self, name: str, budget: float) -> Row:
        """A row of requests a second."""
        detail = {"server_cpu_us": round(self.server_cpu_us, 1)}
        return Row(name, self.per_s, "1/s", budget, smaller=False, detail=detail)


def load(
    handle: ClusterHandle,
    mode: str,
    *,
    connections: int = PARALLEL_REQUESTS,
    requests: int = 0,
    first: int = 0,
) -> Load:
    """Run the load generator: so many `requests`, or for some seconds (0)."""
    command = [sys.executable, "-m", "kubeherd.bench.load", "--mode", mode]
    options = {
        "kubeconfig": handle.rundir.kubeconfig,
        "connections": connections,
        "requests": requests,
        "first": first,
        "seconds": MEASURE_S,
    }
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    cpu_s = cpu_seconds(handle, Role.APISERVER)
    done = subprocess.run(  # noqa: S603 - this package's own program
        command, capture_output=True, check=True, timeout=LOAD_TIMEOUT_S
    )
    cpu_s = cpu_seconds(handle, Role.APISERVER) - cpu_s
    result = json.loads(done.stdout)
    return Load(result["requests"] / result["seconds"], 1e6 * cpu_s / result["requests"])


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "start": start,
    "fixture": fixture,
    "idle-memory": idle_memory,
    "node-processes": node_processes,
    "fleet-1000": lambda: fleet(
        1000,
        {"create": 2.5, "update": 4, "delete": 2},
        {"create": 3, "update": 5, "delete": 2.5},
        200,
    ),
    "fleet-5000": lambda: fleet(
        5000,
        {"create": 13, "update": 22, "delete": 11},
        {"create": 16, "update": 27, "delete": 13},
        450,
    ),
    "neutral-1000": lambda: neutral(1000),
    "neutral-growth": lambda: neutral(1000, 5000),
    "crud": crud,
    "watchers": watchers,
    "busy-get": busy_get,
    "deployments": deployments,
}
