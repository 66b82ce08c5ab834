"""A controller manager and an agent as processes that use the JSON API of Kubernetes alone."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from liveherd import Herd
from patience import PATIENCE_S

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.processes import osproc

pytestmark = pytest.mark.integration

SPEED = "20"


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours beside the cluster's, ended in order."""
    with log.open("wb") as output:
        command = [sys.executable, "-m", *arguments, "--speed", SPEED, "--seed", "1"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
    text = log.read_text()
    assert "Traceback" not in text, text
    assert process.returncode == 0, text


@pytest.mark.kubeherd(nodes=1, speed=float(SPEED))
async def test_portable_processes_roll_a_daemonset_out(
    herd: Herd, daemonset: Callable[..., JsonObject], tmp_path: Path
):
    kubeconfig = str(herd.kubeconfig)
    manager = ("kubeherd.controller", "--kubeconfig", kubeconfig, "--portable")
    agent = (
        "kubeherd.agents",
        "--node",
        "json-only",
        "--fleet-kubeconfig",
        kubeconfig,
        "--json-only",
    )
    supervised = herd.handle.process("controller-manager").process
    assert supervised is not None
    with running(tmp_path / "agent.log", *agent), running(tmp_path / "manager.log", *manager):
        await herd.until(lambda: "json-only" in herd.view.ready_nodes(), "the JSON agent is Ready")
        assert osproc.send_signal(supervised, signal.SIGSTOP)  # its lease runs out
        try:
            await herd.apply(daemonset("web"))
            await herd.until_running("web", "json-only", "node-0")
            await herd.set_image("web", "app:2")
            await herd.until_running("web", "json-only", "node-0")
            assert {p.spec.containers[0].image for p in herd.pods("web")} == {"app:2"}
        finally:
            osproc.send_signal(supervised, signal.SIGCONT)
