"""The `kubeherd` command treated badly: its directory, its signals, its surroundings."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commandline import kubeherd
from killing import kill_and_wait
from patience import PATIENCE_S

from kubeherd.cluster.launcher.processes import osproc

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-P", "-m", "kubeherd.cluster.cli.main"]


def environment(directory: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "KUBEHERD_DIR": str(directory), "KUBEHERD_SPEED": "20", **more}


def apart(directory: Path, *args: str, **more: str) -> subprocess.CompletedProcess:
    """The command as a process of its own."""
    return subprocess.run(
        [*COMMAND, *args],
        env=environment(directory, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time of change and contents of everything below, and of the directory itself."""
    found = {}
    for path in (directory, *sorted(directory.rglob("*"))):
        status = path.lstat()
        contents = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, contents)
    return found


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "herd"
    yield directory
    if osproc.marked(directory):
        kubeherd(directory, "down")
    until(lambda: osproc.marked(directory) == [], "nothing is left")


# --- the directory ---


def test_a_directory_of_somebody_is_left_alone(directory: Path):
    directory.mkdir(mode=0o755)
    (directory / "thesis.txt").write_text("three years")
    before = snapshot(directory)
    up = kubeherd(directory, "up", "--nodes", "0")
    assert (up.returncode, len(up.stderr.splitlines())) == (1, 1)
    assert "is not empty and not the directory of a cluster" in up.stderr
    assert kubeherd(directory, "down", "--purge").returncode == 1
    assert snapshot(directory) == before


def test_purge_knows_all_that_a_cluster_leaves_behind(directory: Path):
    """kill -9 of everything in the middle of its work, and nothing of it is unknown."""
    assert kubeherd(directory, "up", "--nodes", "2").returncode == 0
    assert kubeherd(directory, "node", "rm", "node-0").returncode == 0
    assert kubeherd(directory, "node", "add", "edge.example").returncode == 0
    kill_and_wait(*osproc.marked(directory))
    purged = kubeherd(directory, "down", "--purge")
    assert purged.returncode == 0, purged.stderr
    assert f"deleted {directory}" in purged.stderr
    assert not directory.exists()


def test_purge_leaves_and_names_what_it_did_not_make(directory: Path):
    directory.mkdir(mode=0o750)
    assert kubeherd(directory, "up", "--nodes", "1").returncode == 0
    mine = ["notes.txt", "logs/mine.log", "pki/mine.key", "logs/pods/x/y.log", "run/a b"]
    for name in mine:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(name)
    purged = kubeherd(directory, "down", "--purge")
    assert purged.returncode == 0, purged.stderr
    left = {str(p.relative_to(directory)) for p in directory.rglob("*") if not p.is_dir()}
    assert left == set(mine)
    for name in ("notes.txt", "logs/mine.log", "pki/mine.key", "logs/pods/x/"):
        assert name in purged.stderr
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    assert kubeherd(directory, "up").returncode == 1  # it is theirs again


def test_a_symbolic_link_is_the_directory_it_leads_to(directory: Path):
    link = directory.with_name("link")
    link.symlink_to(directory)
    assert kubeherd(link, "up", "--nodes", "0").returncode == 0
    assert "already running" in kubeherd(directory, "up").stderr
    assert kubeherd(directory, "down").returncode == 0
    purged = kubeherd(link, "down", "--purge")
    assert purged.returncode == 0
    assert "link was not made by kubeherd and is left" in purged.stderr
    assert (directory.exists(), link.is_symlink()) == (False, True)


@pytest.mark.parametrize("fate", ["removed", "moved", "replaced"])
def test_a_cluster_without_its_directory_ends(directory: Path, fate: str):
    assert kubeherd(directory, "up", "--nodes", "1").returncode == 0
    assert len(osproc.marked(directory)) == 5  # supervisor and spawner among them
    if fate == "moved":
        directory.rename(directory.with_name("elsewhere"))
    else:
        shutil.rmtree(directory)
    if fate == "replaced":
        directory.mkdir()
    until(lambda: osproc.marked(directory) == [], "all have ended")
    if fate == "replaced":
        assert list(directory.iterdir()) == []
    if fate == "moved":
        moved = directory.with_name("elsewhere")
        up = kubeherd(moved, "up")
        assert up.returncode == 0, up.stderr
        assert kubeherd(moved, "down", "--purge").returncode == 0


