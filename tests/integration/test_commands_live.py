"""`kubeherd demo`, `bench`, `chaos`, `check` on real clusters: short runs, as a person has them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S

import kubeherd
from kubeherd.bench import costs, delivery, neutral
from kubeherd.bench.steps import Step

pytestmark = pytest.mark.integration


def run(*args: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kubeherd", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_chaos():
    result = run("chaos", "run", "dying-nodes", "--seed", "7")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "seed 7" in result.stdout
    assert "\nheld: " in result.stdout


def test_an_experiment_that_is_interrupted_leaves_nothing(tmp_path: Path):
    command = [sys.executable, "-m", "kubeherd", "chaos", "run", "dying-nodes", "--seeds", "1..9"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    with process:
        deadline_s = time.monotonic() + PATIENCE_S
        while not list(tmp_path.glob("kubeherd-chaos-*/herd/history.jsonl")):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + signal.SIGTERM, "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_demo():
    result = run("demo", "--speed", "20")
    assert result.returncode == 0, result.stdout + result.stderr


def test_stub_nodes_carry_a_daemonset_through_its_life():
    """The neutral load of the benchmark: it ends with an error if a request of theirs fails."""
    budgets = neutral.Budgets((9, 9, 9), (9, 9, 9), 1, 999)
    walls: dict[str, float] = {}
    found = {
        row.row: row
        for row in neutral.rows(4, budgets, walls, rounds=2, steady_s=0.1, settling_s=0.0)
    }
    assert set(walls) == {"create", "update", "delete"}
    assert all(row.value > 0 for name, row in found.items() if "steady" not in name)
    least, most = found["neutral-4-update"].detail["spread"]
    assert least <= round(walls["update"], 3) <= most


def test_what_requests_cost_is_told_step_by_step():
    found = {one.request: one for one in costs.costs(requests=16, rounds=1)}
    assert {"POST pods", "PATCH pods/status, batched", "PUT leases", "GET pods"} <= set(found)
    for one in found.values():
        assert 0 < sum(one.steps_us.values()) < one.total_us
    assert (
        found["PATCH pods/status"].steps_us[Step.PATCH]
        > 0
        == found["GET pods"].steps_us[Step.STAGE]
    )


def test_bench_prints_one_json_line_per_row():
    result = run("bench", "--row", "start", "--row", "idle-memory")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["row"] for row in rows] == ["start", "idle-memory"]
    assert all(row["value"] > 0 and row["unit"] and row["budget"] for row in rows)


def test_bench_compares_watchers_with_a_server_that_only_sends():
    (row,) = delivery.watchers(count=5, events=2)
    assert row.row == "watch-5"
    assert row.value > 0
    assert row.detail["bare_ms"] > 0


def test_check_watches_until_it_is_interrupted(kubeherd_cluster: kubeherd.Cluster, tmp_path: Path):
    history = tmp_path / "history.jsonl"
    directory = str(kubeherd_cluster.directory)
    command = [sys.executable, "-m", "kubeherd", "check", "--dir", directory]
    command += ["--record", str(history)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr is not None
        assert re.match(r"watching \d+ resources until Ctrl-C", process.stderr.readline())
        kubeherd_cluster.add_node("late")
        kubeherd_cluster.wait_ready("late")
        deadline_s = time.monotonic() + PATIENCE_S
        while '"name":"late"' not in history.read_text() and time.monotonic() < deadline_s:
            time.sleep(0.1)  # changes are told in their order, a moment later
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors
    assert re.search(r"revisions-and-generations-grow +kept, looked at", output)
