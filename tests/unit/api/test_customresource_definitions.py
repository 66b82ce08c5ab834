"""Rules for CustomResourceDefinitions; fields and texts as of Kubernetes 1.36."""

from typing import Any

import pytest

from kubeherd.cluster.api import kinds, validation
from kubeherd.cluster.api.customresources import definition as definitions
from kubeherd.cluster.api.customresources import naming

RESOURCE = kinds.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
NOW = "2026-01-02T03:04:05Z"
ROOT = "spec.validation.openAPIV3Schema"


def tree(schema: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": schema or {"type": "object"}},
    }  # fmt: skip
    return {
        "metadata": {"name": "widgets.example.com", "resourceVersion": "1"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {
                "plural": "widgets", "singular": "widget", "kind": "Widget",
                "listKind": "WidgetList",
            },
            "versions": [version],
            "conversion": {"strategy": "None"},
            **spec,
        },
        "status": {"storedVersions": ["v1"], "acceptedNames": {"plural": "", "kind": ""}},
    }  # fmt: skip


def causes(sent: dict[str, Any]) -> list[tuple[str, str]]:
    return [(c.field, c.message) for c in validation.create(RESOURCE, sent)]


def of_field(field: dict[str, Any]) -> list[tuple[str, str]]:
    found = causes(tree({"type": "object", "properties": {"f": field}}))
    return [(at.removeprefix(f"{ROOT}.properties[f]"), text) for at, text in found]


def test_a_plain_definition_is_valid() -> None:
    assert causes(tree()) == []


def test_the_name_must_be_plural_and_group() -> None:
    sent = tree()
    sent["metadata"]["name"] = "others.example.com"
    assert causes(sent) == [
        (
            "metadata.name",
            'Invalid value: "others.example.com": must be spec.names.plural+"."+spec.group',
        )
    ]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            {"scope": "X"},
            ("spec.scope", 'Unsupported value: "X": supported values: "Cluster", "Namespaced"'),
        ),
        ({"scope": ""}, ("spec.scope", "Required value")),
        (
            {"conversion": {"strategy": "Webhook"}},
            (
                "spec.conversion.webhookClientConfig",
                "Required value: required when strategy is set to Webhook",
            ),
        ),
        (
            {"preserveUnknownFields": True},
            (
                "spec.preserveUnknownFields",
                "Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields "
                "to true in spec.versions[*].schema instead",
            ),
        ),
    ],
)
def test_parts_of_the_spec(spec: dict[str, Any], found: tuple[str, str]) -> None:
    assert found in causes(tree(**spec))


@pytest.mark.parametrize(
    ("field", "at", "message"),
    [
        ({}, ".type", "Required value: must not be empty for specified object fields"),
        ({"type": "array"}, ".items", "Required value: must be specified"),
        (
            {"type": "text"},
            ".type",
            'Unsupported value: "text": supported values: "array", "boolean", "integer", "number", '
            '"object", "string"',
        ),
        (
            {"type": "string", "pattern": "("},
            ".pattern",
            'Invalid value: "(": must be a valid regular expression, but isn\'t: '
            "error parsing regexp: missing closing ): `(`",
        ),
        (
            {"type": "object", "anyOf": [{"type": "object"}]},
            ".anyOf[0].type",
            "Forbidden: must be empty to be structural",
        ),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            ".uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes "
            "quadratic",
        ),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            },
            ".items.properties[k].default",
            "Required value: this property is in x-kubernetes-list-map-keys, so it must have a "
            "default or be a required property",
        ),
        (
            {"type": "integer", "default": "x"},
            ".default",
            'Invalid value: "string":  in body must be of type integer: "string"',
        ),
        (
            {"type": "object", "default": {"x": 1}},
            ".default",
            'Invalid value: {"x":1}: must not have unknown fields',
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            ".properties",
            "Required value: must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields",
        ),
        (
            {"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
            ".x-kubernetes-preserve-unknown-fields",
            "Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ),
    ],
)  # fmt: skip
def test_one_rule_of_schemas(field: dict[str, Any], at: str, message: str) -> None:
    assert (at, message) in of_field(field)


