"""What `kubeherd dashboard` refuses before it looks at anything."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from kubeherd.dashboard.command import dashboard


@pytest.mark.parametrize("more", [["--kubeconfig"], ["--url"]], ids=["a cluster", "its address"])
def test_a_recorded_run_or_a_cluster(tmp_path: Path, more: list[str]) -> None:
    file = tmp_path / "run.jsonl"
    file.touch()
    given = [*more, str(file)] if more == ["--kubeconfig"] else more
    done = CliRunner().invoke(dashboard, ["--history", str(file), *given])
    assert (done.exit_code, "give either --history or" in done.output) == (2, True)
