"""`kubeherd.Cluster` and `kubeherd.AsyncCluster` with real processes."""

import asyncio
import contextlib
import doctest
import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import kubeherd
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.processes import osproc

pytestmark = pytest.mark.integration

CONFIGMAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c"},
    "data": {"a": "1"},
}


def on_two_nodes(daemonset: JsonObject) -> bool:
    return bool(daemonset.get("status", {}).get("numberAvailable") == 2)


def test_the_life_of_nodes(daemonset: Callable[..., JsonObject]):
    with kubeherd.Cluster(nodes=2, speed=10) as cluster:
        cluster.apply(daemonset("web"))
        # the controller may hear of the DaemonSet before it hears of the second node
        cluster.wait_for("DaemonSet", "web", on_two_nodes)
        assert cluster.wait_rolled_out("web")["status"]["numberAvailable"] == 2
        assert cluster.add_node("edge") == ["edge"]
        assert cluster.add_node(count=1) == ["node-2"]
        cluster.wait_ready()
        cluster.kill_node("node-0", "edge")
        cluster.wait_not_ready("node-0", "edge")
        states = {process.name: process for process in cluster.processes()}
        assert (states["edge"].phase, states["edge"].pid) == ("down", 0)
        cluster.start_node("edge")
        cluster.wait_ready("edge")
        cluster.freeze_node("node-1")
        with pytest.raises(kubeherd.LauncherError, match="already frozen"):
            cluster.freeze_node("node-1")
        cluster.thaw_node("node-1")
        cluster.stop_node("node-1")
        cluster.remove_node("node-0")
        cluster.wait_gone("Node", "node-0")
        assert cluster.node_names == ["node-1", "edge", "node-2"]
        directory = cluster.directory
    assert not directory.exists()
    assert osproc.marked(directory) == []


def test_objects(tmp_path: Path):
    with kubeherd.Cluster(nodes=0) as cluster:
        (made,) = cluster.apply(CONFIGMAP)
        assert made["metadata"]["namespace"] == "default"
        text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {b: x}}"
        changed = cluster.apply(text)
        assert changed[0]["data"] == {"b": "x"}
        assert cluster.get("configmaps", "c") == changed[0]
        names = [o["metadata"]["name"] for o in cluster.list("ConfigMap", "default")]
        assert "c" in names
        assert cluster.list("ConfigMap", field_selector="metadata.name=none") == []
        cluster.delete("ConfigMap", "c")
        cluster.wait_gone("ConfigMap", "c")
        with pytest.raises(kubeherd.NotFound):
            cluster.get("ConfigMap", "c")


def test_a_directory_keeps_the_cluster(tmp_path: Path):
    with kubeherd.Cluster(tmp_path / "c", nodes=1, seed=5, speed=10) as cluster:
        cluster.apply(CONFIGMAP)
        cluster.add_node("edge")
    again = kubeherd.Cluster(tmp_path / "c", nodes=7)
    with again:
        assert (again.node_names, again.seed) == (["node-0", "edge"], 5)
        assert again.get("ConfigMap", "c")["data"] == {"a": "1"}
        again.crash("apiserver")
        again.wait_for("ConfigMap", "c", lambda found: found["data"] == {"a": "1"})


def test_a_cluster_that_runs_already_is_used_but_not_started(tmp_path: Path):
    with kubeherd.Cluster(tmp_path / "c", nodes=1):
        other = kubeherd.Cluster(tmp_path / "c")
        other.wait_ready("node-0")
        with pytest.raises(kubeherd.LauncherError, match="already running"):
            other.start()
        assert other.get("Node", "node-0")["metadata"]["name"] == "node-0"


def test_a_port_that_somebody_took_is_replaced(tmp_path: Path):
    cluster = kubeherd.Cluster(tmp_path / "c", nodes=0)
    port = int(cluster.server.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), cluster:
        assert cluster.server != f"https://127.0.0.1:{port}"
        assert cluster.list("Node") == []


def test_a_port_that_was_asked_for_is_not_replaced(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cluster = kubeherd.Cluster(tmp_path / "c", nodes=0, port=taken.getsockname()[1])
        with pytest.raises(kubeherd.LauncherError, match="in use"):
            cluster.start()
    assert osproc.marked(tmp_path / "c") == []


async def test_asynchronous(daemonset: Callable[..., JsonObject]):
    async with kubeherd.AsyncCluster(nodes=2, speed=10) as cluster:
        await cluster.apply(daemonset("web"))
        await cluster.wait_for("DaemonSet", "web", on_two_nodes)
        await cluster.wait_rolled_out("web")
        await cluster.kill_node("node-1")
        await cluster.wait_not_ready("node-1")
        await cluster.start_node("node-1")
        pods = await cluster.wait_for_list(
            "Pod", lambda pods: sum(map(kubeherd.is_ready, pods)) == 2, label_selector="app=web"
        )
        assert {pod["spec"]["nodeName"] for pod in pods} == set(cluster.node_names)
        await cluster.crash("controller-manager")
        await cluster.remove_node("node-1")
        assert [p.name for p in await cluster.processes()][-1] == "node-0"
        directory = cluster.directory
    assert not directory.exists()


async def test_a_wait_ends_when_it_is_cancelled():
    async with kubeherd.AsyncCluster(nodes=0) as cluster:
        waiting = asyncio.create_task(cluster.wait_ready("ghost", timeout_s=60))
        await cluster.list("Node")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path):
    cluster = kubeherd.AsyncCluster(tmp_path / "c", nodes=1)
    starting = asyncio.create_task(cluster.start())
    # a thread makes the file; there is no event to wait for
    while not (tmp_path / "c" / "cluster.json").exists():  # noqa: ASYNC110
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert osproc.marked(tmp_path / "c") == []


def test_a_detached_cluster_outlives_its_program(tmp_path: Path):
    directory = str(tmp_path / "c")
    program = f"import kubeherd\nkubeherd.Cluster({directory!r}, nodes=0, detached=True).start()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    cluster = kubeherd.Cluster(tmp_path / "c")
    try:
        assert cluster.list("Node") == []
    finally:
        cluster.stop()
    assert osproc.marked(tmp_path / "c") == []


def test_a_forked_program_starts_clusters_of_its_own(tmp_path: Path):
    with kubeherd.Cluster(tmp_path / "a", nodes=0):
        pid = os.fork()
        if pid == 0:
            code = 1
            with contextlib.suppress(BaseException), kubeherd.Cluster(tmp_path / "b", nodes=0) as b:
                code = 0 if b.list("Node") == [] else 1
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert osproc.marked(tmp_path / "b") == []
        assert lifecycle.current_state(kubeherd.Cluster(tmp_path / "a")._rundir)[0].ready


@pytest.mark.parametrize("module", ["blocking", "asynchronous", "conditions"])
def test_examples_in_docstrings(module: str):
    results = doctest.testmod(importlib.import_module(f"kubeherd.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
