"""The operator on a cluster that is hurt: it reports all the same."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kubeherd

OPERATOR = Path(__file__).parents[1] / "daemonset_reports.py"


def daemonset(image: str = "app:1") -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "web", "namespace": "default", "labels": {"report": "yes"}},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
        },
    }


class Operator:
    """The operator as a process that can be killed and started again."""

    def __init__(self, kubeconfig: Path) -> None:
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces"]
        self._process = subprocess.Popen([*command, str(OPERATOR)], env=self._environment)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def operator(kubeherd_cluster: kubeherd.Cluster) -> Iterator[Operator]:
    process = Operator(kubeherd_cluster.kubeconfig)
    process.start()
    yield process
    process.kill()


def reports(image: str) -> Callable[[dict[str, Any]], bool]:
    return lambda config_map: config_map["data"]["image"] == image


def says(image: str) -> Callable[[dict[str, Any]], bool]:
    """The operator's last word on a DaemonSet: its handler has ended."""
    return lambda found: found["metadata"].get("annotations", {}).get("reported-image") == image


def test_follows_a_daemonset_from_its_creation_to_its_end(
    kubeherd_cluster: kubeherd.Cluster, operator: Operator
) -> None:
    kubeherd_cluster.apply(daemonset())
    kubeherd_cluster.wait_for("ConfigMap", "web-report", reports("app:1"))
    kubeherd_cluster.apply(daemonset("app:2"))
    kubeherd_cluster.wait_for("ConfigMap", "web-report", reports("app:2"))
    kubeherd_cluster.delete("DaemonSet", "web")
    kubeherd_cluster.wait_gone("DaemonSet", "web")  # the operator let go of its finalizer
    kubeherd_cluster.wait_gone("ConfigMap", "web-report")
    kubeherd_cluster.wait_for_list(
        "Event", lambda events: {"Reported", "Goodbye"} <= {event["reason"] for event in events}
    )


def test_reports_with_a_node_down(kubeherd_cluster: kubeherd.Cluster, operator: Operator) -> None:
    kubeherd_cluster.apply(daemonset())
    kubeherd_cluster.wait_for("DaemonSet", "web", says("app:1"))
    kubeherd_cluster.kill_node("node-1")
    kubeherd_cluster.wait_not_ready("node-1")
    kubeherd_cluster.apply(daemonset("app:2"))
    kubeherd_cluster.wait_for("ConfigMap", "web-report", reports("app:2"))


def test_catches_up_when_it_was_killed_itself(
    kubeherd_cluster: kubeherd.Cluster, operator: Operator
) -> None:
    kubeherd_cluster.apply(daemonset())
    kubeherd_cluster.wait_for("ConfigMap", "web-report", reports("app:1"))
    operator.kill()
    kubeherd_cluster.apply(daemonset("app:2"))
    kubeherd_cluster.delete("ConfigMap", "web-report")
    operator.start()
    kubeherd_cluster.wait_for("ConfigMap", "web-report", reports("app:2"))
