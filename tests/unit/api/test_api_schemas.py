"""The schemas: every served kind has one, and lists know how they merge."""

import gzip
import hashlib
import json
from importlib.resources import files

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Definition, FieldType, Source
from kubeherd.cluster.api.version import KUBERNETES_VERSION


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


def shipped() -> bytes:
    packed = files("kubeherd.cluster.api.schemas").joinpath("definitions.json.gz").read_bytes()
    return gzip.decompress(packed)


def test_the_shipped_schemas_are_these_and_no_others() -> None:
    digest = hashlib.sha256(shipped()).hexdigest()
    assert digest == "1bf746aa446aa75479f42aa54447182cbc7308a57e1fc37f19daa559372b5a73", (
        "new schemas change what every kind means: look at the differences, run everything, and "
        "write the new digest and versions here"
    )
    assert schemas.source() == Source(
        package="kubernetes-validate", package_version="1.37.0", kubernetes_version="v1.36.0"
    )


def test_the_schemas_are_of_the_version_that_is_served() -> None:
    made_for = schemas.source().kubernetes_version.rpartition(".")[0]
    assert made_for == KUBERNETES_VERSION.rpartition(".")[0]


def test_the_index_of_kinds_says_what_the_definitions_say() -> None:
    document = json.loads(shipped())
    claimed = {
        ("/".join((one["group"], one["version"], one["kind"])), key)
        for key, definition in document["definitions"].items()
        for one in definition.get("x-kubernetes-group-version-kind", ())
    }
    assert claimed == set(document["kinds"].items())


def test_references_lead_to_definitions() -> None:
    known = set(schemas.keys())
    for key in known:
        text = json.dumps(schemas.raw(key))
        wanted = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
        assert wanted <= known, key


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
