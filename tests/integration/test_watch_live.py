"""`kubeherd watch` on a cluster that lives: as lines in a pipe, as a picture in a terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import kubeherd
from kubeherd.history import Ended, FaultBegan, Process, files

pytestmark = pytest.mark.integration

WATCH = [sys.executable, "-m", "kubeherd", "watch", "--dir"]
TIMEOUT_S = 60.0


@contextmanager
def on_a_terminal(command: list[str]) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A command with a terminal of 100 columns and 30 rows; its other end."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    env = os.environ | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=env) as process:
        os.close(inner)
        try:
            yield outer, process
        finally:
            process.kill()
            os.close(outer)


def read_until(descriptor: int, enough: Callable[[str], bool]) -> str:
    """What comes until it is enough."""
    seen, end_s = b"", time.monotonic() + TIMEOUT_S
    while not enough(seen.decode(errors="replace")):
        left_s = end_s - time.monotonic()
        assert left_s > 0, seen.decode(errors="replace")
        if select.select([descriptor], [], [], left_s)[0]:
            seen += os.read(descriptor, 65536)
    return seen.decode(errors="replace")


def test_a_picture_that_follows_and_a_key_that_ends_it(kubeherd_cluster: kubeherd.Cluster):
    cluster = kubeherd_cluster
    with on_a_terminal([*WATCH, str(cluster.directory)]) as (terminal, process):
        read_until(terminal, lambda text: all(name in text for name in cluster.node_names))
        cluster.freeze_node(cluster.node_names[0])
        read_until(terminal, lambda text: "frozen" in text and "FAULTS" in text)
        os.write(terminal, b"q")
        read_until(terminal, lambda text: "\x1b[?1049l" in text)  # the screen is as it was
        assert process.wait(TIMEOUT_S) == 0


def test_lines_where_there_is_no_terminal(kubeherd_cluster: kubeherd.Cluster):
    cluster = kubeherd_cluster
    command = [*WATCH, str(cluster.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            cluster.kill_node(cluster.node_names[0])
            wanted = f"{cluster.node_names[0]} does not run"
            line = next(line for line in process.stdout if wanted in line)
            assert "\x1b" not in line
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 130
        finally:
            process.kill()


def test_no_cluster_is_one_line():
    done = subprocess.run(
        [*WATCH, "/nowhere"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")


def test_a_recording_has_what_happened_and_is_drawn(
    kubeherd_cluster: kubeherd.Cluster, tmp_path: Path
):
    cluster, history = kubeherd_cluster, tmp_path / "run.jsonl.gz"
    command = [sys.executable, "-m", "kubeherd", "record", str(history), "--dir"]
    process = subprocess.Popen(
        [*command, str(cluster.directory)], stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        assert "until Ctrl-C" in process.stderr.readline()
        cluster.kill_node(cluster.node_names[0])
        cluster.wait_not_ready(cluster.node_names[0], timeout_s=TIMEOUT_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    records = list(files.read(history))
    assert isinstance(records[-1], Ended)
    assert any(isinstance(one, FaultBegan) for one in records)
    assert any(isinstance(one, Process) and not one.running for one in records)
    assert history.stat().st_mode & 0o077 == 0
    drawn = subprocess.run(
        [sys.executable, "-m", "kubeherd", "timeline", str(history)],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert drawn.returncode == 0
    assert cluster.node_names[0] in (tmp_path / "run.html").read_text()
