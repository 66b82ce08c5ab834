"""Every example is run, as its reader would run it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kubeherd.cluster.api import kinds

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("program", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_program(program: Path):
    command = [sys.executable, program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.kubeherd(nodes=2)
@pytest.mark.parametrize(
    "manifest",
    [pytest.param(path.read_text(), id=path.name) for path in sorted(EXAMPLES.glob("*.yaml"))],
)
async def test_manifest(herd, manifest: str):
    for tree in yaml.safe_load_all(manifest):
        resource = kinds.for_kind(tree["apiVersion"], tree["kind"])
        assert resource is not None
        await herd.client.create(resource, tree, tree["metadata"].get("namespace", "default"))
        if resource is kinds.DAEMONSETS:
            name = tree["metadata"]["name"]
            await herd.until(lambda name=name: len(herd.ready_on(name)) == 2, f"pods of {name}")
