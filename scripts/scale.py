"""What a cluster costs by the number of its nodes and API servers; the tables of docs/scale.md.

    scale.py measure --store etcd --apiservers 2 --nodes 500 >> rows.jsonl
    scale.py model rows.jsonl

`measure` starts one cluster in a temporary directory and prints a JSON line per step: its start,
idle windows (heartbeats only), a DaemonSet over all nodes (create, update, delete), and a window
with many watchers of all Leases. A line has the CPU seconds of each process, and what etcd counted.
`model` fits them: `a + b * nodes` for each number of API servers. CPU seconds are nearly the same
on a busy machine, seconds on the clock are not: they are only used as the length of a window.
"""

import asyncio
import json
import os
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import StatisticsError
from typing import Any

import aiohttp
import click
from scale_model import tables

from kubeherd.bench.measure import pss_mb
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.client.http.tls import tls_context
from kubeherd.cluster.client.kubeconfig import ClusterAccess, load_kubeconfig
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.settings import ClusterOptions, StoreKind
from kubeherd.cluster.launcher.view import ClusterView

TIMEOUT_S = 600.0
LOOK_S = 0.1
SETTLE_S = 10.0
COUNTERS = {
    "puts": "etcd_mvcc_put_total",
    "put_bytes": "etcd_debugging_mvcc_total_put_size_in_bytes",
    "sent_bytes": "etcd_network_client_grpc_sent_bytes_total",
    "events": "etcd_debugging_mvcc_events_total",
    "fsyncs": "etcd_disk_wal_fsync_duration_seconds_count",
    "db_bytes": "etcd_mvcc_db_total_size_in_use_in_bytes",
}
KINDS = ("minions", "leases", "pods", "events", "controllerrevisions")
"""The folders below /registry whose values are weighed."""
NAMESPACES_PATH = "/api/v1/namespaces"
LEASES_PATH = "/apis/coordination.k8s.io/v1/leases?watch=true"

Row = dict[str, Any]


def daemonset(image: str) -> Row:
    """One pod on every node; all may be replaced at once."""
    labels = {"app": "scale"}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": image}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "scale", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%"},
            },
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def cpu_seconds(handle: ClusterHandle) -> dict[str, float]:
    """User and system time of each process so far."""
    used = {}
    for name, pid in _pids(handle):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def pss(handle: ClusterHandle) -> dict[str, float]:
    """Proportional set size of each process, in MB."""
    return {name: round(pss_mb(pid), 1) for name, pid in _pids(handle)}


def _pids(handle: ClusterHandle) -> Iterator[tuple[str, int]]:
    for process in handle.state().processes:
        if process.process is not None:
            yield process.name, process.process.pid


class Etcd:
    """The etcd of a cluster, asked over HTTP; of a cluster without one everything is empty."""

    def __init__(self, handle: ClusterHandle, session: aiohttp.ClientSession) -> None:
        self._session = session
        etcd = [p for p in handle.state().processes if p.role is Role.ETCD]
        self._url = f"https://127.0.0.1:{etcd[0].port}" if etcd else ""
        if etcd:
            pki = handle.rundir.root / "pki"
            ca, cert, key = (
                (pki / f"etcd-{name}").read_bytes()
                for name in ("ca.crt", "client.crt", "client.key")
            )
            access = ClusterAccess(self._url, ca_pem=ca, certificate_pem=cert, key_pem=key)
            self._tls = tls_context(access)

    async def counters(self) -> dict[str, float]:
        """What it has counted so far, by the names of COUNTERS."""
        if not self._url:
            return {}
        async with self._session.get(f"{self._url}/metrics", ssl=self._tls) as answer:
            lines = (await answer.text()).splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("etcd_"))
        return {name: float(found[counter]) for name, counter in COUNTERS.items()}

    async def weights(self) -> dict[str, dict[str, int]]:
        """Of each kind: the number of values, and their mean size with the key, in bytes."""
        weights = {}
        for kind in KINDS if self._url else ():
            start, end = f"/registry/{kind}/", f"/registry/{kind}0"
            query = {"key": _base64(start), "range_end": _base64(end)}
            url = f"{self._url}/v3/kv/range"
            async with self._session.post(url, json=query, ssl=self._tls) as answer:
                found = (await answer.json()).get("kvs", [])
            sizes = [0.75 * (len(kv["key"]) + len(kv["value"])) for kv in found]
            if sizes:
                weights[kind] = {"number": len(sizes), "bytes": round(sum(sizes) / len(sizes))}
        return weights


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


