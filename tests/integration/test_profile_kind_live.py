"""A cluster that looks like kind's, as kubectl shows it; what was changed stays so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kubeherd

BESIDE_PYTHON = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=f"{os.environ.get('PATH', '')}:{BESIDE_PYTHON}")
MIRROR = "etcd-control-plane"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one"),
]


def kubectl(cluster: kubeherd.Cluster, *args: str) -> str:
    command = [str(KUBECTL), "--kubeconfig", str(cluster.kubeconfig), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def workload(pod: dict[str, Any]) -> str:
    """The name of a pod without what differs from pod to pod."""
    name: str = pod["metadata"]["name"]
    (owner,) = pod["metadata"]["ownerReferences"]
    if owner["kind"] == "Node":
        return name
    parts = 2 if owner["kind"] == "ReplicaSet" else 1
    return "-".join(name.split("-")[:-parts])


@pytest.mark.kubeherd(nodes=1, profile="kind")
def test_what_a_fresh_cluster_shows(kubeherd_cluster: kubeherd.Cluster):
    cluster = kubeherd_cluster
    shown = [line.split()[:3] for line in kubectl(cluster, "get", "nodes").splitlines()[1:]]
    assert shown == [
        ["control-plane", "Ready", "control-plane"],
        ["node-0", "Ready", "<none>"],
    ]
    pods = json.loads(kubectl(cluster, "get", "pods", "-A", "-o", "json"))["items"]
    assert sorted(workload(pod) for pod in pods) == [
        "coredns",
        "coredns",
        "etcd-control-plane",
        "kindnet",
        "kindnet",
        "kube-apiserver-control-plane",
        "kube-controller-manager-control-plane",
        "kube-proxy",
        "kube-proxy",
        "kube-scheduler-control-plane",
        "local-path-provisioner",
    ]
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    taints = cluster.get("Node", "control-plane")["spec"]["taints"]
    assert taints == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    dns = kubectl(cluster, "-n", "kube-system", "get", "service", "kube-dns")
    assert dns.splitlines()[1].split()[2] == "10.96.0.10"

    uid = cluster.get("Pod", MIRROR, "kube-system")["metadata"]["uid"]
    kubectl(cluster, "-n", "kube-system", "delete", "pod", MIRROR)
    cluster.wait_for(
        "Pod", MIRROR, lambda pod: pod["metadata"]["uid"] != uid, "kube-system", what="a new mirror"
    )
    kubectl(cluster, "drain", "control-plane", "--ignore-daemonsets", "--timeout=90s")
    assert cluster.get("Pod", MIRROR, "kube-system")["status"]["phase"] == "Running"

    kubectl(cluster, "-n", "kube-system", "delete", "daemonset", "kindnet")
    cluster.stop()
    cluster.start()
    names = {ds["metadata"]["name"] for ds in cluster.list("daemonsets", "kube-system")}
    assert names == {"kube-proxy"}


@pytest.mark.kubeherd(nodes=0, nodes_per_agent=2, profile="kind")
def test_alone_the_control_plane_takes_all_pods(kubeherd_cluster: kubeherd.Cluster):
    node = kubeherd_cluster.get("Node", "control-plane")
    assert node["spec"].get("taints", []) == []
    pods = kubeherd_cluster.list("pods", "kube-system", label_selector="k8s-app=kube-dns")
    assert [pod["spec"]["nodeName"] for pod in pods] == ["control-plane"] * 2
