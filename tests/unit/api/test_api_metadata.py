"""ObjectMeta on create and on update."""

from typing import Any

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.validation import objectmeta as metadata


def create(resource: kinds.Resource = kinds.PODS, **meta: Any) -> list[tuple[str, str]]:
    if resource.namespaced:
        meta.setdefault("namespace", "default")
    return shown(metadata.create(resource, meta))


def shown(causes: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in causes]


def owner(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", **fields}


def test_good_metadata_has_no_causes() -> None:
    assert create(name="p", labels={"a/b": "c"}, annotations={"A.b/C": "x"}) == []
    assert create(name="p", ownerReferences=[owner(controller=True), owner(name="e")]) == []
    assert create(name="p", finalizers=["orphan", "example.com/x"]) == []
    assert create(kinds.NODES, name="n") == []


@pytest.mark.parametrize(
    ("meta", "field", "text"),
    [
        ({}, "metadata.name", "Required value: name or generateName is required"),
        ({"name": "p", "namespace": ""}, "metadata.namespace", "Required value"),
        ({"name": "p", "generation": -1}, "metadata.generation",
         "Invalid value: -1: must be greater than or equal to 0"),
        ({"name": "p", "annotations": {"a": "x" * 262144}}, "metadata.annotations",
         "Too long: may not be more than 262144 bytes"),
        ({"name": "p", "ownerReferences": [owner(uid="")]}, "metadata.ownerReferences.uid",
         'Invalid value: "": must not be empty'),
        ({"name": "p", "ownerReferences": [owner(apiVersion="")]},
         "metadata.ownerReferences.apiVersion",
         'Invalid value: "": version must not be empty'),
        ({"name": "p", "ownerReferences": [owner(apiVersion="a/b/c")]},
         "metadata.ownerReferences.apiVersion",
         'Invalid value: "a/b/c": version must not be empty'),
        ({"name": "p", "finalizers": ["mine"]}, "metadata.finalizers[0]",
         'Invalid value: "mine": name is neither a standard finalizer name nor is it fully '
         "qualified"),
        ({"name": "p", "finalizers": ["orphan", "foregroundDeletion"]}, "metadata.finalizers",
         'Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
         "foregroundDeletion cannot be both set"),
    ],
)  # fmt: skip
def test_refused_on_create(meta: dict[str, Any], field: str, text: str) -> None:
    assert create(**meta) == [(field, text)]


def test_names_follow_the_rule_of_their_kind() -> None:
    ((field, text),) = create(name="a/b")
    assert field == "metadata.name"
    assert text.startswith('Invalid value: "a/b": a lowercase RFC 1123 subdomain must consist')
    role = kinds.resource("rbac.authorization.k8s.io", "v1", "roles")
    assert create(role, name="system:A") == []
    assert create(role, name="a/b") == [
        ("metadata.name", "Invalid value: \"a/b\": may not contain '/'")
    ]


def test_label_problems_name_the_map() -> None:
    ((field, text),) = create(name="p", labels={"a": "b c"})
    assert field == "metadata.labels"
    assert text.startswith('Invalid value: "b c": a valid label must be')


def test_only_one_controller() -> None:
    references = [owner(controller=True), owner(name="e", controller=True)]
    ((field, text),) = create(name="p", ownerReferences=references)
    assert field == "metadata.ownerReferences"
    assert text.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for '
        "DaemonSet/d and DaemonSet/e"
    )


def test_events_own_nothing() -> None:
    ((_, text),) = create(name="p", ownerReferences=[owner(apiVersion="v1", kind="Event")])
    assert text.endswith("Kind=Event is disallowed from being an owner")


def test_cluster_scoped_objects_have_no_namespace() -> None:
    assert create(kinds.NODES, name="n", namespace="x") == [
        ("metadata.namespace", "Forbidden: not allowed on this type")
    ]


OLD = {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "5", "generation": 2}


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        ({"name": "q"}, "metadata.name", 'Invalid value: "q": field is immutable'),
        ({"uid": "v"}, "metadata.uid", 'Invalid value: "v": field is immutable'),
        ({"generation": 1}, "metadata.generation", "Invalid value: 1: must not be decremented"),
        ({"resourceVersion": ""}, "metadata.resourceVersion",
         "Invalid value: 0: must be specified for an update"),
    ],
)  # fmt: skip
def test_refused_on_update(change: dict[str, Any], field: str, text: str) -> None:
    """Once for every kind, and once more by the rules of pods."""
    assert shown(metadata.update(kinds.PODS, {**OLD, **change}, OLD)) == [(field, text)] * 2


@pytest.mark.parametrize(
    ("group", "version", "plural", "subresource", "labels", "finalizers", "uids"),
    [
        ("", "v1", "pods", "", 4, (2, 2), 2),
        ("", "v1", "pods", "status", 3, (1, 1), 2),
        ("", "v1", "services", "", 3, (1, 1), 2),
        ("", "v1", "persistentvolumes", "", 4, (3, 2), 1),
        ("", "v1", "events", "", 2, (1, 0), 1),
        ("apps", "v1", "daemonsets", "", 3, (1, 1), 2),
        ("batch", "v1", "cronjobs", "status", 2, (1, 0), 1),
        ("discovery.k8s.io", "v1", "endpointslices", "", 3, (2, 1), 1),
        ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "", 3, (2, 0), 1),
    ],
)
def test_kinds_check_their_metadata_again(
    group: str, version: str, plural: str, subresource: str, labels: int,
    finalizers: tuple[int, int], uids: int,
) -> None:  # fmt: skip
    """As the causes in recorded answers of a v1.36.2 show."""
    resource = kinds.resource(group, version, plural)

    def fields(**change: Any) -> list[str]:
        return [
            field
            for field, _ in shown(metadata.update(resource, {**OLD, **change}, OLD, subresource))
        ]

    assert fields(labels={"a": "-"}) == ["metadata.labels"] * labels
    assert fields(uid="v") == ["metadata.uid"] * uids
    found = fields(finalizers=["a b"])
    assert found.count("metadata.finalizers") == finalizers[0]
    assert found.count("metadata.finalizers[0]") == finalizers[1]


def test_no_finalizers_are_added_while_an_object_goes() -> None:
    old = {**OLD, "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.b/c"]}
    new = {**old, "finalizers": ["a.b/c", "x.y/z"]}
    assert shown(metadata.update(kinds.PODS, new, old))[:1] == [
        (
            "metadata.finalizers",
            "Forbidden: no new finalizers can be added if the object is being deleted, found new "
            'finalizers []string{"x.y/z"}',
        )
    ]
    assert metadata.update(kinds.PODS, {**old, "finalizers": []}, old) == []
