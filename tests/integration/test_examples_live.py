"""Every example manifest comes up; the example projects run from the wheel (test_wheel_live)."""

from functools import partial
from pathlib import Path

import pytest
import yaml
from liveherd import Herd

from kubeherd.cluster.api import kinds

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"


def has_two(herd: Herd, name: str) -> bool:
    return len(herd.ready_on(name)) == 2


@pytest.mark.kubeherd(nodes=2)
@pytest.mark.parametrize(
    "manifest",
    [pytest.param(path.read_text(), id=path.name) for path in sorted(EXAMPLES.glob("*.yaml"))],
)
async def test_manifest(herd: Herd, manifest: str):
    for tree in yaml.safe_load_all(manifest):
        resource = kinds.for_kind(tree["apiVersion"], tree["kind"])
        assert resource is not None
        await herd.client.create(resource, tree, tree["metadata"].get("namespace", "default"))
        if resource is kinds.DAEMONSETS:
            name = tree["metadata"]["name"]
            await herd.until(partial(has_two, herd, name), f"pods of {name}")