class Measurement:
    """One cluster, and the lines that are printed of it."""

    def __init__(self, handle: ClusterHandle, session: aiohttp.ClientSession, seed: Row) -> None:
        self._handle = handle
        self._session = session
        self._seed = seed
        self._etcd = Etcd(handle, session)
        self._access = load_kubeconfig(handle.rundir.kubeconfig)
        self._tls = tls_context(self._access)

    async def step(self, name: str, act: Callable[[], Awaitable[Any]], **more: Any) -> None:
        """What it cost all processes until `act` was done."""
        revision, counted = await self._revision(), await self._etcd.counters()
        cpu, began_s = cpu_seconds(self._handle), time.monotonic()
        await act()
        seconds, cpu_now = time.monotonic() - began_s, cpu_seconds(self._handle)
        more["writes"] = await self._revision() - revision
        counted_now = await self._etcd.counters()
        self.line(name, seconds, _less(cpu_now, cpu), _less(counted_now, counted), more)

    async def _revision(self) -> int:
        """The newest: each write makes one."""
        url = self._access.server + NAMESPACES_PATH
        async with self._session.get(url, ssl=self._tls) as answer:
            return int((await answer.json())["metadata"]["resourceVersion"])

    async def start(self, seconds: float) -> None:
        """What it cost all processes from nothing until now."""
        await self.weigh("start", cpu_seconds(self._handle), seconds)

    async def weigh(self, name: str, cpu: Mapping[str, float], seconds: float = 0.0) -> None:
        """A line with the memory of the processes and the sizes of the objects."""
        more = {"pss_mb": pss(self._handle), "weights": await self._etcd.weights()}
        self.line(name, seconds, cpu, await self._etcd.counters(), more)

    def line(
        self,
        name: str,
        seconds: float,
        cpu: Mapping[str, float],
        counted: Mapping[str, float],
        more: Row,
    ) -> None:
        """Print one."""
        row = {"step": name, "seconds": round(seconds, 2), "cpu_s": cpu, "etcd": counted}
        click.echo(json.dumps(self._seed | row | more))

    async def watched(self, watchers: int, window_s: float) -> None:
        """A window in which so many clients are told of every Lease."""
        told, before = 0, pss(self._handle)
        url = self._access.server + LEASES_PATH

        async def watch() -> None:
            nonlocal told
            async with self._session.get(url, ssl=self._tls) as answer:
                async for _ in answer.content:
                    told += 1

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(watch()) for _ in range(watchers)]
            await asyncio.sleep(SETTLE_S)
            told, cpu, began_s = 0, cpu_seconds(self._handle), time.monotonic()
            await asyncio.sleep(window_s)
            seconds = time.monotonic() - began_s
            spent = _less(cpu_seconds(self._handle), cpu)
            more = {"told": told, "pss_before_mb": before, "pss_mb": pss(self._handle)}
            self.line("watched", seconds, spent, {}, more)
            for task in running:
                task.cancel()


def _less(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value - before.get(name, 0.0), 2) for name, value in now.items()}


async def _quietly(done: Callable[[], bool], what: str) -> None:
    """Until the condition holds; looking at every change would cost more than what is measured."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not done():
        if time.monotonic() > deadline_s:
            raise click.ClickException(f"not within {TIMEOUT_S:g} s: {what}")
        await asyncio.sleep(LOOK_S)


async def _rollouts(measurement: Measurement, view: ClusterView, nodes: int) -> None:
    async def until_rolled_out(act: Awaitable[Row]) -> None:
        wanted = (await act)["metadata"]["generation"]

        def available() -> bool:
            found = view.daemonset("default", "scale")
            return (
                found is not None
                and found.status.observed_generation >= wanted
                and found.status.updated_number_scheduled == nodes
                and found.status.number_available == nodes
            )

        await _quietly(available, "rolled out")

    async def until_gone(act: Awaitable[object]) -> None:
        await act
        await _quietly(lambda: not view.daemonset("default", "scale"), "deleted")
        await _quietly(lambda: not view.pods("scale"), "pods deleted")

    client = view.client
    change = {"spec": {"template": daemonset("b:2")["spec"]["template"]}}
    create = client.create(DAEMONSETS, daemonset("b:1"))
    await measurement.step("create", lambda: until_rolled_out(create))
    await measurement.weigh("full", {})
    update = client.patch(DAEMONSETS, "scale", change, "default")
    await measurement.step("update", lambda: until_rolled_out(update))
    delete = client.delete(DAEMONSETS, "scale", "default")
    await measurement.step("delete", lambda: until_gone(delete))


async def _measure(handle: ClusterHandle, seed: Row, windows: int, window_s: float) -> None:
    began_s = time.monotonic()
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        measurement = Measurement(handle, await stack.enter_async_context(session), seed)
        nodes = int(seed["nodes"])
        async with handle.view() as view:
            await _quietly(lambda: len(view.ready_nodes()) == nodes, "nodes Ready")
        await measurement.start(time.monotonic() - began_s)
        await asyncio.sleep(SETTLE_S)
        for _ in range(windows):
            await measurement.step("idle", lambda: asyncio.sleep(window_s))
        async with handle.view() as view:
            await _rollouts(measurement, view, nodes)
        if watchers := int(seed["watchers"]):
            await measurement.watched(watchers, window_s)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure what a cluster costs by its size, and make a model of it."""


@main.command()
@click.option("--store", type=click.Choice(["etcd", "sqlite"]), default="etcd", show_default=True)
@click.option("--apiservers", type=click.IntRange(1, 9), default=1, show_default=True)
@click.option("--nodes", type=click.IntRange(1, 10_000), default=200, show_default=True)
@click.option("--windows", type=click.IntRange(1), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=10, show_default=True)
@click.option("--watchers", type=click.IntRange(0), default=0, help="Clients that watch Leases.")
def measure(
    store: str, apiservers: int, nodes: int, windows: int, seconds: float, watchers: int
) -> None:
    """Measure one cluster; JSON lines."""
    settings = lifecycle.new_settings(
        ClusterOptions(nodes_per_agent=100, store=StoreKind(store), apiservers=apiservers),
        nodes=nodes,
        seed=1,
    )
    seed: Row = {"store": store, "apiservers": apiservers, "nodes": nodes, "watchers": watchers}
    with (
        tempfile.TemporaryDirectory(prefix="kubeherd-scale-") as directory,
        ClusterHandle(Path(directory) / "herd", settings) as handle,
    ):
        asyncio.run(_measure(handle, seed, windows, seconds))


@main.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), required=True)
@click.option("--up-to", default=1000, show_default=True, help="Check lines through these sizes.")
def model(files: tuple[Path, ...], up_to: int) -> None:
    """The tables, in Markdown, of what was measured."""
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    try:
        click.echo(tables(rows, up_to))
    except StatisticsError:
        raise click.ClickException(
            "too few: measure clusters with 1, 2 and 3 API servers, and each with two numbers of"
            " nodes or more"
        ) from None


if __name__ == "__main__":
    main()
