"""`kubeherd replay`: what is refused, in one line, before anything is started."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kubeherd.cluster.cli.main import main
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.history import Began, Step
from kubeherd.history.files import write
from kubeherd.replay import server

FIRST = Began(at=1.0, source="cluster", revision=3)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    write(path, [FIRST])
    return path


def replay(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, arguments)])


def refused(result: Result, exit_code: int = 1) -> str:
    assert result.exit_code == exit_code, result.output
    return result.stderr.splitlines()[-1]


def test_what_is_no_history(tmp_path: Path) -> None:
    path = tmp_path / "no.jsonl"
    path.write_text("hello\n")
    assert refused(replay(path)).startswith(f"Error: cannot read {path}: {path}:1: ")
    path.write_bytes(b"")
    assert "is no history" in refused(replay(path))
    write(path, [Step(at=1.0, name="heal")])
    assert "is no history" in refused(replay(path))
    write(path, [Began(at=1.0, version=99)])
    assert "has version 99 of the format" in refused(replay(path))
    assert "does not exist" in refused(replay(tmp_path / "nowhere"), 2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--at", "noon"), "'noon' is no revision"),
        (("--speed", "-1"), "-1 is neither 0 nor from 0.001 to"),
        (("--speed", "nan"), "nan is neither"),
        (("--port", "0"), "not in the range"),
    ],
)
def test_options_that_make_no_sense(history: Path, options: tuple[str, str], why: str) -> None:
    assert why in refused(replay(history, *options), 2)


def test_a_port_that_is_taken(history: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(replay(history, "--port", port, "--dir", tmp_path / "own"))
    assert line == f"Error: port {port} of 127.0.0.1 is in use: choose one with --port"
    assert not (tmp_path / "own").exists()


def test_directories_of_others(history: Path, tmp_path: Path) -> None:
    cluster = RunDir(tmp_path / "cluster")
    cluster.prepare()
    cluster.save_settings(Settings(port=1))
    assert "there is a cluster in" in refused(replay(history, "--dir", cluster.root))
    assert cluster.exists()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").touch()
    assert "is not empty" in refused(replay(history, "--dir", theirs))
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]


def test_a_directory_is_for_one_at_a_time_and_gone_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "own"
    with server.directory(place) as rundir:
        rundir.log("apiserver").touch()
        with pytest.raises(LauncherError, match="already running"), server.directory(place):
            pass
        assert rundir.log("apiserver").exists()
    assert not place.exists()
    place.mkdir()
    with server.directory(place):
        pass
    assert list(place.iterdir()) == []
    with server.directory(None) as temporary:
        assert temporary.root.exists()
    assert not temporary.root.exists()
