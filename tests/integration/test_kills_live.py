"""The kill suite, in small: a real API server, SIGKILL, and all that its clients were told."""

import subprocess
import sys
from pathlib import Path

import kill_apiserver
import pytest
from click.testing import CliRunner
from kill_apiserver import MOMENTS, experiment

from kubeherd.cluster.runtime.rng import Rng

pytestmark = pytest.mark.integration

KILLS = 36
SCRIPT = Path(kill_apiserver.__file__)


async def test_no_promise_is_broken_by_kills(tmp_path: Path):
    report = await experiment(tmp_path / "herd", kills=KILLS, rng=Rng(3), check_every=18)
    print(report)
    assert report.wrong == []
    assert report.kills.total() == KILLS
    assert report.kills.keys() == MOMENTS.keys()
    assert report.writes["done"] > KILLS
    assert report.writes["unknown"] > 0
    assert report.events > KILLS


def test_the_script_runs_with_a_seed_and_keeps_its_directory(tmp_path: Path):
    options = ["--kills", "4", "--seed", "7", "--check-every", "2", "--dir", str(tmp_path / "kept")]
    command = [sys.executable, str(SCRIPT), *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("seed 7: 4 kills, 4 writers, 4 watchers\n4 kills (")
    assert "4 kills, " in result.stderr
    assert (tmp_path / "kept" / "store.db").exists()


def test_the_script_says_what_was_violated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kill_apiserver, "problems", lambda _history: ["lost: everything"])
    result = CliRunner().invoke(kill_apiserver.main, ["--kills", "9", "--check-every", "1"])
    assert result.exit_code == 1
    assert "violated: lost: everything\n" in result.stderr
    assert "try again with --seed" in result.stderr
    assert "\n1 kills (" in result.stdout, "it ends at the first violation"


def test_wrong_usage_is_said():
    assert CliRunner().invoke(kill_apiserver.main, ["--kills", "0"]).exit_code == 2
    told = CliRunner().invoke(kill_apiserver.main, ["--help"]).output
    assert "kill_apiserver.py --kills 100 --seed 7" in told
