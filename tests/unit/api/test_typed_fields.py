"""What server-side apply holds a custom resource to (customresources/typedfields.py)."""

from typing import Any

import pytest
from msgspec.structs import replace

from kubeherd.cluster.api.customresources.kind import CustomKind
from kubeherd.cluster.api.errors import PlainError
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.managedfields import typed

OPEN = {"x-kubernetes-preserve-unknown-fields": True}
EMBEDDED = {"x-kubernetes-embedded-resource": True}
PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["port"],
    "items": {"type": "object", "properties": {"port": {"type": "integer"}}},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "ports": PORTS,
                "sizes": {"type": "object", "additionalProperties": {"type": "integer"}},
                "either": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", **OPEN},
                "kept": {"type": "object", "properties": {"n": {"type": "integer"}}, **OPEN},
                "template": {"type": "object", **EMBEDDED, **OPEN},
                "bare": {"type": "object"},
            },
        }
    },
}


def refusal(spec: dict[str, Any], schema: dict[str, Any] = SCHEMA, **root: Any) -> str:
    """What is said of an applied object, "" if nothing; without the words before the problem."""
    kind = CustomKind("example.com", "v1", "Thing", schema, "v1")
    resource = replace(PODS, group="example.com", version="v1", kind="Thing", custom=kind)
    metadata = {"name": "a", "namespace": "ns", **root.pop("metadata", {})}
    tree = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, **root}
    try:
        typed.check(resource, {**tree, "spec": spec})
    except PlainError as error:
        return error.message.removeprefix(
            "failed to create typed patch object (ns/a; example.com/v1, Kind=Thing): "
        )
    return ""


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"other": 1}, ".spec.other: field not declared in schema"),
        ({"ports": [{"x": 1, "port": 1}]}, ".spec.ports[port=1].x: field not declared in schema"),
        (
            {"template": {"metadata": {"other": 1}}},
            ".spec.template.metadata.other: field not declared in schema",
        ),
        ({"text": 1}, ".spec.text: expected string, got &value.valueUnstructured{Value:1}"),
        ({"sizes": {"a": "x"}}, ".spec.sizes.a: expected numeric (int or float), got string"),
        ({"kept": {"n": "x"}}, ".spec.kept.n: expected numeric (int or float), got string"),
        ({"either": {}}, ".spec.either: expected any scalar, got &{map[]}"),
        ({"ports": {}}, ".spec.ports: expected list, got &{map[]}"),
        (
            {"ports": [{"port": 1}, {"port": 1}]},
            ".spec.ports: duplicate entries for key [port=1]",
        ),
    ],
)
def test_what_the_schema_does_not_allow(spec: dict[str, Any], problem: str) -> None:
    assert refusal(spec) == problem


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"text": "x", "ports": [{"port": 1}, {"port": 2}], "sizes": {"a": 1}, "either": "50%"},
        {"free": {"any": {"thing": [1]}}, "kept": {"n": 1, "other": {"x": 1}}, "bare": {"x": 1}},
        {"template": {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"any": 1}}},
    ],
)
def test_what_it_allows(spec: dict[str, Any]) -> None:
    assert refusal(spec) == ""


def test_the_root_is_an_object_of_kubernetes() -> None:
    unknown = "field not declared in schema"
    assert refusal({}, other=1) == f".other: {unknown}"
    assert refusal({}, metadata={"other": 1}) == f".metadata.other: {unknown}"
    assert refusal({}, {"type": "object", **OPEN}, other=1) == ""
