"""Every program of kubeherd has its standard descriptors open, whatever it was started with."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

ROOT = Path(__file__).parents[3]
PROGRAMS = sorted(
    "kubeherd." + str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    for package in ("cluster", "agents", "controller")
    for path in (ROOT / package).rglob("*.py")
    if re.search(r'^if __name__ == "__main__":', path.read_text(), re.M)
)
SEEN_FROM_INSIDE = """
import importlib, os, pathlib, sys
importlib.import_module(sys.argv[1])
assert all((sys.stdin, sys.stdout, sys.stderr))
print("lost", file=sys.stderr)
links = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
pathlib.Path(sys.argv[2]).write_text(" ".join(links))
"""


def test_the_programs_are_found():
    assert {
        "kubeherd.agents.spawner",
        "kubeherd.cluster.cli.main",
        "kubeherd.cluster.launcher.__main__",
    } <= set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_closed_becomes_dev_null(tmp_path: Path, program: str):
    seen = tmp_path / "seen"
    python = [sys.executable, "-c", SEEN_FROM_INSIDE, program, str(seen)]
    closing = ["sh", "-c", 'exec "$@" 0>&- 1>&- 2>&-', "sh"]
    subprocess.run([*closing, *python], cwd=ROOT, check=True, timeout=PATIENCE_S)
    assert seen.read_text().split() == ["/dev/null"] * 3
