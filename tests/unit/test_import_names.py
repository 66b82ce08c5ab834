"""The lint rule against the old top-level names fires: a checkout on sys.path would hide them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def banned(source: str) -> list[str]:
    """What ruff, with the project's settings, says about a module of the project."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "--select=TID251"]
    place = ["--stdin-filename", str(ROOT / "cluster" / "api" / "example.py"), "-"]
    done = subprocess.run(
        command + place, input=source, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if "TID251" in line]


@pytest.mark.parametrize("name", ["agents", "cluster", "controller"])
@pytest.mark.parametrize(
    "statement",
    ["import {0}", "import {0}.x.y", "from {0} import x", "from {0}.x import y", "import {0} as z"],
)
def test_the_old_names_are_banned(name: str, statement: str) -> None:
    (line,) = banned(statement.format(name) + "\n")
    assert f"it is kubeherd.{name}" in line


def test_the_one_name_is_not() -> None:
    assert banned("import kubeherd.cluster\nfrom kubeherd.agents import fleet, node\n") == []
