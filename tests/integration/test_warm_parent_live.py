"""Supervisors forked from the warm parent of a program: as good as executed ones."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from killing import kill_and_wait
from patience import PATIENCE_S

from kubeherd.cluster.launcher import lifecycle, state
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.processes import osproc, warm
from kubeherd.cluster.launcher.settings import ClusterOptions, StoreKind
from kubeherd.cluster.runtime.handshake import LOCK_FD

pytestmark = pytest.mark.integration


def handle(directory: Path) -> ClusterHandle:
    return ClusterHandle(
        directory, lifecycle.new_settings(ClusterOptions(store=StoreKind.MEMORY), nodes=1, seed=1)
    )


def test_clusters_share_a_parent_and_nothing_else(tmp_path: Path) -> None:
    with handle(tmp_path / "a") as first, handle(tmp_path / "b") as second:
        assert first.state().spawner != second.state().spawner
        first.down()
        assert second.state().ready
        assert osproc.marked(second.rundir.root) != []
    for done in (first, second):
        assert osproc.marked(done.rundir.root) == []


def test_processes_of_a_killed_supervisor_are_found_without_its_notes(tmp_path: Path) -> None:
    with handle(tmp_path / "a") as cluster:
        before = cluster.state()
        assert before.supervisor is not None
        pids = {p.process.pid for p in before.processes if p.process is not None}
        kill_and_wait(before.supervisor)
        cluster.rundir.state_json.unlink()
        found = {process.pid for process in osproc.marked(cluster.rundir.root)}
        assert pids <= found
        assert cluster.down()
        assert not any(state.orphans(cluster.rundir))


def test_no_process_dies_of_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    with handle(tmp_path / "a") as cluster:
        for process in osproc.marked(cluster.rundir.root):
            status = Path(f"/proc/{process.pid}/status").read_text()
            ignored = int(status.split("SigIgn:")[1].split()[0], 16)
            assert ignored >> (signal.SIGPIPE - 1) & 1, process


def test_a_killed_fork_server_of_a_cluster_is_replaced(tmp_path: Path) -> None:
    with handle(tmp_path / "a") as cluster:
        spawner = cluster.state().spawner
        assert spawner is not None
        osproc.send_signal(spawner, signal.SIGKILL)
        apiserver = cluster.process(Role.APISERVER)
        assert apiserver.process is not None
        assert osproc.alive(apiserver.process)
        cluster.crash(Role.APISERVER)
        deadline_s = time.monotonic() + PATIENCE_S
        while not (again := cluster.process(Role.APISERVER)).restarts or not again.ready:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert cluster.state().spawner not in (None, spawner)


def test_a_killed_parent_is_replaced_and_its_clusters_go_on(tmp_path: Path) -> None:
    parent = warm.WarmParent()
    first, second = handle(tmp_path / "a"), handle(tmp_path / "b")
    try:
        lifecycle.begin(first.rundir, first.settings, follow_pid=os.getpid(), warm_parent=parent)
        lifecycle.wait_until_up(first.rundir, PATIENCE_S, lambda _state: None)
        os.kill(parent.pid, signal.SIGKILL)
        lifecycle.begin(second.rundir, second.settings, warm_parent=parent)
        lifecycle.wait_until_up(second.rundir, PATIENCE_S, lambda _state: None)
        assert first.state().ready
    finally:
        for cluster in (first, second):
            cluster.down()
        parent.close()


def test_the_words_of_a_supervisor_that_cannot_start_reach_the_caller(tmp_path: Path) -> None:
    with handle(tmp_path / "a") as cluster:
        options = ["--dir", str(tmp_path / "gone"), "--lock-fd", str(LOCK_FD)]
        lock = os.open(cluster.rundir.lock, os.O_RDWR | os.O_CLOEXEC)
        with pytest.raises(LauncherError, match="gone was deleted or moved away"):
            warm.of_this_process().launch(cluster.rundir, lock, options)
        os.close(lock)
        assert cluster.state().ready


def test_a_parent_that_dies_after_forking_leaves_one_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second attempt must not put a second supervisor beside the first one's."""
    parent = warm.of_this_process()
    read = parent._line
    died: list[bytes] = []

    def dies_once(control: socket.socket) -> bytes:
        line = read(control)
        if not died and b"ready" in line:
            died.append(line)
            raise ConnectionResetError("its parent has ended")
        return line

    monkeypatch.setattr(parent, "_line", dies_once)
    with handle(tmp_path / "a") as cluster:
        leaders = [p for p in osproc.marked(cluster.rundir.root) if osproc.leads_session(p)]
        assert died
        assert leaders == [cluster.state().supervisor]
