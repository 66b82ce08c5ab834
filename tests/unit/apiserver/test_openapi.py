"""OpenAPI documents as kubectl needs them (spec api-machinery, 16)."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from protowire import fields as wire_fields
from protowire import parts, repeated

from kubeherd.cluster.api.errors import NotAcceptable
from kubeherd.cluster.apiserver.edge import openapi
from kubeherd.cluster.apiserver.edge.discovery import Document
from kubeherd.cluster.apiserver.edge.openapi import protobuf3

APPS = "/openapi/v3/apis/apps/v1"


def get(path: str, accept: str = "application/json", **query: str) -> Document:
    found = openapi.document(path, query, accept)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def apps() -> Any:
    return json.loads(get(APPS).body)


def test_index_names_every_group_version_with_a_hash() -> None:
    found = get("/openapi/v3")
    paths = json.loads(found.body)["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/coordination.k8s.io/v1"} <= set(paths)
    assert found.content_type.startswith("text/plain")
    assert found.not_modified(found.etag)
    url = urlsplit(paths["apis/apps/v1"]["serverRelativeURL"])
    (hash_,) = parse_qs(url.query)["hash"]
    assert get(url.path, hash=hash_).cache_control == "public, immutable"
    assert get(url.path, hash="old").cache_control == ""


@pytest.mark.parametrize("path", ["/openapi", "/openapi/v3/apis/apps/v9", "/openapi/v4"])
def test_unknown_paths_have_no_document(path: str) -> None:
    assert openapi.document(path, {}, "") is None


def test_references_stay_inside_the_document(apps: Any) -> None:
    text = json.dumps(apps)
    assert "$defs" not in text
    schemas = apps["components"]["schemas"]
    prefix = "#/components/schemas/"
    pending = [apps]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                assert reference.removeprefix(prefix) in schemas
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def test_fields_are_described_beside_their_reference(apps: Any) -> None:
    schemas = apps["components"]["schemas"]
    field = schemas["io.k8s.api.apps.v1.DaemonSet"]["properties"]["spec"]
    assert field["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DaemonSetSpec"}]
    assert field["default"] == {}
    assert field["description"]
    surge = schemas["io.k8s.api.apps.v1.RollingUpdateDaemonSet"]["properties"]["maxSurge"]
    assert "default" not in surge


def test_types_are_plain_and_enums_those_of_kubernetes(apps: Any) -> None:
    schemas = apps["components"]["schemas"]
    strategy = schemas["io.k8s.api.apps.v1.DaemonSetUpdateStrategy"]["properties"]["type"]
    assert strategy["type"] == "string"
    assert strategy["enum"] == ["OnDelete", "RollingUpdate"]
    kind = schemas["io.k8s.api.apps.v1.DaemonSet"]["properties"]["kind"]
    assert "enum" not in kind
    int_or_string = schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert int_or_string["oneOf"] == [{"type": "integer"}, {"type": "string"}]


def test_merge_keys_are_there_for_client_side_apply(apps: Any) -> None:
    spec = apps["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["containers"]["x-kubernetes-patch-strategy"] == "merge"


@pytest.mark.parametrize(
    ("path", "method", "action"),
    [
        ("/apis/apps/v1/namespaces/{namespace}/daemonsets", "get", "list"),
        ("/apis/apps/v1/namespaces/{namespace}/daemonsets", "post", "post"),
        ("/apis/apps/v1/namespaces/{namespace}/daemonsets", "delete", "deletecollection"),
        ("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}", "patch", "patch"),
        ("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}/status", "put", "put"),
        ("/apis/apps/v1/daemonsets", "get", "list"),
    ],
)
def test_paths_name_their_kind(apps: Any, path: str, method: str, action: str) -> None:
    operation = apps["paths"][path][method]
    assert operation["x-kubernetes-action"] == action
    assert operation["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "kind": "DaemonSet",
        "version": "v1",
    }


def test_patch_takes_field_validation_and_dry_run(apps: Any) -> None:
    path = "/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}"
    names = {parameter["name"] for parameter in apps["paths"][path]["patch"]["parameters"]}
    assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= names


@pytest.mark.parametrize(
    ("method", "codes"),
    [
        ("get", {"200"}),
        ("put", {"200", "201"}),
        ("patch", {"200", "201"}),
        ("delete", {"200", "202"}),
    ],
)
def test_answers_have_the_codes_of_kubernetes(apps: Any, method: str, codes: set[str]) -> None:
    path = "/apis/apps/v1/namespaces/{namespace}/daemonsets"
    assert apps["paths"][path + "/{name}"][method]["responses"].keys() == codes | {"401"}
    created = apps["paths"][path]["post"]["responses"]
    assert created.keys() == {"200", "201", "202", "401"}
    assert created["201"]["content"] == created["200"]["content"]


@pytest.mark.parametrize(
    ("group", "plural", "answer"),
    [
        ("api/v1", "pods", "io.k8s.api.core.v1.Pod"),
        ("api/v1", "persistentvolumeclaims", "io.k8s.api.core.v1.PersistentVolumeClaim"),
        ("api/v1", "secrets", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        ("apis/resource.k8s.io/v1", "resourceclaims", "io.k8s.api.resource.v1.ResourceClaim"),
    ],
)
def test_some_kinds_answer_a_delete_with_the_object(group: str, plural: str, answer: str) -> None:
    found = json.loads(get(f"/openapi/v3/{group}").body)
    collection = found["paths"][f"/{group}/namespaces/{{namespace}}/{plural}"]
    item = found["paths"][f"/{group}/namespaces/{{namespace}}/{plural}/{{name}}"]
    for code in ("200", "202"):
        schema = item["delete"]["responses"][code]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{answer}"}
    schema = collection["delete"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith(".Status")


@pytest.mark.parametrize(
    ("path", "method", "action", "operation_id"),
    [
        ("log", "get", "get", "readCoreV1NamespacedPodLog"),
        ("exec", "post", "connect", "connectCoreV1PostNamespacedPodExec"),
        ("proxy", "put", "connect", "connectCoreV1PutNamespacedPodProxy"),
    ],
)
def test_what_answers_with_text_does_not_promise_an_object(
    path: str, method: str, action: str, operation_id: str
) -> None:
    found = json.loads(get("/openapi/v3/api/v1").body)
    operation = found["paths"][f"/api/v1/namespaces/{{namespace}}/pods/{{name}}/{path}"][method]
    assert operation["x-kubernetes-action"] == action
    assert operation["operationId"] == operation_id
    assert operation["responses"]["200"]["content"] == {"*/*": {"schema": {"type": "string"}}}
    assert "requestBody" not in operation


def test_operations_have_the_names_of_kubernetes(apps: Any) -> None:
    everywhere = apps["paths"]["/apis/apps/v1/daemonsets"]
    assert everywhere["get"]["operationId"] == "listAppsV1DaemonSetForAllNamespaces"
    collection = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/daemonsets"]
    assert collection["get"]["operationId"] == "listAppsV1NamespacedDaemonSet"
    assert collection["delete"]["operationId"] == "deleteAppsV1CollectionNamespacedDaemonSet"
    deletes = {parameter["name"] for parameter in collection["delete"]["parameters"]}
    assert "labelSelector" in deletes
    assert "watch" not in deletes


def test_operation_ids_are_unique(apps: Any) -> None:
    found = [
        operation["operationId"]
        for operations in apps["paths"].values()
        for name, operation in operations.items()
        if name != "parameters"
    ]
    assert len(found) == len(set(found))


def test_version_2_in_json() -> None:
    tree = json.loads(get("/openapi/v2").body)
    definition = tree["definitions"]["io.k8s.api.apps.v1.DaemonSet"]
    assert definition["properties"]["spec"]["$ref"] == (
        "#/definitions/io.k8s.api.apps.v1.DaemonSetSpec"
    )
    assert definition["x-kubernetes-group-version-kind"]
    with pytest.raises(NotAcceptable):
        get("/openapi/v2", "application/xml")


def test_version_2_in_protobuf_is_what_kubectl_reads() -> None:
    found = get("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert found.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    document = parts(found.body)
    assert document[1] == b"2.0"
    definitions = named(document[9])
    tree = json.loads(get("/openapi/v2").body)["definitions"]
    assert definitions.keys() == tree.keys()
    name = "io.k8s.api.apps.v1.DaemonSetSpec"
    schema = parts(definitions[name])
    assert schema[4].decode() == tree[name]["description"]
    required = repeated(definitions[name], 19)
    assert [value.decode() for value in required] == tree[name]["required"]
    assert list(named(schema[25])) == list(tree[name]["properties"])
    kinds = parts(parts(definitions["io.k8s.api.apps.v1.DaemonSet"])[31])
    assert kinds[1] == b"x-kubernetes-group-version-kind"
    assert json.loads(parts(kinds[2])[2]) == [
        {"group": "apps", "kind": "DaemonSet", "version": "v1"}
    ]


def named(data: bytes) -> dict[str, bytes]:
    """A message of named things, all in its first field."""
    entries = map(parts, repeated(data, 1))
    return {entry[1].decode(): entry[2] for entry in entries}


def test_version_3_in_protobuf_says_what_its_json_says() -> None:
    found = get(APPS, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
    assert found.content_type == "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
    tree = json.loads(get(APPS).body)
    document = parts(found.body)
    assert document[1] == b"3.0.0"
    operations = named(document[4])
    assert list(operations) == list(tree["paths"])
    path = "/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}"
    patch = parts(operations[path])[10]
    names = [parts(parts(parameter)[1])[1].decode() for parameter in repeated(patch, 6)]
    assert names == [p["name"] for p in tree["paths"][path]["patch"]["parameters"]]
    assert "fieldValidation" in names
    schemas = named(parts(document[5])[1])
    assert schemas.keys() == tree["components"]["schemas"].keys()
    key = "io.k8s.api.apps.v1.DaemonSetSpec"
    schema = parts(parts(schemas[key])[1])
    assert list(named(schema[31])) == list(tree["components"]["schemas"][key]["properties"])


def test_version_3_is_json_unless_protobuf_is_wanted_more() -> None:
    accept = "application/json,application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
    assert get(APPS, accept).content_type == "application/json"


def test_every_field_of_a_schema_has_a_form_in_version_3() -> None:
    schema = {
        "nullable": True, "maximum": 1.5, "maxLength": 300, "pattern": "a", "default": False,
        "additionalProperties": True, "anyOf": [{"default": "x"}, {"default": 2}], "unknown": 1,
        "not": {"type": "null"}, "x-kubernetes-validations": [{"rule": "true"}],
    }  # fmt: skip
    data = protobuf3.encode({"components": {"schemas": {"a.B": schema}}})
    found = named(parts(parts(data)[5])[1])["a.B"]
    schema_in_wire = parts(found)[1]
    fields = list(wire_fields(schema_in_wire))
    assert [number for number, _ in fields] == [1, 11, 15, 17, 28, 28, 29, 32, 33, 36]
    values = dict(fields)
    assert (values[1], values[15], values[17]) == (1, 300, b"a")
    assert values[11] == bytes.fromhex("000000000000f83f")
    nested = parts(schema_in_wire)
    assert list(wire_fields(nested[32])) == [(2, 1)]
    assert list(wire_fields(nested[33])) == [(2, 0)]
    rule = parts(nested[36])
    assert rule[1] == b"x-kubernetes-validations"
    assert json.loads(parts(rule[2])[2]) == [{"rule": "true"}]


def test_what_is_empty_is_left_out(apps: Any) -> None:
    """Go's clients read a document, write it again and find it the same."""
    operations = [
        operation for path in apps["paths"].values() for operation in path.values()
        if isinstance(operation, dict)
    ]  # fmt: skip
    assert operations
    assert not [one["operationId"] for one in operations if one.get("parameters") == []]
