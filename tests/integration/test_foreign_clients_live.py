"""Clients that are no Python programs, each doing what it is mostly used for, on one cluster.

scripts/get_test_clients.py fetches them, where they can be had: kubectl of the oldest age that is
tried (it knows SPDY only), of a middle one and of the newest, Helm, the JavaScript client.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S

import kubeherd
from kubeherd.pytest_plugin.clusters import Clusters

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
CLIENT = Path(sys.prefix) / "javascript" / "node_modules" / "@kubernetes" / "client-node"
FETCH = "scripts/get_test_clients.py fetches it, where it can be had"
MANIFESTS = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {kubeherd.io/port-forward: '{"80": {"body": "hello"}}'}
    spec:
      containers:
      - {name: main, image: "app:1", command: [sh, -c, echo text > /tmp/file; echo up; sleep 1000]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
"""

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=1, speed=1) as cluster:
        yield cluster


class Program:
    """A program with the cluster's kubeconfig, and a namespace of its own."""

    def __init__(self, path: Path, cluster: kubeherd.Cluster, directory: Path) -> None:
        self._path = path
        self._directory = directory
        self._environment = os.environ | {
            "KUBECONFIG": str(cluster.kubeconfig),
            "HOME": str(directory),
        }

    def __call__(self, *words: str, code: int = 0, stdin: str = "") -> str:
        """Everything printed, by a command that ends with this code."""
        done = subprocess.run(
            [str(self._path), *words],
            env=self._environment,
            cwd=self._directory,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def started(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self._path), *words],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.mark.parametrize("version", ["1.27", "1.32", "1.36"])
def test_kubectl_of_any_age(version: str, cluster: kubeherd.Cluster, tmp_path: Path) -> None:
    path = BIN / f"kubectl-{version}"
    if not path.exists():
        pytest.skip(f"no {path.name}: {FETCH}")
    kubectl = Program(path, cluster, tmp_path)
    namespace = f"kubectl-{version.replace('.', '-')}"
    kubectl("create", "namespace", namespace)
    kubectl("config", "set-context", "--current", "--namespace", namespace)
    assert "daemonset.apps/web created" in kubectl("apply", "-f", "-", stdin=MANIFESTS)
    assert "successfully rolled out" in kubectl("rollout", "status", "ds/web", "--timeout=90s")
    changed = MANIFESTS.replace("app:1", "app:2")
    assert "app:2" in kubectl("diff", "-f", "-", stdin=changed, code=1)
    pod = kubectl("get", "pods", "-o", "name").strip()
    assert kubectl("logs", pod) == "up\n"
    failed = kubectl("exec", pod, "--", "sh", "-c", "cat /tmp/file; exit 3", code=3)
    assert failed == "text\ncommand terminated with exit code 3\n"
    kubectl("cp", f"{pod.removeprefix('pod/')}:/tmp/file", "copied")
    assert (tmp_path / "copied").read_text() == "text\n"
    assert forwarded(kubectl, pod).endswith("hello")
    kubectl("label", pod, "team=a")
    assert "node-0" in kubectl("get", "pods", "-l", "team=a", "-o", "wide")
    kubectl("wait", "--for=condition=Ready", pod, "--timeout=90s")
    edited = kubectl("patch", "configmap", "settings", "-p", '{"data":{"a":"c"}}', "-o", "yaml")
    assert "a: c" in edited
    assert "FIELD" in kubectl("explain", "ds.spec.updateStrategy")
    assert kubectl("auth", "can-i", "get", "pods", "--as=nobody", code=1) == "no\n"
    assert kubectl("create", "token", "default").count(".") == 2
    kubectl("delete", "-f", "-", stdin=MANIFESTS)


def forwarded(kubectl: Program, pod: str) -> str:
    """What a web server in the pod answers through a forwarded port."""
    with kubectl.started("port-forward", pod, ":80", "--address=127.0.0.1") as forwarding:
        try:
            assert forwarding.stdout is not None
            line = forwarding.stdout.readline()
            port = int(line.partition("127.0.0.1:")[2].partition(" ")[0])
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                return b"".join(iter(lambda: client.recv(4096), b"")).decode()
        finally:
            forwarding.terminate()


def test_helm(cluster: kubeherd.Cluster, tmp_path: Path) -> None:
    if not (BIN / "helm").exists():
        pytest.skip(f"no helm: {FETCH}")
    helm = Program(BIN / "helm", cluster, tmp_path)
    here = ("-n", "helm", "--wait", "--timeout", "60s")

    def image() -> str:
        template: dict[str, Any] = cluster.get("DaemonSet", "agent", "helm")["spec"]["template"]
        return str(template["spec"]["containers"][0]["image"])

    chart = str(HERE / "chart")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "helm"}})
    cluster.wait_for("ServiceAccount", "default", bool, "helm")
    assert "deployed" in helm("install", "a", chart, *here)
    assert (image(), cluster.get("Pod", "migrate", "helm")["status"]["phase"]) == (
        "app:1",
        "Succeeded",
    )
    helm("upgrade", "a", chart, "--set", "image=app:2", *here)
    assert image() == "app:2"
    helm("rollback", "a", *here)
    assert image() == "app:1"
    history = json.loads(helm("history", "a", "-n", "helm", "-o", "json"))
    assert [one["status"] for one in history] == ["superseded", "superseded", "deployed"]
    helm("uninstall", "a", *here)
    assert [one["metadata"]["name"] for one in cluster.list("Pod", "helm")] == ["migrate"]


def test_the_javascript_client(cluster: kubeherd.Cluster, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not CLIENT.exists():
        pytest.skip(f"no JavaScript client: {FETCH}")
    program = Program(Path(node), cluster, tmp_path)
    told = program(str(HERE / "javascript" / "story.mjs"), str(CLIENT), "default")
    assert json.loads(told.splitlines()[-1]) == {
        "labels": {"a": "b"},
        "exec": ["text\n", "3"],
        "log": "started\n",
        "forwarded": "hello",
        "refused": 404,
    }
