"""The promises of watch, checked on a real API server under load, with kills and compactions."""

from pathlib import Path

import check_watches
import pytest
from check_watches import Report, experiment
from click.testing import CliRunner

from kubeherd.checks.watches import Promise
from kubeherd.cluster.runtime.rng import Rng

pytestmark = pytest.mark.integration


async def test_watches_keep_their_promises_over_kills_and_compactions(tmp_path: Path):
    report = await experiment(tmp_path / "herd", rng=Rng(5), kills=3)
    print(report)
    assert report.problems == []
    assert report.kills == 3
    assert report.seen["events"] > 1000
    assert report.seen["watches resumed"] > 10
    assert report.seen["watches expired"] > 0


def test_a_broken_promise_fails_the_script(monkeypatch: pytest.MonkeyPatch):
    async def broken(*_args: object, **_options: object) -> Report:
        report = Report(wrong=["reliable: not told of a"])
        report.verdicts[Promise.FILTER].checked = 1
        return report

    monkeypatch.setattr(check_watches, "experiment", broken)
    result = CliRunner().invoke(check_watches.main, ["--rounds", "1", "--seed", "3"])
    assert result.exit_code == 1
    assert "violated: reliable: not told of a\n" in result.stderr
    assert "violated: ordered: there was nothing to check\n" in result.stderr
    assert "filter: there was nothing" not in result.stderr
    assert "try again with --seed 3" in result.stderr
