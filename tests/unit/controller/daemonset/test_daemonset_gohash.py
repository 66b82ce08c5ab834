"""The pod template hash is the one of Kubernetes v1.36 (spec section 9.3)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas import gostructs
from kubeherd.controller.workload import gohash
from kubeherd.controller.workload.gohash import dump, template_hash

DATA = Path(__file__).parents[3] / "data" / "template-hashes.json"
RECORDED = [(entry["hash"], entry["template"]) for entry in json.loads(DATA.read_bytes())]
TABLE = Path(gohash.__file__).with_name("template_types.json")
NAMED_FIELDS = json.loads(TABLE.read_bytes())["fields"]
CORE = "io.k8s.api.core.v1."


def container(**fields: object) -> JsonObject:
    """A template with one container that has the given fields."""
    return {"spec": {"containers": [{"name": "c", **fields}]}}


@pytest.mark.parametrize(("expected", "template"), RECORDED, ids=[hash_ for hash_, _ in RECORDED])
def test_hashes_that_a_real_control_plane_computed(expected: str, template: JsonObject) -> None:
    assert template_hash(template, None) == expected


def reordered(value: object) -> object:
    if isinstance(value, dict):
        return {key: reordered(item) for key, item in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_the_order_of_keys_does_not_matter() -> None:
    expected, template = RECORDED[-1]
    turned = reordered(template)
    assert isinstance(turned, dict)
    assert template_hash(turned, None) == expected


def test_empty_lists_and_maps_and_nulls_are_gos_nil() -> None:
    expected, template = RECORDED[0]
    metadata = {**template["metadata"], "creationTimestamp": None, "annotations": {}}
    spec = {**template["spec"], "initContainers": [], "nodeSelector": {}, "affinity": None}
    assert template_hash({"metadata": metadata, "spec": spec}, None) == expected


def test_a_collision_count_changes_the_hash_even_if_it_is_zero() -> None:
    _, template = RECORDED[0]
    hashes = {template_hash(template, count) for count in (None, 0, 1, 2)}
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "value:(int64)0 scale:(resource.Scale)0 s:0 DecimalSI"),
        ("1", "value:(int64)1 scale:(resource.Scale)0 s:1 DecimalSI"),
        ("1.5", "value:(int64)1500 scale:(resource.Scale)-3 s:1500m DecimalSI"),
        ("100M", "value:(int64)100 scale:(resource.Scale)6 s:100M DecimalSI"),
        ("1e3", "value:(int64)1 scale:(resource.Scale)3 s:1e3 DecimalExponent"),
        ("1Gi", "value:(int64)1073741824 scale:(resource.Scale)0 s:1Gi BinarySI"),
        ("512Mi", "value:(int64)536870912 scale:(resource.Scale)0 s: BinarySI"),
        ("1.5Gi", "value:(int64)1610612736 scale:(resource.Scale)0 s: BinarySI"),
        ("16Ti", "value:(int64)17592186044416 scale:(resource.Scale)0 s: BinarySI"),
    ],
)
def test_quantities_have_the_private_fields_of_the_parsed_canonical_text(
    text: str, expected: str
) -> None:
    amount, scale, kept, form = expected.split(" ")
    assert (
        f"Limits:(v1.ResourceList)map[cpu:{{i:(resource.int64Amount){{{amount} {scale}}} "
        f"d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){kept.removeprefix('s:')} "
        f"Format:(resource.Format){form}}}] "
    ) in dump(container(resources={"limits": {"cpu": text}}))


def test_embedded_structs_pointers_and_ports() -> None:
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 10}
    assert (
        "ReadinessProbe:(*v1.Probe){ProbeHandler:(v1.ProbeHandler){Exec:(*v1.ExecAction)<nil> "
        "HTTPGet:(*v1.HTTPGetAction){Path:(string)/ Port:(intstr.IntOrString){Type:(intstr.Type)1 "
        "IntVal:(int32)0 StrVal:(string)http} Host:(string) Scheme:(v1.URIScheme) "
        "HTTPHeaders:([]v1.HTTPHeader)<nil>} TCPSocket:(*v1.TCPSocketAction)<nil> "
        "GRPC:(*v1.GRPCAction)<nil>} InitialDelaySeconds:(int32)0 TimeoutSeconds:(int32)0 "
        "PeriodSeconds:(int32)10 SuccessThreshold:(int32)0 FailureThreshold:(int32)0 "
        "TerminationGracePeriodSeconds:(*int64)<nil>} "
    ) in dump(container(readinessProbe=probe))
    assert "Port:(intstr.IntOrString){Type:(intstr.Type)0 IntVal:(int32)80 StrVal:(string)}" in (
        dump(container(livenessProbe={"tcpSocket": {"port": 80}}))
    )
    capabilities = {"add": ["NET_ADMIN", "SYS_TIME"]}
    assert (
        "Capabilities:(*v1.Capabilities){Add:([]v1.Capability)[NET_ADMIN SYS_TIME] "
        "Drop:([]v1.Capability)<nil>} Privileged:(*bool)false "
    ) in dump(container(securityContext={"capabilities": capabilities, "privileged": False}))
    assert "(*v1.EmptyDirVolumeSource){Medium:(v1.StorageMedium) SizeLimit:" in dump(
        {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    )


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"fieldOfTheFuture": 1}},
        {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}},
        {"metadata": {"managedFields": [{"manager": "kubectl"}]}},
        container(resources={"limits": {"memory": "1Pi"}}),
    ],
)
def test_what_the_table_cannot_express_still_has_a_deterministic_hash(
    template: JsonObject,
) -> None:
    hash_ = template_hash(template, None)
    assert hash_ == template_hash(dict(reversed(template.items())), None)
    assert set(hash_) <= set("456789bcdf")
    assert len(hash_) <= 10
    assert hash_ != template_hash({}, None)


def test_the_fallback_is_fnv_1a_of_canonical_json() -> None:
    value = 0x811C9DC5
    for byte in b'{"spec":{"fieldOfTheFuture":1}}':
        value = ((value ^ byte) * 0x01000193) % 2**32
    digits = "456789bcdf"
    expected = "".join(digits[int(digit)] for digit in str(value))
    assert template_hash({"spec": {"fieldOfTheFuture": 1}}, None) == expected


def referenced(schema: JsonObject) -> Iterator[str]:
    """The definitions that a property's schema refers to."""
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    for part in [*schema.get("allOf", []), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(part, dict):
            yield from referenced(part)


def json_names(struct: str) -> set[str]:
    names = set()
    for field in gostructs.fields(struct):
        names |= {field.name} if field.name else json_names(field.type)
    return names


def test_the_table_has_exactly_the_fields_of_the_schema_of_1_36() -> None:
    todo, seen = [CORE + "PodTemplateSpec"], set()
    while todo:
        name = todo.pop()
        properties = schemas.raw(name).get("properties", {})
        if name in seen or not properties or name.endswith("ManagedFieldsEntry"):
            continue
        seen.add(name)
        assert json_names(gostructs.struct_of_definition(name)) == set(properties), name
        todo += [target for schema in properties.values() for target in referenced(schema)]
    assert len(seen) > 100


def test_the_fields_of_named_types_exist() -> None:
    for path in NAMED_FIELDS:
        _, struct, go_name = path.split(".")
        packages = [p for p in ("core.v1.", "apis.meta.v1.") if gostructs.is_struct(p + struct)]
        assert go_name in {field.go_name for field in gostructs.fields(packages[0] + struct)}, path
    assert len(NAMED_FIELDS) > 40
