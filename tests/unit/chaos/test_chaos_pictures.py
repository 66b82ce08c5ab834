"""`kubeherd chaos run` leaves a picture of a run that failed, and names it."""

import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kubeherd.chaos import running
from kubeherd.chaos.command import chaos
from kubeherd.chaos.experiment import Experiment
from kubeherd.chaos.outcome import Outcome
from kubeherd.checks.checker import Checked, Verdict
from kubeherd.history import Began, Heartbeat, Record, Violation

WRONG = Violation(at=3.0, promise="one-pod", text="two pods on node-1", revision=77)
BAD = Verdict([Checked("one-pod", "One pod.", 40, (WRONG,))])
GOOD = Verdict([Checked("one-pod", "One pod.", 40)])


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Verdict], None]:
    """Runs on real processes end so, at once; temporary files are in `tmp_path`."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def ends(verdict: Verdict) -> None:
        def run(
            experiment: Experiment,
            seed: int,
            directory: Path | None = None,
            hear: Callable[[Record], None] = lambda _record: None,
        ) -> Outcome:
            for record in (Began(at=1.0), Heartbeat(at=2.0, node="node-1"), WRONG):
                hear(record)
            return Outcome(experiment=experiment.name, seed=seed, verdict=verdict, records=3)

        monkeypatch.setattr(running, "run_real", run)

    return ends


def drawn(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("*.html"))


def test_a_failure_is_drawn_and_named(ends: Callable[[Verdict], None], tmp_path: Path) -> None:
    ends(BAD)
    result = CliRunner().invoke(chaos, ["run", "zone-outage", "--seed", "7"])
    assert result.exit_code == 1
    (picture,) = drawn(tmp_path)
    assert result.stdout.splitlines()[-1] == f"drawn: {picture}"
    assert picture.name.startswith("kubeherd-zone-outage-7-")
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    assert "two pods on node-1" in picture.read_text()


def test_what_held_leaves_nothing(ends: Callable[[Verdict], None], tmp_path: Path) -> None:
    ends(GOOD)
    result = CliRunner().invoke(chaos, ["run", "zone-outage", "--seed", "7"])
    assert (result.exit_code, drawn(tmp_path)) == (0, [])
    assert "drawn:" not in result.stdout


def test_a_file_that_was_named_is_the_one(ends: Callable[[Verdict], None], tmp_path: Path) -> None:
    ends(BAD)
    wanted = tmp_path / "run.html"
    result = CliRunner().invoke(chaos, ["run", "zone-outage", "--seed", "7", "--html", str(wanted)])
    assert (result.exit_code, drawn(tmp_path)) == (1, [wanted])
    assert f"drawn: {wanted}" in result.stdout
