"""The command line without a cluster: help, usage, one-line failures, the status document."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from patience import PATIENCE_S

from kubeherd.cluster import cli
from kubeherd.cluster.cli import status as status_module
from kubeherd.cluster.cli.clusteroptions import Wanted
from kubeherd.cluster.cli.main import main
from kubeherd.cluster.launcher import lifecycle, state
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import Phase, Role
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.launcher.settings import ClusterOptions
from kubeherd.cluster.launcher.state import ClusterState, ProcessState


def invoke(directory: Path, *args: str) -> Result:
    return CliRunner().invoke(main, args, env={"KUBEHERD_DIR": str(directory)})


@pytest.fixture
def stopped(tmp_path: Path) -> RunDir:
    """A cluster of two nodes that was up once; its API server's pid belongs to nobody now."""
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    rundir.save_settings(lifecycle.new_settings(nodes=2, port=7001, seed=4))
    gone = ProcessState(
        name="apiserver", role=Role.APISERVER, phase=Phase.RUNNING, process=ProcessId(1, 1)
    )
    state.write(rundir, ClusterState(supervisor=ProcessId(1, 1), processes=(gone,)))
    return rundir


def commands(group: click.Group = main, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command and of every group, the root included."""
    found = [above]
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        words = (*above, name)
        found += commands(command, words) if isinstance(command, click.Group) else [words]
    return found


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "cannot read {}: No such file or directory"),
     ("kind: Policy", "{} is no audit policy: unknown group version field , Kind=Policy in "
      "policy")],
)  # fmt: skip
def test_an_audit_policy_that_is_none_starts_nothing(tmp_path: Path, text: str | None, why: str):
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)
    result = invoke(tmp_path / "herd", "up", "--audit-policy", str(file))
    assert (result.exit_code, result.stderr) == (1, f"Error: {why.format(file)}\n")
    assert not (tmp_path / "herd").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("chaos", "run", "zone-outage", "--simulate", "--json"),
        ("chaos", "run", "zone-outage", "--simulate", "--record"),
        ("simulate", "--record"),
        ("check", "--for", "1s", "--record"),
        ("demo", "--svg"),
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, args):
    result = invoke(tmp_path / "herd", *args, str(tmp_path / "none" / "file"))
    assert result.exit_code == 2
    assert "none' does not exist" in result.stderr


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(tmp_path: Path, command: tuple[str, ...]):
    result = invoke(tmp_path, *command, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.output


def test_the_help_of_up_names_every_variable(tmp_path: Path):
    shown = invoke(tmp_path, "up", "--help").output
    up = main.get_command(click.Context(main), "up")
    assert up is not None
    variables = [option.envvar for option in up.params]
    assert len([name for name in variables if name]) == 21
    assert [name for name in variables if name and str(name) not in shown] == []


def test_status_of_a_stopped_cluster(stopped: RunDir):
    result = invoke(stopped.root, "status", "-o", "json")
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert document["apiserver"] == {"url": "https://127.0.0.1:7001", "pid": None}
    assert [(p["name"], p["role"], p["pid"], p["alive"]) for p in document["processes"]] == [
        ("apiserver", "apiserver", None, False),
        ("controller-manager", "controller-manager", None, False),
        ("node-0", "agent", None, False),
        ("node-1", "agent", None, False),
    ]
    assert document["nodes"] == [
        {"name": "node-0", "ready": False, "pid": None},
        {"name": "node-1", "ready": False, "pid": None},
    ]


def test_status_as_text(stopped: RunDir):
    output = invoke(stopped.root, "status").output
    assert "https://127.0.0.1:7001  (down)" in output
    assert output.count("down") == 5


def test_status_shows_who_leads(stopped: RunDir, monkeypatch: pytest.MonkeyPatch):
    other, own = osproc.identify(os.getppid()), osproc.identify(os.getpid())
    settings = lifecycle.new_settings(ClusterOptions(controllers=2), nodes=0, port=7001)
    stopped.save_settings(settings)
    found = [
        ProcessState(name=name, role=role, phase=Phase.RUNNING, process=process)
        for name, role, process in (
            ("apiserver", Role.APISERVER, other),
            ("controller-manager", Role.CONTROLLER_MANAGER, other),
            ("controller-manager-2", Role.CONTROLLER_MANAGER, own),
        )
    ]
    state.write(stopped, ClusterState(processes=tuple(found)))
    seen = SimpleNamespace(readiness={}, leader=own)
    monkeypatch.setattr(cli, "api", SimpleNamespace(look=lambda _: seen), raising=False)
    document = json.loads(invoke(stopped.root, "status", "-o", "json").output)
    assert {one["name"]: one["leads"] for one in document["processes"]} == {
        "apiserver": False, "controller-manager": False, "controller-manager-2": True
    }  # fmt: skip
    lines = invoke(stopped.root, "status").output.splitlines()
    assert [line.split()[0] for line in lines if "(leads)" in line] == ["controller-manager-2"]
    seen.leader = None
    assert "(leads)" not in invoke(stopped.root, "status").output


def test_a_stopped_cluster_gets_other_controllers_and_keeps_the_rest(stopped: RunDir):
    ctx = click.Context(main.get_command(click.Context(main), "up") or main)
    command = ctx.command
    with command.make_context("up", ["--controllers", "3", "--dir", str(stopped.root)]) as made:
        wanted = Wanted.read(
            made, {name: made.params[name] for name in Wanted.__struct_fields__ if name != "given"}
        )
    kept = stopped.load_settings()
    assert wanted.given == {"controllers"}
    assert wanted.changed(stopped, kept) == msgspec.structs.replace(kept, controllers=3)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("status",), "no cluster in"),
        (("node", "kill", "node-0"), "no cluster in"),
        (("logs", "node-0"), "no cluster in"),
    ],
)
def test_a_missing_cluster_is_one_line(tmp_path: Path, args: tuple[str, ...], message: str):
    result = invoke(tmp_path, *args)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ("up", "--nodes", "many"),
        ("up", "--store", "paper"),
        ("up", "--speed", "0"),
        ("node", "kill"),
        ("node", "explode", "node-0"),
        ("node", "add", "a", "--count", "2"),
        ("logs",),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_wrong_usage(tmp_path: Path, args: tuple[str, ...]):
    assert invoke(tmp_path / "herd", *args).exit_code == 2
    assert not (tmp_path / "herd").exists()


def test_stopped_cluster_has_nobody_to_ask(stopped: RunDir):
    result = invoke(stopped.root, "node", "kill", "node-0")
    assert result.exit_code == 1
    assert "is not running" in result.stderr


def test_another_store_is_refused(stopped: RunDir):
    result = invoke(stopped.root, "up", "--store", "memory")
    assert result.exit_code == 1
    assert "keeps its objects in the sqlite store" in result.stderr


def test_another_profile_is_refused(stopped: RunDir):
    result = invoke(stopped.root, "up", "--profile", "kind")
    assert result.exit_code == 1
    assert "was made with the profile bare" in result.stderr


def test_down_never_touches_a_foreign_directory(tmp_path: Path):
    (tmp_path / "precious").write_text("")
    result = invoke(tmp_path, "down", "--purge")
    assert result.exit_code == 1
    assert "is not the directory of a cluster" in result.stderr
    assert (tmp_path / "precious").exists()


def test_down_and_purge_of_a_stopped_cluster(stopped: RunDir):
    assert invoke(stopped.root, "down").exit_code == 0
    assert stopped.root.exists()
    assert invoke(stopped.root, "down", "--purge").exit_code == 0
    assert not stopped.root.exists()


def test_logs_of_a_node_in_a_shared_agent(tmp_path: Path):
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    rundir.save_settings(
        lifecycle.new_settings(ClusterOptions(nodes_per_agent=2), nodes=4, port=7001)
    )
    rundir.log("agent-1").write_text('{"event": "hello"}\n')
    assert invoke(rundir.root, "logs", "node-3").output == '{"event": "hello"}\n'
    assert (
        'no process "ghost" here; there are: agent-1' in invoke(rundir.root, "logs", "ghost").stderr
    )


def test_unexpected_error_is_one_line(stopped: RunDir, monkeypatch: pytest.MonkeyPatch):
    def broken(_rundir: RunDir) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(status_module, "read_status", broken)
    result = invoke(stopped.root, "status")
    assert result.exit_code == 1
    assert result.stderr == "Error: RuntimeError: first second (KUBEHERD_DEBUG=1 shows where)\n"


def test_a_reader_that_has_seen_enough_is_no_failure():
    """As `| head -1`: what is printed goes to a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "kubeherd", "completion", "bash"]
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
