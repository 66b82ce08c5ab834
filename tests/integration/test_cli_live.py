"""The `kubeherd` command on a real cluster: exit codes, messages, what is left afterwards."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import kubeherd
from killing import kill_and_wait
from patience import PATIENCE_S

from kubeherd.cluster.launcher.processes import osproc

pytestmark = pytest.mark.integration


def failure_of(result: subprocess.CompletedProcess) -> str:
    """The one line on standard error of a command that failed."""
    assert result.returncode == 1, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture
def directory(tmp_path: Path):
    directory = tmp_path / "herd"
    yield directory
    if osproc.marked(directory):
        kubeherd(directory, "down")
    assert osproc.marked(directory) == []


def status_of(directory: Path):
    return json.loads(kubeherd(directory, "status", "-o", "json").stdout)


def test_a_life(directory: Path):
    up = kubeherd(directory, "up", "--nodes", "2", "--seed", "4")
    assert up.returncode == 0, up.stderr
    assert f"export KUBECONFIG={directory}/kubeconfig" in up.stdout
    status = status_of(directory)
    assert [(p["name"], p["role"], p["alive"]) for p in status["processes"]] == [
        ("apiserver", "apiserver", True),
        ("controller-manager", "controller-manager", True),
        ("node-0", "agent", True),
        ("node-1", "agent", True),
    ]
    assert [(n["name"], n["ready"]) for n in status["nodes"]] == [
        ("node-0", True),
        ("node-1", True),
    ]
    assert status["apiserver"]["pid"] == status["processes"][0]["pid"]
    assert status["apiserver"]["url"].startswith("https://127.0.0.1:")
    for path in (directory / "kubeconfig", directory / "pki" / "ca.key"):
        assert path.stat().st_mode & 0o777 == 0o600

    assert "already running" in failure_of(kubeherd(directory, "up"))

    assert kubeherd(directory, "node", "add", "edge-1").returncode == 0
    assert kubeherd(directory, "node", "add", "--count", "1").returncode == 0
    assert kubeherd(directory, "node", "kill", "node-0").returncode == 0
    assert 'node "node-0" is not running' in failure_of(
        kubeherd(directory, "node", "stop", "node-0")
    )
    assert kubeherd(directory, "node", "start", "node-0").returncode == 0
    assert kubeherd(directory, "node", "freeze", "node-0").returncode == 0
    assert kubeherd(directory, "node", "thaw", "node-0").returncode == 0
    assert kubeherd(directory, "node", "stop", "node-1").returncode == 0
    assert kubeherd(directory, "node", "rm", "node-1").returncode == 0
    assert 'no node "ghost"' in failure_of(kubeherd(directory, "node", "kill", "ghost"))
    assert '"Bad_Name" is not a node name' in failure_of(
        kubeherd(directory, "node", "add", "Bad_Name")
    )
    assert [n["name"] for n in status_of(directory)["nodes"]] == ["node-0", "edge-1", "node-2"]

    assert kubeherd(directory, "speed", "5").returncode == 0
    assert kubeherd(directory, "speed").stdout == "5\n"
    assert [n["name"] for n in status_of(directory)["nodes"] if n["pid"]] == [
        "node-0",
        "edge-1",
        "node-2",
    ]

    log = kubeherd(directory, "logs", "node-0")
    assert log.returncode == 0
    assert all(json.loads(line)["event"] for line in log.stdout.splitlines())
    assert 'no process "ghost"' in failure_of(kubeherd(directory, "logs", "ghost"))

    pids = [p["pid"] for p in status_of(directory)["processes"]]
    assert kubeherd(directory, "down").returncode == 0
    assert all(osproc.identify(pid) is None for pid in pids)
    assert kubeherd(directory, "down").returncode == 0
    assert not any(p["alive"] for p in status_of(directory)["processes"])
    assert "is not running" in failure_of(kubeherd(directory, "node", "kill", "node-0"))

    again = kubeherd(directory, "up")
    assert again.returncode == 0, again.stderr
    assert [(n["name"], n["ready"]) for n in status_of(directory)["nodes"]] == [
        ("node-0", True),
        ("edge-1", True),
        ("node-2", True),
    ]
    assert kubeherd(directory, "down", "--purge").returncode == 0
    assert not directory.exists()


def kill_supervisor(directory: Path) -> None:
    supervisor = osproc.identify(status_of(directory)["supervisor"]["pid"])
    assert supervisor is not None
    kill_and_wait(supervisor)


def test_killed_supervisor_leaves_no_orphan(directory: Path):
    assert kubeherd(directory, "up", "--nodes", "1").returncode == 0
    first = status_of(directory)
    kill_supervisor(directory)
    after = status_of(directory)
    assert after["supervisor"]["pid"] is None
    assert [p["pid"] for p in after["processes"]] == [p["pid"] for p in first["processes"]]
    assert kubeherd(directory, "up").returncode == 0
    assert not {p["pid"] for p in status_of(directory)["processes"]} & {
        p["pid"] for p in first["processes"]
    }
    kill_supervisor(directory)
    assert kubeherd(directory, "down").returncode == 0
    assert osproc.marked(directory) == []
    assert not list((directory / "run").glob("*.sock"))


def test_foreground_ends_with_sigterm(directory: Path):
    command = [
        sys.executable,
        "-P",
        "-m",
        "kubeherd.cluster.cli.main",
        "up",
        "--nodes",
        "0",
        "--foreground",
    ]
    environment = {**os.environ, "KUBEHERD_DIR": str(directory)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        process.terminate()
        process.stdout.read()
        assert process.wait(PATIENCE_S) == 0
    assert osproc.marked(directory) == []


def test_port_in_use(directory: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = kubeherd(directory, "up", "--port", str(port))
    assert f"port {port} of 127.0.0.1 is in use" in failure_of(result)
    assert not directory.exists()


def test_corrupt_store(directory: Path):
    assert kubeherd(directory, "up", "--nodes", "0").returncode == 0
    assert kubeherd(directory, "down").returncode == 0
    store = directory / "store.db"
    for suffix in ("-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    store.write_bytes(b"this is not a database" * 1000)
    damaged = store.read_bytes()
    assert "store.db" in failure_of(kubeherd(directory, "up"))
    assert store.read_bytes() == damaged


def test_no_cluster(directory: Path):
    assert f"no cluster in {directory}" in failure_of(kubeherd(directory, "status"))
    assert kubeherd(directory, "down").returncode == 0


def test_directory_that_cannot_be(tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = kubeherd(tmp_path / "file" / "herd", "up", "--nodes", "0")
    assert "Not a directory" in failure_of(result)


def test_wrong_usage(directory: Path):
    assert kubeherd(directory, "nonsense").returncode == 2
    assert not directory.exists()
