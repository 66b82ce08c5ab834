"""The picture of a failed test."""

from pathlib import Path

import pytest

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Recorded, Settings
from kubeherd.faults import Fault, Nodes, effects
from kubeherd.history import Began, FaultBegan, Heartbeat, Process
from kubeherd.history.files import write
from kubeherd.pytest_plugin.drawing import draw

TEST = "test_x.py::test_<y>"


def test_it_is_beside_the_directory_and_has_what_all_told(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "kubeherd0")
    rundir.prepare()
    rundir.save_settings(Settings(port=1, record=Recorded.WRITES))
    fault = Fault(id="f", target=Nodes(("node-7",)), effect=effects.Crash())
    write(rundir.history, [Began(at=1.0, source="cluster"), Heartbeat(at=2.0, node="node-7")])
    died = Process(at=3.5, name="manager", running=False)
    write(
        rundir.supervisor_history,
        [Began(at=0.5, source="supervisor"), FaultBegan(at=3.0, fault=fault), died],
    )
    drawn, history = draw(rundir.root, TEST)
    assert (drawn, history) == (tmp_path / "kubeherd0-timeline.html", rundir.history)
    text = drawn.read_text(encoding="utf-8")
    assert "test_x.py::test_&lt;y&gt; failed" in text
    assert all(one in text for one in ("node-7", "crash", "manager"))
    assert "<y>" not in text


def test_a_directory_without_a_cluster_has_none(tmp_path: Path) -> None:
    with pytest.raises(LauncherError):
        draw(tmp_path / "nothing", TEST)
