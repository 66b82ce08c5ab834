"""Faults on command in clusters of real processes: begun, listed, undone, and gone with their
supervisor."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import kubeherd as command
from killing import kill_and_wait
from patience import PATIENCE_S

import kubeherd
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.faults import Component, effects
from kubeherd.faults.effects import Direction
from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=3) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(cluster: kubeherd.Cluster) -> Iterator[None]:
    yield
    cluster.undo_faults()
    cluster.wait_ready()


def pids(cluster: kubeherd.Cluster) -> dict[str, int]:
    return {process.name: process.pid for process in cluster.processes()}


def boot_id(cluster: kubeherd.Cluster, node: str) -> str:
    return cluster.get("Node", node)["status"]["nodeInfo"]["bootID"]


def test_nodes_crash_hang_and_come_back(cluster: kubeherd.Cluster):
    with (
        cluster.fault(effects.Crash(), nodes=["node-0"]) as crash,
        cluster.fault(effects.Freeze(), nodes="node-1"),
    ):
        cluster.wait_not_ready("node-0", "node-1")
        phases = {process.name: process.phase for process in cluster.processes()}
        assert (phases["node-0"], phases["node-1"]) == ("down", "frozen")
        shown = command(cluster.directory, "faults").stdout.splitlines()
        assert [line.split()[:3] for line in shown[1:]] == [
            ["crash", "crash", "node-0"],
            ["freeze", "freeze", "node-1"],
        ]
        crash.undo()
        cluster.wait_ready("node-0")
        with pytest.raises(kubeherd.LauncherError, match='"node-1" is already frozen'):
            cluster.fault(effects.Freeze(), nodes=["node-0", "node-1"])
        assert [str(fault) for fault in cluster.faults()] == ["freeze node-1"]
    assert cluster.faults() == []
    cluster.wait_ready("node-1")


def test_a_killed_node_is_a_fault_and_the_node_command_undoes_any(cluster: kubeherd.Cluster):
    cluster.kill_node("node-2")
    assert [str(fault) for fault in cluster.faults()] == ["crash node-2"]
    assert [fault.id for fault in cluster.undo_faults("crash")] == ["crash"]
    cluster.fault(effects.Stop(), nodes=["node-1", "node-2"])
    cluster.start_node("node-2")
    assert [str(fault) for fault in cluster.faults()] == ["stop node-1"]


def test_a_partition_is_told_to_the_api_server_and_again_when_that_was_killed(
    cluster: kubeherd.Cluster,
):
    cut = effects.Partition(direction=Direction.REQUESTS)
    with cluster.fault(cut, nodes=["node-1"]):
        cluster.wait_not_ready("node-1")
        cluster.crash("apiserver")
        until_restarted(cluster, "apiserver")
        cluster.fault(effects.Restart(graceful=False), component="apiserver")
        cluster.wait_for("Node", "node-0", kubeherd.is_ready)
        assert not kubeherd.is_ready(cluster.get("Node", "node-1"))
        assert len(cluster.faults()) == 1
    cluster.wait_ready("node-1")


def until_restarted(cluster: kubeherd.Cluster, name: str) -> None:
    """Wait until the supervisor has started it again; each look asks it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not any(one.name == name and one.restarts and one.ready for one in cluster.processes()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_restarts_and_reboots_are_over_when_all_serve(cluster: kubeherd.Cluster):
    before, boots = pids(cluster), [boot_id(cluster, name) for name in cluster.node_names]
    cluster.fault(effects.Restart(rolling=True), nodes=["node-0", "node-2"])
    after = pids(cluster)
    assert [name for name in before if before[name] != after[name]] == ["node-0", "node-2"]
    assert [boot_id(cluster, name) for name in cluster.node_names] == boots
    cluster.fault(effects.Reboot(), nodes=["node-2"])
    cluster.wait_for(
        "Node", "node-2", lambda node: node["status"]["nodeInfo"]["bootID"] != boots[2]
    )
    for component in ("controller-manager", "apiserver"):
        cluster.fault(effects.Restart(), component=component)
    again = pids(cluster)
    assert again["controller-manager"] != after["controller-manager"]
    assert again["apiserver"] != after["apiserver"]
    assert all(process.ready and process.phase != "down" for process in cluster.processes())
    assert cluster.faults() == []


def test_a_component_freezes_for_some_time(cluster: kubeherd.Cluster):
    fault = cluster.fault(effects.Freeze(), component="controller-manager", for_s=5).fault
    assert fault.target == Component("controller-manager")
    deadline_s = time.monotonic() + PATIENCE_S
    while cluster.faults():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert time.time() >= fault.until
    phases = {process.name: process.phase for process in cluster.processes()}
    assert phases["controller-manager"] == "running"


def test_a_file_of_chaos_mesh(cluster: kubeherd.Cluster, tmp_path: Path):
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "victim", "labels": {"app": "web"}},
            "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "app"}]},
        }
    )
    cluster.wait_for("Pod", "victim", kubeherd.is_ready)
    file = tmp_path / "chaos.yaml"
    kill = """
apiVersion: chaos-mesh.org/v1alpha1
kind: PodChaos
metadata: {name: kill, namespace: default}
spec: {action: pod-kill, mode: one, selector: {labelSelectors: {app: web}}}
"""
    file.write_text(f"""{kill}---
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {{name: gone, namespace: default}}
spec: {{action: corrupt, mode: all, selector: {{nodes: [node-1]}}}}
""")
    done = command(cluster.directory, "fault", "apply", "-f", str(file))
    assert done.stderr == 'Error: NetworkChaos.spec.action "corrupt" has no counterpart\n'
    assert kubeherd.is_ready(cluster.get("Pod", "victim"))
    file.write_text(f"""{kill}---
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {{name: gone, namespace: default}}
spec: {{action: partition, mode: all, direction: both, selector: {{labelSelectors: {{app: web}}}}}}
""")
    done = command(cluster.directory, "fault", "apply", "-f", str(file))
    assert (done.returncode, done.stdout) == (0, "gone\n"), done.stderr
    assert "deleted default/victim" in done.stderr
    cluster.wait_gone("Pod", "victim")
    assert [str(fault) for fault in cluster.faults()] == ["partition node-1"]


def test_faults_end_with_the_supervisor_even_if_it_is_killed(tmp_path: Path):
    cluster = kubeherd.Cluster(tmp_path / "herd", nodes=2, speed=20, store="memory", detached=True)
    try:
        cluster.start()
        cluster.fault(effects.Crash(), nodes=["node-0"])
        cluster.fault(effects.Freeze(), nodes=["node-1"])
        supervisor = next(filter(osproc.leads_session, osproc.marked(cluster.directory)))
        kill_and_wait(supervisor)
        kept = cluster.directory / "run" / "faults.json"
        assert b'"crash"' in kept.read_bytes()
        up = command(cluster.directory, "up")
        assert "the faults that were in force are over" in up.stderr
        assert up.returncode == 0
        cluster.wait_ready()
        assert cluster.faults() == []
        assert not kept.exists()
    finally:
        cluster.stop()
    assert osproc.marked(cluster.directory) == []
