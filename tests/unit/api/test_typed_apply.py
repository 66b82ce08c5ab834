"""What server-side apply says of a body that has not the types of its kind (recorded: v1.36.2)."""

from typing import Any

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import PlainError
from kubeherd.cluster.api.managedfields import apply, typed


def problem(resource: kinds.Resource, body: dict[str, Any]) -> str:
    with pytest.raises(PlainError) as caught:
        typed.check(resource, {"metadata": {"name": "a"}, **body})
    gvk = f"{resource.group}/{resource.version}, Kind={resource.kind}"
    prefix = f"failed to create typed patch object (/a; {gvk}): "
    assert caught.value.message.startswith(prefix)
    return caught.value.message.removeprefix(prefix)


def containers(*items: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


@pytest.mark.parametrize(
    ("resource", "body", "text"),
    [
        (kinds.PODS, {"bogus": 1}, ".bogus: field not declared in schema"),
        (
            kinds.PODS,
            containers({"name": "::1"}, {"name": "::1"}),
            '.spec.containers: duplicate entries for key [name="::1"]',
        ),
        (
            kinds.PODS,
            containers(None),
            ".spec.containers: element 0: associative list with keys may not have a null element",
        ),
        (
            kinds.PODS,
            containers({"name": "c", "image": 1}),
            '.spec.containers[name="c"].image: expected string, got '
            "&value.valueUnstructured{Value:1}",
        ),
        (
            kinds.PODS,
            {"spec": {"nodeSelector": {"nowhere": {}}}},
            ".spec.nodeSelector.nowhere: expected string, got "
            "&value.valueUnstructured{Value:map[string]interface {}{}}",
        ),
        (
            kinds.PODS,
            {"spec": {"hostNetwork": {}}},
            ".spec.hostNetwork: expected boolean, got &{map[]}",
        ),
        (
            kinds.PODS,
            {"spec": {"priority": "x"}},
            ".spec.priority: expected numeric (int or float), got string",
        ),
        (kinds.NODES, {"spec": {"taints": [[]]}}, ".spec.taints[0]: expected map, got &{[]}"),
        (
            kinds.PODS,
            {"spec": 1, "status": []},
            "errors:\n  .spec: expected map, got &{1}\n  .status: expected map, got &{[]}",
        ),
    ],
)
def test_wrong_types_are_told(resource: kinds.Resource, body: dict[str, Any], text: str) -> None:
    assert problem(resource, body) == text


@pytest.mark.parametrize("metadata", [True, "x", [], 1])
def test_metadata_that_are_no_object(metadata: Any) -> None:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    with pytest.raises(PlainError, match=r"\.metadata: expected map, got &"):
        apply.apply(kinds.PODS, None, body, manager="m", time="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "body",
    [
        containers({"image": "x"}),  # the key has a default
        containers({"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 81}]}),
        {"spec": None},
        {"metadata": {"name": "a", "creationTimestamp": None}},
        containers({"name": "c", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}),
    ],
)
def test_what_fits_is_let_through(body: dict[str, Any]) -> None:
    typed.check(kinds.PODS, body)