@pytest.mark.parametrize(
    "field",
    [
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"x-kubernetes-preserve-unknown-fields": True},
        {"type": "object", "default": {}, "properties": {"a": {"type": "string", "default": "x"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"required": ["a"]}]},
    ],
)
def test_schemas_that_are_fine(field: dict[str, Any]) -> None:
    assert of_field(field) == []


def test_causes_name_the_version_where_versions_differ() -> None:
    sent = tree()
    second = {
        "name": "v2", "served": True, "storage": False,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"f": {}}}},
    }  # fmt: skip
    sent["spec"]["versions"].append(second)
    assert causes(sent) == [
        (
            "spec.versions[1].schema.openAPIV3Schema.properties[f].type",
            "Required value: must not be empty for specified object fields",
        )
    ]


def test_what_an_established_definition_may_not_change() -> None:
    old = naming.established(tree(), NOW)
    new = {**old, "spec": {**old["spec"], "scope": "Cluster"}}
    found = validation.update(RESOURCE, new, old)
    assert [(c.field, c.message) for c in found] == [
        ("spec.scope", 'Invalid value: "Cluster": field is immutable')
    ]


def test_a_stored_version_may_not_go() -> None:
    old = tree()
    new = tree()
    new["spec"]["versions"][0]["name"] = "v2"
    new["status"]["storedVersions"] = ["v1", "v2"]
    (cause,) = validation.update(RESOURCE, new, old)
    assert cause.field == "status.storedVersions[0]"
    assert "missing from spec.versions; v1 was previously a storage version" in cause.message


def test_groups_of_kubernetes_need_an_approval() -> None:
    sent = tree(group="x.k8s.io")
    sent["metadata"]["name"] = "widgets.x.k8s.io"
    at = "metadata.annotations[api-approved.kubernetes.io]"
    assert [field for field, _ in causes(sent)] == [at]
    sent["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    assert causes(sent) == []


@pytest.mark.parametrize(
    ("annotation", "status", "reason", "message"),
    [
        ("https://x/1", "True", "ApprovedAnnotation", "approved in https://x/1"),
        ("unapproved, x", "False", "UnapprovedAnnotation", 'not approved: "unapproved, x"'),
    ],
)
def test_the_condition_of_approval(annotation: str, status: str, reason: str, message: str) -> None:
    sent = tree(group="x.k8s.io")
    sent["metadata"]["annotations"] = {"api-approved.kubernetes.io": annotation}
    found = definitions.condition(naming.approved(sent, NOW), naming.CONFORMANT)
    assert (found["status"], found["reason"], found["message"]) == (status, reason, message)
    assert naming.approved(tree(), NOW) == tree()


def test_versions_in_the_order_of_preference() -> None:
    names = ["foo", "v1beta1", "v1", "v10", "v2", "v1alpha1", "v11alpha2", "v1beta2"]
    assert sorted(names, key=definitions.priority) == [
        "v10", "v2", "v1", "v1beta2", "v1beta1", "v11alpha2", "v1alpha1", "foo",
    ]  # fmt: skip


def test_conditions_of_a_definition_whose_short_name_is_taken() -> None:
    other = tree()
    other["status"]["acceptedNames"] = {"plural": "x", "kind": "X", "shortNames": ["wd"]}
    sent = tree()
    sent["spec"]["names"]["shortNames"] = ["wd"]
    status = naming.named(sent, [other], NOW)["status"]
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("NamesAccepted", "False", "ShortNamesConflict"),
        ("Established", "False", "NotAccepted"),
    ]
    assert status["conditions"][0]["message"] == '"wd" is already in use'
    assert definitions.resources({**sent, "status": status}) == []
    free = naming.named({**sent, "status": status}, [], "2026-01-02T04:00:00Z")
    assert definitions.is_true(free, "NamesAccepted")
    assert definitions.condition(free, "NamesAccepted")["lastTransitionTime"] != NOW
    (resource,) = definitions.resources(free)
    assert (resource.plural, resource.short_names) == ("widgets", ("wd",))
