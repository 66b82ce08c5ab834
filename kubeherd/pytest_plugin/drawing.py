"""A picture of what happened in the cluster of a test that failed."""

from pathlib import Path

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.history.files import merged, read
from kubeherd.timeline.model import paint
from kubeherd.timeline.page import page


def draw(directory: Path, test: str) -> tuple[Path, Path]:
    """Draw what the cluster in a directory has recorded, into a file beside that; this file, and
    the history. OSError, HistoryError, LauncherError."""
    rundir = RunDir(directory)
    histories = rundir.histories(rundir.load_settings())
    picture = paint(merged(*map(read, histories)), test)
    target = directory.with_name(f"{directory.name}-timeline.html")
    target.write_text(page(picture, verdict=f"{test} failed", held=False), encoding="utf-8")
    return target, histories[0]