@pytest.mark.parametrize("command", ["up", "down"])
def test_orphans_of_a_removed_directory_are_found_by_its_path(directory: Path, command: str):
    assert kubeherd(directory, "up", "--nodes", "1").returncode == 0
    orphans = osproc.marked(directory)
    supervisor = next(filter(osproc.leads_session, orphans))
    osproc.send_signal(supervisor, signal.SIGSTOP)  # one that would not notice by itself
    shutil.rmtree(directory)
    result = kubeherd(directory, command)
    assert result.returncode == 0, result.stderr
    assert not any(osproc.alive(process) for process in orphans)
    if command == "down":
        assert "stopped the processes of a cluster" in result.stderr
        assert not directory.exists()
    else:
        assert len(osproc.marked(directory)) == 7  # three nodes: a new cluster


def test_of_several_first_ups_one_wins_and_tells_the_truth(directory: Path):
    ups = [
        subprocess.Popen(
            [*COMMAND, "up", "--nodes", str(nodes)],
            env=environment(directory),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for nodes in (1, 2, 3)
    ]
    outputs = [up.communicate(timeout=60) for up in ups]
    codes = [up.returncode for up in ups]
    assert sorted(codes) == [0, 1, 1], outputs
    out = outputs[codes.index(0)][0]
    document = json.loads(kubeherd(directory, "status", "-o", "json").stdout)
    count = codes.index(0) + 1
    assert len(document["nodes"]) == count
    assert f"The cluster is up: {count} node" in out
    assert f"seed {document['seed']}." in out
    for code, (loser_out, loser_err) in zip(codes, outputs, strict=True):
        if code == 1:
            assert loser_out == ""
            assert "already running" in loser_err


# --- surroundings ---


def test_nothing_is_open_to_others_under_umask_0(directory: Path):
    parent = directory / "deep"
    up = subprocess.run(
        [*COMMAND, "up", "--nodes", "1"],
        env=environment(parent / "herd"),
        umask=0,
        capture_output=True,
        check=False,
    )
    assert up.returncode == 0, up.stderr
    apply_pod(parent / "herd")
    until(lambda: list((parent / "herd" / "logs" / "pods").glob("*/*.log")), "a pod's log")
    open_ones = [
        f"{path}: {path.lstat().st_mode:o}"
        for path in (parent / "herd", *(parent / "herd").rglob("*"))
        if path.lstat().st_mode & 0o077
    ]
    assert open_ones == []
    assert parent.stat().st_mode & 0o022 == 0
    assert kubeherd(parent / "herd", "down", "--purge").returncode == 0
    assert list(parent.iterdir()) == []


def apply_pod(directory: Path) -> None:
    from kubernetes import client, config  # noqa: PLC0415 - slow to import, one test needs it

    config.load_kube_config(str(directory / "kubeconfig"))
    container = client.V1Container(name="main", image="app:1")
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="p"),
        spec=client.V1PodSpec(node_name="node-0", containers=[container]),
    )
    client.CoreV1Api().create_namespaced_pod("default", pod)


@pytest.mark.parametrize("closed", [(0, 1), (1, 2), (0, 1, 2)], ids=str)
def test_closed_standard_descriptors(directory: Path, closed: tuple[int, ...]):
    def run(*args: str) -> int:
        redirections = " ".join(f"{number}>&-" for number in closed)
        script = f'exec "$@" {redirections}'
        command = ["sh", "-c", script, "sh", *COMMAND, *args]
        return subprocess.run(
            command,
            env=environment(directory),
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ).returncode

    assert run("up", "--nodes", "1") == 0
    assert len(osproc.marked(directory)) == 5
    assert run("status") == 0
    assert run("down", "--purge") == 0
    assert not directory.exists()


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("name", "locale"), [(b"no\xfftext", {}), ("Köln".encode(), C_LOCALE)], ids=["bytes", "C"]
)
def test_a_directory_whose_name_is_no_text(tmp_path: Path, name: bytes, locale: dict[str, str]):
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    up = apart(directory, "up", "--nodes", "0", **locale)
    assert (up.returncode, len(up.stderr.splitlines())) == (1, 1)
    assert "its name is no text" in up.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_made_in_another_locale_can_be_stopped_and_deleted(tmp_path: Path):
    directory = tmp_path / "Köln [x]"
    assert kubeherd(directory, "up", "--nodes", "1").returncode == 0
    for args in (("status",), ("down",), ("down", "--purge")):
        result = apart(directory, *args, **C_LOCALE)
        assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == []


# --- signals ---


def before_the_first_line(code: int, said: str) -> bool:
    """Whether Python was interrupted while it started itself; what is ours ends with 130."""
    return code == -signal.SIGINT or (code == 1 and "Fatal Python error: init" in said)


ATTEMPTS = 5


