"""The rows of delivery: an event to many watchers, and a GET while the cluster is busy.

What loads and what asks are processes of their own, which share the cores with what is measured.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kubeherd.bench.measure import Row, cluster, cpu_seconds
from kubeherd.bench.neutral import Act, Done, in_rounds, stubs, timed
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role

WATCHERS: Final = 1000
EVENTS: Final = 50
BUSY_NODES: Final = 5000
HEARTBEATS_S: Final = 30.0


def watchers(count: int = WATCHERS, events: int = EVENTS) -> Iterator[Row]:
    """From a write to the last of the watchers; what an event to one of them costs the server.
    `bare_ms`: how long a server takes that does nothing but send."""
    numbers = ("--watchers", str(count), "--events", str(events))
    with cluster(nodes=0) as handle:
        cpu_s, measured = _watched(handle, *numbers)
        with _program("bareserver", "--pki", str(handle.rundir.pki)) as bare:
            port = str(_told_by(bare)["port"])
            _, bare_measured = _watched(handle, *numbers, "--port", port)
        took_ms = measured["delivered_ms"]
        detail: JsonObject = {
            "spread": [min(took_ms), max(took_ms)],
            "one_watcher_ms": statistics.median(measured["alone_ms"]),
            "bare_ms": statistics.median(bare_measured["delivered_ms"]),
            "server_cpu_us": round(1e6 * cpu_s / events / count, 1),
        }
        yield Row(f"watch-{count}", statistics.median(took_ms), "ms", 15, detail=detail)


def _watched(handle: ClusterHandle, *options: str) -> tuple[float, JsonObject]:
    """CPU seconds of the API server while watchers are told, and what they measured."""
    with _program("watchers", *_kubeconfig(handle), *options) as it:
        _told_by(it)
        _told_by(it)
        cpu_s = cpu_seconds(handle, Role.APISERVER)
        measured = _told_by(it)
        return cpu_seconds(handle, Role.APISERVER) - cpu_s, measured


def busy_get(nodes: int = BUSY_NODES) -> Iterator[Row]:
    """The 99th percentile of a GET while stub nodes heartbeat, and while a DaemonSet's pods are
    made on all of them, replaced and deleted."""
    with cluster(nodes=0) as handle, stubs(handle, nodes):
        (steps,) = asyncio.run(in_rounds(handle, nodes, 1, _probed))
        with _prober(handle) as answered:
            time.sleep(HEARTBEATS_S)
        for step, waited in {**steps, "heartbeats": answered}.items():
            yield Row(f"get-p99-{step}-{nodes}", waited["p99_ms"], "ms", 20, detail=waited)


async def _probed(handle: ClusterHandle, act: Act, done: Done) -> JsonObject:
    """What the prober says of a step."""
    with _prober(handle) as answered:
        await timed(handle, act, done)
    return answered


@contextmanager
def _prober(handle: ClusterHandle) -> Iterator[JsonObject]:
    """Something asks meanwhile: what it says is in the yielded tree afterwards."""
    waited: JsonObject = {}
    with _program("prober", *_kubeconfig(handle)) as prober:
        _told_by(prober)
        yield waited
        if prober.stdin is not None:
            prober.stdin.close()
        waited |= _told_by(prober)


def _kubeconfig(handle: ClusterHandle) -> tuple[str, str]:
    return "--kubeconfig", str(handle.rundir.kubeconfig)


@contextmanager
def _program(module: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """One of this package's programs, which prints JSON lines."""
    command = [sys.executable, "-P", "-m", f"kubeherd.bench.{module}", *options]
    with subprocess.Popen(  # noqa: S603 - a module of ours
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _told_by(process: "subprocess.Popen[str]") -> JsonObject:
    """Its next line. RuntimeError if it has failed."""
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise RuntimeError("a program of the benchmark failed")
    told: JsonObject = json.loads(line)
    return told
