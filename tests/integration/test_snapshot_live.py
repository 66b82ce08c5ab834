"""Snapshots of real processes: taken while they run, restored, and brought up."""

import lzma
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from etcdserver import find_etcd

import kubeherd
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.snapshot import fileformat

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[1] / "data" / "etcd-snapshot.db.xz"
PAGE = Path(__file__).parents[2] / "docs/how-to/rehearse-production.md"
DIES = "ip-10-1-0-1.ec2.internal"
"""The node in the zone eu-1a of the recorded cluster, with all pods of the Deployment web."""


def snapshot(*args: str | Path) -> str:
    """What `kubeherd snapshot` says."""
    command = [sys.executable, "-P", "-m", "kubeherd.cluster.cli.main", "snapshot"]
    done = subprocess.run(
        [*command, *map(str, args)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def of_pod(pod: JsonObject) -> tuple[str, str, str, int]:
    """What must not change: who it is, where, in which container, started how often."""
    (container,) = pod["status"]["containerStatuses"]
    return (
        pod["metadata"]["uid"],
        pod["spec"]["nodeName"],
        container["containerID"],
        container["restartCount"],
    )


def two_run(pods: Sequence[JsonObject]) -> bool:
    return [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]


def test_a_running_memory_cluster_comes_back_durable(
    daemonset: Callable[..., JsonObject], tmp_path: Path
):
    file = tmp_path / "c.snapshot"
    with kubeherd.Cluster(tmp_path / "first", store="memory", nodes=2, speed=10) as cluster:
        cluster.apply(daemonset("web"))
        before = sorted(map(of_pod, cluster.wait_for_list("Pod", two_run, "default")))
        snapshot("save", file, "--dir", tmp_path / "first")
        revision = int(cluster.get("DaemonSet", "web")["metadata"]["resourceVersion"])
    snapshot("restore", file, "--dir", tmp_path / "again")
    with kubeherd.Cluster(tmp_path / "again") as again:
        assert sorted(map(of_pod, again.list("Pod", "default"))) == before
        assert (again.node_names, again.speed) == (["node-0", "node-1"], 10)
        (made,) = again.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
        assert int(made["metadata"]["resourceVersion"]) > revision + 1_000_000_000
        again.kill_node("node-1")
        again.wait_not_ready("node-1")


def states(directory: Path) -> dict[tuple[str, str, str], JsonObject]:
    """All objects of a cluster that runs, but for what its processes make anew or go on with."""
    file = directory.with_suffix(".snapshot")
    snapshot("save", file, "--dir", directory)
    entries = fileformat.decode(file.read_bytes()).entries
    return {
        (entry.resource, entry.namespace, entry.name): entry.tree()
        for entry in entries
        if entry.resource not in GOES_ON and entry.name not in MADE_ANEW
    }


GOES_ON = {"events", "leases.coordination.k8s.io", "nodes"}
"""Nodes report, and who starts says so."""
MADE_ANEW = {"kube-root-ca.crt", "extension-apiserver-authentication", "cluster-info"}


@pytest.mark.skipif(find_etcd() is None or not find_spec("hpack"), reason="there is no etcd")
def test_objects_go_from_sqlite_to_etcd_to_memory_and_stay_the_same(
    daemonset: Callable[..., JsonObject], tmp_path: Path
):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    with kubeherd.Cluster(first, store="sqlite", nodes=2, speed=10) as cluster:
        cluster.apply(daemonset("web"))
        cluster.wait_for("DaemonSet", "web", lambda d: d["status"].get("numberAvailable") == 2)
        before = states(first)
        pods = sorted(map(of_pod, cluster.list("Pod", "default")))
    snapshot("restore", first.with_suffix(".snapshot"), "--dir", second, "--store", "etcd")
    with kubeherd.Cluster(second) as cluster:
        assert sorted(map(of_pod, cluster.list("Pod", "default"))) == pods
        assert states(second) == before
    snapshot("restore", second.with_suffix(".snapshot"), "--dir", third, "--store", "memory")
    with kubeherd.Cluster(third) as cluster:
        assert RunDir(third).load_settings().store == "memory"
        assert sorted(map(of_pod, cluster.list("Pod", "default"))) == pods
        assert states(third) == before


def test_the_example_of_the_page_with_the_state_of_a_real_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Before its nodes die here they are what they were, and so are their pods."""
    (tmp_path / "prod.snapshot").write_bytes(lzma.decompress(RECORDED.read_bytes()))
    code = PAGE.read_text().split("```python")[1].split("```")[0].replace("app=shop", "app=web")
    example: dict[str, Callable[[Path], None]] = {}
    exec(code, example)
    kill_node = kubeherd.Cluster.kill_node
    killed: list[str] = []

    def looked_at(cluster: kubeherd.Cluster, *names: str) -> list[str]:
        node = cluster.get("Node", DIES)
        assert node["status"]["capacity"]["nvidia.com/gpu"] == "2"
        assert node["metadata"]["labels"]["kubernetes.io/arch"] == "arm64"
        pods = cluster.list("Pod", "default")
        assert {(of_pod(pod)[1], of_pod(pod)[3]) for pod in pods} == {(DIES, 2)}
        assert cluster.get("Secret", "pw")["data"] == {"password": "aHVudGVyMg=="}
        killed.extend(names)
        return list(kill_node(cluster, *names))

    monkeypatch.setattr(kubeherd.Cluster, "kill_node", looked_at)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    example["test_the_shop_survives_a_zone"](tmp_path)
    assert killed == [DIES]