def interrupted_up(
    directory: Path, number: signal.Signals, moment: Callable[[subprocess.Popen], None]
) -> tuple[int, str]:
    """Send a signal to an `up` after `moment`; its exit code and what it said."""
    with subprocess.Popen(
        [*COMMAND, "up", "--nodes", "2"],
        env=environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        moment(up)
        with contextlib.suppress(ProcessLookupError):
            up.send_signal(number)
        said, _ = up.communicate(timeout=60)
    return up.returncode, said


def started(directory: Path) -> Callable[[subprocess.Popen], None]:
    return lambda _up: until((directory / "run" / "state.json").exists, "processes start")


def locked(directory: Path) -> Callable[[subprocess.Popen], None]:
    return lambda _up: until((directory / "run" / "lock").exists, "the lock")


def after(delay_s: float) -> Callable[[subprocess.Popen], None]:
    return lambda _up: time.sleep(delay_s)


def saying(text: str) -> Callable[[subprocess.Popen], None]:
    def wait(up: subprocess.Popen) -> None:
        assert up.stdout is not None
        for line in up.stdout:
            if text in line:
                return

    return wait


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "locked"),
        (signal.SIGINT, "started"),
        (signal.SIGINT, "API server"),
        (signal.SIGINT, "controller manager"),
        (signal.SIGTERM, "started"),
        (signal.SIGHUP, "controller manager"),
    ],
    ids=str,
)
def test_interrupted_up_stops_what_it_started(directory: Path, number: signal.Signals, moment: str):
    moments = {"locked": locked(directory), "started": started(directory)}
    for _ in range(ATTEMPTS):
        code, said = interrupted_up(directory, number, moments.get(moment, saying(moment)))
        if "The cluster is up" not in said:
            break  # on a busy machine the signal may come after the end
        assert kubeherd(directory, "down", "--purge").returncode == 0
    assert code == 128 + number, said
    assert said.splitlines()[-1].startswith("interrupted"), said
    assert "Traceback" not in said
    assert osproc.marked(directory) == []


@pytest.mark.parametrize("seed", range(8))
def test_interrupted_at_any_moment(directory: Path, seed: int):
    """A moment that no condition names: whatever it hits, nothing is left or it is said."""
    delay_s = random.Random(seed).uniform(0.05, 1.6)
    code, said = interrupted_up(directory, signal.SIGINT, after(delay_s))
    if not before_the_first_line(code, said):
        assert code in (0, 130), (delay_s, said)
        assert "Traceback" not in said, (delay_s, said)
    if code == 0 or "The cluster is up" in said:
        assert len(osproc.marked(directory)) == 6
    else:
        assert osproc.marked(directory) == [], (delay_s, said)


def test_a_second_signal_leaves_at_once_and_says_what_goes_on(directory: Path):
    def moment(up: subprocess.Popen) -> None:
        saying("API server")(up)
        supervisor = next(filter(osproc.leads_session, osproc.marked(directory)))
        osproc.send_signal(supervisor, signal.SIGSTOP)  # so that stopping takes its time

        def leaves() -> bool:
            up.send_signal(signal.SIGINT)
            return ended_within(up, 0.5)

        until(leaves, "it leaves")

    code, said = interrupted_up(directory, signal.SIGINT, moment)
    assert code == 130, said
    command = re.search(r"processes of the cluster go on; `kubeherd (down --dir \S+)` stops", said)
    assert command, said
    assert osproc.marked(directory) != []
    supervisor = next(filter(osproc.leads_session, osproc.marked(directory)))
    osproc.send_signal(supervisor, signal.SIGCONT)
    assert kubeherd(directory, *command[1].split()).returncode == 0
    assert osproc.marked(directory) == []


def ended_within(process: subprocess.Popen, timeout_s: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
    return process.returncode is not None


def test_an_interrupted_up_leaves_a_running_cluster_alone(directory: Path):
    assert kubeherd(directory, "up", "--nodes", "1").returncode == 0
    before = osproc.marked(directory)
    for delay_s in (0.05, 0.15, 0.25):
        code, said = interrupted_up(directory, signal.SIGINT, after(delay_s))
        assert code in (1, 130) or before_the_first_line(code, said), said
    assert osproc.marked(directory) == before


def test_up_goes_on_after_kill_9_at_any_moment(directory: Path):
    for seed in range(6):
        delay_s = random.Random(seed).uniform(0.1, 0.6)
        interrupted_up(directory, signal.SIGKILL, after(delay_s))
        assert kubeherd(directory, "down").returncode in (0, 1)
        assert osproc.marked(directory) == [], delay_s
    assert kubeherd(directory, "up").returncode == 0
    assert kubeherd(directory, "down", "--purge").returncode == 0
