"""What OpenAPI says of custom resources (customresources/openapi.py), as upstream's
pkg/controller/openapi tests pin it."""

from kubeherd.cluster.api.customresources.definition import stored_as
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.customresources import openapi

KEY = "com.example.v1.Widget"
GVK = {"group": "example.com", "version": "v1", "kind": "Widget"}


def described(schema: JsonObject, **version: object) -> tuple[JsonObject, JsonObject]:
    """The definitions of version 2 and 3 for a kind with this schema."""
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    definition = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    **version,
                }
            ],
        },
        "status": {"acceptedNames": names},
    }
    resource = stored_as(definition)
    return openapi.definitions([resource])[KEY], openapi.components([resource])[KEY]


def test_version_2_names_no_field_of_what_keeps_unknown_ones() -> None:
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"spec": {"type": "object"}},
    }
    v2, v3 = described(schema)
    assert v2 == {"type": "object", "x-kubernetes-group-version-kind": [GVK]}
    assert set(v3["properties"]) == {"apiVersion", "kind", "metadata", "spec"}


def test_fields_of_all_objects_are_described_as_those_of_kubernetes() -> None:
    _, v3 = described({"type": "object", "properties": {"spec": {"type": "object"}}})
    fields = v3["properties"]
    assert fields["apiVersion"]["description"].startswith("APIVersion defines the versioned schema")
    assert fields["metadata"]["description"].startswith("Standard object's metadata")


def test_a_required_field_that_may_be_null_is_not_required_in_version_2() -> None:
    schema = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "string"}},
    }
    v2, v3 = described(schema)
    assert (v2["required"], v3["required"]) == (["b"], ["a", "b"])
    schema["required"] = ["a"]
    assert "required" not in described(schema)[0]


def test_objects_within_are_described_as_objects() -> None:
    inner = {"type": "object", "x-kubernetes-embedded-resource": True, "required": ["kind", "spec"]}
    schema = {"type": "object", "properties": {"all": {"type": "array", "items": inner}}}
    for shown in described(schema):
        item = shown["properties"]["all"]["items"]
        assert set(item["properties"]) == {"apiVersion", "kind", "metadata"}
        assert item["required"] == ["kind", "spec", "apiVersion"]
    inner["x-kubernetes-preserve-unknown-fields"] = True
    v2, v3 = described(schema)
    assert "properties" not in v2["properties"]["all"]["items"]
    assert "properties" in v3["properties"]["all"]["items"]


def test_selectable_fields_are_told() -> None:
    schema = {"type": "object", "properties": {"color": {"type": "string"}}}
    for shown in described(schema, selectableFields=[{"jsonPath": ".color"}]):
        assert shown["x-kubernetes-selectable-fields"] == [{"fieldPath": "color"}]
    assert "x-kubernetes-selectable-fields" not in described(schema)[0]
