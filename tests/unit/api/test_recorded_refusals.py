"""What Kubernetes 1.36 refused of kinds outside the core group, and why, cause by cause."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.serializer import decoding

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "refusals.json").read_text())["creates"]


def stored(resource: kinds.Resource, sent: dict[str, Any]) -> dict[str, Any]:
    """The object as validation sees it."""
    tree = copy.deepcopy(sent)
    decoding.decode(resource, tree)
    defaults.apply(resource, tree)
    if resource.namespaced:
        tree["metadata"]["namespace"] = "ns"
    return tree


@pytest.mark.parametrize("index", range(len(RECORDED)))
def test_a_create_is_refused_for_the_recorded_causes(index: int) -> None:
    case = RECORDED[index]
    resource = kinds.resource(*case["resource"].split("/"))
    causes = validation.create(resource, stored(resource, case["sent"]))
    assert sorted([c.field, c.reason, c.message] for c in causes) == case["causes"]
