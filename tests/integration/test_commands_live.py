"""`kubeherd demo`, `bench` and `chaos` on real clusters: short runs, as a person starts them."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


def run(*args: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kubeherd", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_chaos():
    result = run("chaos", "run", "dying-nodes", "--seed", "7")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "seed 7" in result.stdout
    assert "held: every promise" in result.stdout


def test_demo():
    result = run("demo", "--speed", "20")
    assert result.returncode == 0, result.stdout + result.stderr


def test_bench_prints_one_json_line_per_row():
    result = run("bench", "--row", "start", "--row", "idle-memory")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["row"] for row in rows] == ["start", "idle-memory"]
    assert all(row["value"] > 0 and row["unit"] and row["budget"] for row in rows)
