"""The tutorial docs/chaos/index.md, as a person follows it: its files, its commands, their output.

Numbers in the output may be others, and a line `...` stands for any lines.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PAGE = Path(__file__).parents[2] / "docs" / "chaos" / "index.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def commands(console: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, and the lines after it."""
    for part in console.split("$ ")[1:]:
        command, *printed = part.splitlines()
        yield command, printed


def plain(line: str) -> str:
    """A line without what differs from run to run: numbers, random names, widths of columns."""
    line = re.sub(r"\border-[a-z0-9]{5}\b", "order-#", line)
    line = re.sub(r"\d[\d,.]*", "#", line)
    return " ".join(line.split())


def shown(expected: list[str], printed: list[str]) -> bool:
    """Whether what was printed is what the page shows."""
    pattern = "".join(
        "(.*\n)*?" if line == "..." else re.escape(plain(line)) + "\n" for line in expected
    )
    return re.fullmatch(pattern, "".join(plain(line) + "\n" for line in printed)) is not None


def run(command: str, where: Path) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=where,
        env=os.environ | {"PATH": path, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_tutorial_works(tmp_path: Path):
    try:
        for kind, title, text in BLOCK.findall(PAGE.read_text()):
            if title:
                (tmp_path / title).write_text(text)
            for command, expected in commands(text) if kind == "console" else ():
                result = run(command, tmp_path)
                assert result.returncode == 0, (command, result.stdout, result.stderr)
                assert shown(expected, result.stdout.splitlines()), (command, result.stdout)
    finally:
        run("kubeherd down", tmp_path)
