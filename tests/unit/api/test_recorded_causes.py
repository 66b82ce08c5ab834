"""What Kubernetes 1.36 refuses in objects of the core group, and with which causes.

The data were recorded from a v1.36.2 control plane, from objects with random mistakes: for each
kind a list of [object, causes]. The order of causes is not compared, because Kubernetes walks maps.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.serializer import decoding

_PATH = Path(__file__).parents[2] / "data" / "core-causes.json"
RECORDED: dict[str, list[tuple[dict[str, Any], list[str]]]] = json.loads(_PATH.read_text())
RESOURCES = {
    resource.kind: resource
    for resource in kinds.ALL
    if resource.group == "" and resource.kind in RECORDED
}


def causes(kind: str, tree: dict[str, Any]) -> list[str]:
    resource = RESOURCES[kind]
    tree = copy.deepcopy(tree)
    if resource.namespaced:
        tree["metadata"].setdefault("namespace", "ns")
    decoding.decode(resource, tree)
    defaults.apply(resource, tree)
    return sorted(f"{c.field}: {c.message}" for c in validation.create(resource, tree))


@pytest.mark.parametrize("kind", RECORDED)
def test_causes_are_those_of_kubernetes(kind: str) -> None:
    for tree, expected in RECORDED[kind]:
        assert causes(kind, tree) == expected, tree
