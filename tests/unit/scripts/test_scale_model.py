"""The model of docs/scale.md finds the costs of made-up clusters again."""

from collections.abc import Iterator
from statistics import StatisticsError
from typing import Any

import pytest
import scale_model
from scale_model import ROLES, WORK, Rows

ALONE, HANDLED, FOLLOWED, OTHER = 0.01, 0.0007, 0.0002, 0.0001
SIZES = (100, 400)


def made_up(nodes: int, servers: int, extra: float = 1.0) -> Iterator[dict[str, Any]]:
    """What `scale.py measure` would print of a cluster that costs exactly this."""
    writes = nodes * 0.1
    group = {"store": "etcd", "apiservers": servers, "nodes": nodes}
    names = ["apiserver", *(f"apiserver-{i}" for i in range(2, servers + 1))]
    each = extra * (ALONE + writes * (HANDLED / servers + FOLLOWED))
    cores = dict.fromkeys(names, each) | dict.fromkeys(("etcd", "agent-0"), writes * OTHER)
    counted = {
        "puts": 10 * writes,
        "put_bytes": 4650 * writes,
        "sent_bytes": 9300 * servers * writes,
        "events": 10 * servers * writes,
        "fsyncs": writes,
        "db_bytes": 5000 * writes,
    }
    spent = {name: 10 * value for name, value in cores.items()}
    idle = {"step": "idle", "seconds": 10, "cpu_s": spent, "etcd": counted}
    yield group | idle | {"writes": 10 * writes}
    for step in WORK:
        spent = {"apiserver": extra * nodes * 0.005, "agent-0": nodes * 0.002}
        yield group | {"step": step, "seconds": 1, "cpu_s": spent, "etcd": counted}
    weights = {"pods": {"number": nodes, "bytes": 4400}}
    memory = {"apiserver": 40 + 0.1 * nodes, "agent-0": 20.0}
    yield group | {"step": "full", "pss_mb": memory, "weights": weights}
    watched = {"apiserver": 10 * servers * each + 0.02}
    yield group | {
        "step": "watched",
        "seconds": 10,
        "cpu_s": watched,
        "watchers": 5,
        "told": 1000,
        "pss_mb": {"apiserver": 41.0},
        "pss_before_mb": {"apiserver": 40.0},
    }


def cells(text: str, first: str) -> list[str]:
    """Of the line of a table that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


@pytest.fixture
def rows() -> Rows:
    return Rows(row for n in SIZES for servers in (1, 2, 3) for row in made_up(n, servers))


def test_what_is_handled_and_what_is_followed_are_told_apart(rows: Rows) -> None:
    share = scale_model.shares(rows, "idle")
    assert share == pytest.approx((ALONE, HANDLED, FOLLOWED))
    shown = cells(scale_model.servers(rows), "idle")
    assert shown == ["10.00", "0.70", "0.20", "1.00"]


def test_extrapolation_divides_what_is_handled_only(rows: Rows) -> None:
    of_1, of_3, of_10, etcd, *_ = map(float, cells(scale_model.extrapolated(rows), "10,000"))
    writes = 10_000 * scale_model.WRITES_PER_NODE_S
    expected = [ALONE + writes * (HANDLED / n + FOLLOWED) for n in (1, 3, 10)]
    assert [of_1, of_3, of_10] == pytest.approx(expected, abs=0.006)
    assert etcd == pytest.approx(writes * OTHER, abs=0.006)


def test_work_and_memory_are_lines(rows: Rows) -> None:
    assert cells(scale_model.work(rows), "create: etcd, 2 API servers")[0] == "5.00"
    assert cells(scale_model.memory(rows), "etcd, 1 API server")[0] == "40 + 100 n/1000"


def test_a_delivered_event_costs_what_is_more_than_idle(rows: Rows) -> None:
    assert cells(scale_model.watchers(rows), "etcd, 3 API servers")[-2:] == ["20.0", "205"]


def test_a_larger_cluster_that_costs_more_is_seen() -> None:
    measured = [row for n in SIZES for row in made_up(n, 1)]
    rows = Rows([*measured, *made_up(1000, 1, extra=2.0)])
    text = scale_model.checks(rows, up_to=400)
    assert cells(text, "cores, apiserver: etcd, 1 API server")[-1] == "0.50"
    assert cells(text, "CPU-s, create, apiserver: etcd, 1 API server")[-1] == "0.50"
    assert cells(text, "cores, etcd: etcd, 1 API server")[-1] == "1.00"


def test_too_few_clusters_are_no_model() -> None:
    measured = [row for servers in (1, 2, 3) for row in made_up(100, servers)]
    with pytest.raises(StatisticsError):
        scale_model.tables(measured, up_to=100)


def test_all_tables_are_made() -> None:
    measured = [row for n in SIZES for servers in (1, 2, 3) for row in made_up(n, servers)]
    text = scale_model.tables(measured, up_to=100_000)
    assert all(role in text for role in ROLES)
    assert cells(text, "etcd, 2 API servers")
    assert cells(text, "pods") == ["4400"]
