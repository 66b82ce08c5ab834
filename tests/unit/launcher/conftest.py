"""Stand-in processes for the supervisor's tests: real processes that do nothing."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from runningsupervisor import Standins

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import ProcessSpec
from kubeherd.cluster.launcher.processes.children import Child, start_subprocess
from kubeherd.cluster.launcher.processes.osproc import MARKER_VARIABLE

Starter = Callable[[ProcessSpec], Awaitable[Child]]
HERE = Path(__file__).parent


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    directory = RunDir(tmp_path / "herd")
    directory.prepare()
    return directory


@pytest.fixture
def standins(rundir: RunDir) -> Standins:
    """Makes a starter that runs the stand-in; `modes` gives some processes another behaviour."""

    def make(modes: dict[str, str] | None = None) -> Starter:
        async def start(spec: ProcessSpec) -> Child:
            environment = {
                **os.environ,
                "PYTHONPATH": str(HERE),
                MARKER_VARIABLE: str(rundir.root),
                "STANDIN_MODE": (modes or {}).get(spec.name, ""),
            }
            return start_subprocess(msgspec.structs.replace(spec, module="standin"), environment)

        return start

    return make
