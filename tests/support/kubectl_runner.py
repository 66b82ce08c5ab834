"""The real kubectl on a cluster, for tests of what it prints and does."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import PATIENCE_S

BESIDE_PYTHON = Path(sys.executable).parent
KUBECTL = shutil.which("kubectl", path=f"{os.environ.get('PATH', '')}:{BESIDE_PYTHON}")
NEEDS_KUBECTL = [
    pytest.mark.integration,
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="no kubectl: scripts/get_kubectl.py fetches one"),
]


class Kubectl:
    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def __call__(self, command: str, *more: str, stdin: str = "") -> tuple[int, str]:
        """Exit code and everything printed; a command that hangs fails the test."""
        done = subprocess.run(
            [str(KUBECTL), *command.split(), *more],
            env=os.environ | {"KUBECONFIG": str(self._kubeconfig)},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stdout

    def done(self, command: str, *more: str, stdin: str = "") -> str:
        """What it printed; if it fails, so does the test, with that."""
        return self.ends(0, command, *more, stdin=stdin)

    def ends(self, code: int, command: str, *more: str, stdin: str = "") -> str:
        """What it printed; if its exit code is not `code`, the test fails with that."""
        found, printed = self(command, *more, stdin=stdin)
        assert found == code, f"kubectl {command} ended with {found}, not {code}: {printed}"
        return printed

    @contextmanager
    def started(self, command: str) -> Iterator["subprocess.Popen[str]"]:
        """A command that runs until the block is left."""
        process = subprocess.Popen(
            [str(KUBECTL), *command.split()],
            env=os.environ | {"KUBECONFIG": str(self._kubeconfig)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.terminate()
