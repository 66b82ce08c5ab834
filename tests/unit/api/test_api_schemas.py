"""The schemas: every served kind has one, and lists know how they merge."""

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Definition, FieldType


def field_at(definition: Definition, path: str) -> schemas.Field:
    current: schemas.Field | None = None
    for name in path.split("."):
        owner = definition if current is None else (current.items or current).definition
        assert owner is not None
        current = owner.field(name)
        assert current is not None
    assert current is not None
    return current


DAEMON_SET = schemas.definition("apps", "v1", "DaemonSet")
POD_SPEC = "spec.template.spec"


def test_every_kind_has_a_schema_with_metadata() -> None:
    for resource in kinds.ALL:
        definition = schemas.definition(resource.group, resource.version, resource.kind)
        assert {"apiVersion", "kind"} <= definition.properties.keys(), resource


def test_unknown_kinds_and_fields_are_not_found() -> None:
    with pytest.raises(KeyError):
        schemas.definition("apps", "v1", "Nothing")
    assert DAEMON_SET.field("nothing") is None


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("metadata.labels", FieldType.MAP), ("metadata.creationTimestamp", FieldType.TIME),
        ("spec.minReadySeconds", FieldType.INT32), ("metadata.generation", FieldType.INT64),
        ("spec.updateStrategy.rollingUpdate.maxSurge", FieldType.INT_OR_STRING),
        (f"{POD_SPEC}.hostNetwork", FieldType.BOOL), (f"{POD_SPEC}.containers", FieldType.LIST),
        ("metadata.managedFields.fieldsV1", FieldType.RAW_OBJECT), ("spec", FieldType.OBJECT),
    ],
)  # fmt: skip
def test_fields_have_the_types_of_the_schema(path: str, type_: FieldType) -> None:
    assert field_at(DAEMON_SET, path).type is type_


def test_map_values_have_types_too() -> None:
    limits = field_at(DAEMON_SET, f"{POD_SPEC}.containers.resources").properties["limits"]
    assert limits.additional is not None
    assert limits.additional.type is FieldType.QUANTITY


def test_lists_know_how_they_merge() -> None:
    volumes = field_at(DAEMON_SET, f"{POD_SPEC}.volumes")
    assert volumes.merge_key == "name"
    assert volumes.patch_strategies == {"merge", "retainKeys"}
    assert volumes.list_map_keys == ("name",)
    tolerations = field_at(DAEMON_SET, f"{POD_SPEC}.tolerations")
    assert tolerations.list_type == "atomic"
    assert tolerations.patch_strategies == set()
    assert field_at(DAEMON_SET, "spec.selector").map_type == "atomic"


def test_a_definition_knows_its_required_fields() -> None:
    spec = field_at(DAEMON_SET, "spec").definition
    assert spec is not None
    assert spec.required == {"selector", "template"}
    assert spec.go_type == "DaemonSetSpec"


def test_definitions_are_made_once() -> None:
    assert schemas.definition("apps", "v1", "DaemonSet") is DAEMON_SET
