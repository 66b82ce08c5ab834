"""Measure kubeherd against its budgets; one JSON line per row.

    python scripts/bench.py                         every row (minutes)
    python scripts/bench.py --row start --row crud  some rows

A line has `row`, `value`, `unit`, `budget` and `ok`. The budgets are for two cores and an idle
machine: numbers of a busy one say little. Fleet rows put many nodes into one agent process.
"""

import asyncio
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from cluster.api.jsontypes import JsonObject
from cluster.api.kinds import DAEMONSETS
from cluster.client.http import from_kubeconfig
from cluster.launcher import lifecycle
from cluster.launcher.handle import ClusterHandle
from cluster.launcher.plan import Role
from cluster.runtime import logging

CONTROL_PLANE = (Role.APISERVER, Role.CONTROLLER_MANAGER)
ALL = tuple(Role)
ITEMS_PATH = "/api/v1/namespaces/default/configmaps"
PARALLEL_REQUESTS = 32
MEASURE_S = 5.0
LISTED_OBJECTS = 10_000
FLEET_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Row:
    """One number; `smaller` says in which direction it should go."""

    row: str
    value: float
    unit: str
    budget: float
    smaller: bool = True

    def line(self) -> str:
        """The JSON line."""
        ok = self.value <= self.budget if self.smaller else self.value >= self.budget
        return json.dumps(
            {
                "row": self.row,
                "value": round(self.value, 3),
                "unit": self.unit,
                "budget": self.budget,
                "ok": ok,
            }
        )


def start() -> Iterator[Row]:
    """From the start of the supervisor until the API server serves."""
    with cluster(nodes=0, up=False) as handle:
        began_s = time.monotonic()
        lifecycle.begin(handle.rundir, handle.settings, follow_pid=os.getpid())
        served_s: list[float] = []

        def progress(state: lifecycle.ClusterState) -> None:
            if not served_s and any(p.ready for p in state.processes if p.role is Role.APISERVER):
                served_s.append(time.monotonic() - began_s)

        lifecycle.wait_until_up(handle.rundir, 60, progress)
        yield Row("start", served_s[0], "s", 0.7)


def idle_memory() -> Iterator[Row]:
    """Proportional set size of the idle control plane."""
    with cluster(nodes=0) as handle:
        time.sleep(2)
        yield Row("idle-memory", memory_mb(handle, *CONTROL_PLANE), "MB", 100)


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


def fleet(nodes: int, budgets: dict[str, float], cpu_budgets: dict[str, float]) -> Iterator[Row]:
    """Create, update and delete a DaemonSet on many nodes: seconds, and CPU of all processes."""
    with cluster(nodes=nodes, nodes_per_agent=min(nodes, 500)) as handle:
        for step, (elapsed_s, cpu_s) in asyncio.run(_fleet_steps(handle, nodes)).items():
            yield Row(f"{nodes}-nodes-{step}", elapsed_s, "s", budgets[step])
            if step in cpu_budgets:
                yield Row(f"{nodes}-nodes-{step}-cpu", cpu_s, "CPU-s", cpu_budgets[step])
        memory = memory_mb(handle, *CONTROL_PLANE)
        yield Row(f"{nodes}-nodes-memory", memory, "MB", 200)


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
            ("create", lambda: client.create(DAEMONSETS, _daemonset()), available),
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
    """GET and POST of a 1 KB object, and the list of 10,000 of them, over TLS."""
    with cluster(nodes=0) as handle:
        rates = asyncio.run(_request_rates(handle))
    yield Row("get-1kb", rates["get"], "1/s", 12_000, smaller=False)
    yield Row("post-1kb", rates["post"], "1/s", 5_000, smaller=False)
    yield Row("list-10000", rates["list"], "1/s", 30, smaller=False)


async def _request_rates(handle: ClusterHandle) -> dict[str, float]:
    """Requests a second; the client is in this process and takes its share of the cores."""
    transport = from_kubeconfig(handle.rundir.kubeconfig)
    created = 0

    async def post() -> None:
        nonlocal created
        created += 1
        body = json.dumps(_configmap(f"item-{created}")).encode()
        await transport.request("POST", ITEMS_PATH, body=body, content_type="application/json")

    async def get() -> None:
        await transport.request("GET", f"{ITEMS_PATH}/item-1")

    async def list_all() -> None:
        await transport.request("GET", ITEMS_PATH)

    try:
        rates = {"post": await _rate(post), "get": await _rate(get)}
        while created < LISTED_OBJECTS:
            await asyncio.gather(*(post() for _ in range(PARALLEL_REQUESTS)))
        rates["list"] = await _rate(list_all, parallel=2)
    finally:
        await transport.close()
    return rates


async def _rate(request: Callable, parallel: int = PARALLEL_REQUESTS) -> float:
    count = 0
    end_s = time.monotonic() + MEASURE_S

    async def work() -> None:
        nonlocal count
        while time.monotonic() < end_s:
            await request()
            count += 1

    began_s = time.monotonic()
    await asyncio.gather(*(work() for _ in range(parallel)))
    return count / (time.monotonic() - began_s)


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "start": start,
    "idle-memory": idle_memory,
    "node-processes": node_processes,
    "fleet-1000": lambda: fleet(
        1000,
        {"create": 2.5, "update": 4, "delete": 2},
        {"create": 3, "update": 5, "delete": 2.5},
    ),
    "fleet-5000": lambda: fleet(5000, {"create": 13, "update": 22, "delete": 11}, {}),
    "crud": crud,
}


@contextmanager
def cluster(*, nodes: int, nodes_per_agent: int = 1, up: bool = True) -> Iterator[ClusterHandle]:
    """A cluster in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="kubeherd-bench-") as temporary:
        settings = lifecycle.new_settings(nodes=nodes, nodes_per_agent=nodes_per_agent, seed=1)
        handle = ClusterHandle(Path(temporary) / "herd", settings)
        try:
            if up:
                handle.up()
            yield handle
        finally:
            handle.down()


def memory_mb(handle: ClusterHandle, *roles: Role) -> float:
    """Proportional set size of all processes with these roles."""
    total_kb = 0
    for pid in _pids(handle, *roles):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total_kb += next(int(ln.split()[1]) for ln in rollup.splitlines() if ln.startswith("Pss:"))
    return total_kb / 1024


def cpu_seconds(handle: ClusterHandle, *roles: Role) -> float:
    """User and system time that all processes with these roles have used so far."""
    ticks = 0
    for pid in _pids(handle, *roles):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _pids(handle: ClusterHandle, *roles: Role) -> list[int]:
    processes = handle.state().processes
    return [p.process.pid for p in processes if p.role in roles and p.process is not None]


def _configmap(name: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"payload": "x" * 850},
    }


def _daemonset() -> JsonObject:
    labels = {"app": "bench"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%"},
            },
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": "b:1"}],
                },
            },
        },
    }


@click.command()
@click.option("--row", "rows", multiple=True, type=click.Choice(list(ROWS)), help="Repeatable.")
def main(rows: tuple[str, ...]) -> None:
    """Print one JSON line per measured row."""
    logging.configure("bench", level="error")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    for row in rows or ROWS:
        for result in ROWS[row]():
            click.echo(result.line())


if __name__ == "__main__":
    main()
