"""Custom resources as clients see them; messages and fields as of Kubernetes 1.36."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from apicluster import APPLY, JSON_PATCH, MERGE, STRATEGIC, Cluster
from crdcluster import (
    DEFINITIONS,
    NAME,
    WIDGETS,
    condition,
    custom_cluster,
    definition,
    gone,
    version,
    widget,
)
from patience import PATIENCE_S


@pytest.fixture
async def custom() -> AsyncIterator[Cluster]:
    async with custom_cluster() as cluster:
        yield cluster


async def test_a_definition_is_defaulted_accepted_and_established(custom: Cluster) -> None:
    tree = (await custom.get(f"{DEFINITIONS}/{NAME}")).tree
    assert tree["spec"]["names"] == {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
        "shortNames": ["wd"],
    }
    assert tree["spec"]["conversion"] == {"strategy": "None"}
    status = tree["status"]
    assert status["acceptedNames"] == tree["spec"]["names"]
    assert status["storedVersions"] == ["v1"]
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert tree["metadata"]["generation"] == 1


async def test_the_first_answer_shows_no_condition_yet() -> None:
    async with custom_cluster() as cluster:
        other = definition(plural="gadgets", kind="Gadget", shortNames=[])
        other["metadata"]["name"] = "gadgets.example.com"
        answer = await cluster.post(DEFINITIONS, other)
        assert answer.tree["status"] == {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": ["v1"],
        }


async def test_an_object_is_pruned_defaulted_and_counted(custom: Cluster) -> None:
    sent = {**widget(size=2, unknown=1), "status": {"ready": 1}}
    answer = await custom.post(WIDGETS, sent)
    assert answer.status == 201
    assert answer.tree["spec"] == {"size": 2, "colour": "red"}
    assert "status" not in answer.tree
    assert answer.tree["metadata"]["generation"] == 1
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.unknown\\""'
    changed = await custom.patch(f"{WIDGETS}/w", {"spec": {"size": 3}}, MERGE)
    assert changed.tree["metadata"]["generation"] == 2
    labelled = await custom.patch(f"{WIDGETS}/w", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert labelled.tree["metadata"]["generation"] == 2


async def test_strict_validation_names_every_unknown_field(custom: Cluster) -> None:
    sent = widget(unknown=1)
    sent["metadata"]["strange"] = 1
    answer = await custom.post(WIDGETS, sent, query={"fieldValidation": "Strict"})
    assert (answer.status, answer.message) == (
        400,
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown '
        'field "metadata.strange", unknown field "spec.unknown"',
    )
    assert (await custom.get(f"{WIDGETS}/w")).status == 404


async def test_an_invalid_object_gets_the_causes_of_kubernetes(custom: Cluster) -> None:
    answer = await custom.post(WIDGETS, widget(size=11, colour="green", parts=[{"count": "x"}]))
    assert answer.status == 422
    causes = {c["field"]: (c["reason"], c["message"]) for c in answer.tree["details"]["causes"]}
    assert causes == {
        "spec.colour": (
            "FieldValueNotSupported",
            'Unsupported value: "green": supported values: "red", "blue"',
        ),
        "spec.parts[0].count": (
            "FieldValueTypeInvalid",
            'Invalid value: "string": spec.parts[0].count in body must be of type integer: '
            '"string"',
        ),
        "spec.parts[0].name": ("FieldValueRequired", "Required value"),
        "spec.size": (
            "FieldValueInvalid",
            "Invalid value: 11: spec.size in body should be less than or equal to 10",
        ),
    }


async def test_what_was_wrong_before_may_stay_as_it_is(custom: Cluster) -> None:
    await custom.post(WIDGETS, widget(size=9))
    tree = (await custom.get(f"{DEFINITIONS}/{NAME}")).tree
    schema = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["size"]["maximum"] = 5
    assert (await custom.put(f"{DEFINITIONS}/{NAME}", tree)).status == 200
    await asyncio.sleep(0)
    kept = await custom.patch(f"{WIDGETS}/w", {"spec": {"colour": "blue"}}, MERGE)
    assert (kept.status, kept.tree["spec"]["size"]) == (200, 9)
    refused = await custom.patch(f"{WIDGETS}/w", {"spec": {"size": 8}}, MERGE)
    assert refused.status == 422


async def test_patches_by_type(custom: Cluster) -> None:
    await custom.post(WIDGETS, widget())
    operations = [{"op": "replace", "path": "/spec/size", "value": 4}]
    answer = await custom.patch(f"{WIDGETS}/w", operations, JSON_PATCH)
    assert (answer.status, answer.tree["spec"]["size"]) == (200, 4)
    answer = await custom.patch(f"{WIDGETS}/w", {}, STRATEGIC)
    assert (answer.status, answer.message) == (
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    )


async def test_apply_merges_list_maps_by_key_and_reports_conflicts(custom: Cluster) -> None:
    parts = [{"name": "a", "count": 1}]
    path = f"{WIDGETS}/w"
    first = await custom.patch(path, widget(parts=parts), APPLY, query={"fieldManager": "one"})
    assert first.status == 201
    more = {**widget(), "spec": {"parts": [{"name": "b", "count": 2}]}}
    second = await custom.patch(path, more, APPLY, query={"fieldManager": "two"})
    assert second.tree["spec"]["parts"] == [{"name": "a", "count": 1}, {"name": "b", "count": 2}]
    owners = {e["manager"]: e["fieldsV1"] for e in second.tree["metadata"]["managedFields"]}
    assert owners["two"] == {
        "f:spec": {"f:parts": {'k:{"name":"b"}': {".": {}, "f:count": {}, "f:name": {}}}}
    }
    stolen = {**widget(), "spec": {"parts": [{"name": "a", "count": 5}]}}
    refused = await custom.patch(path, stolen, APPLY, query={"fieldManager": "two"})
    assert (refused.status, refused.message) == (
        409,
        'Apply failed with 1 conflict: conflict with "one": .spec.parts[name="a"].count',
    )


async def test_ownership_of_a_created_object(custom: Cluster) -> None:
    sent = widget(free={"x": {"y": [1]}})
    sent["metadata"]["labels"] = {"a": "b"}
    tree = (await custom.post(WIDGETS, sent)).tree
    assert tree["metadata"]["managedFields"][0]["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            ".": {},
            "f:colour": {},
            "f:free": {".": {}, "f:x": {".": {}, "f:y": {}}},
            "f:size": {},
        },
    }


async def test_status_is_apart(custom: Cluster) -> None:
    await custom.post(WIDGETS, widget())
    change = {"metadata": {"labels": {"a": "b"}}, "spec": {"size": 5}, "status": {"ready": 2}}
    answer = await custom.patch(f"{WIDGETS}/w/status", change, MERGE)
    assert answer.status == 200
    assert (answer.tree["status"], answer.tree["spec"]["size"]) == ({"ready": 2}, 1)
    assert "labels" not in answer.tree["metadata"]
    assert answer.tree["metadata"]["generation"] == 1
    wrong = await custom.patch(f"{WIDGETS}/w/status", {"status": {"ready": "x"}}, MERGE)
    assert wrong.tree["details"]["causes"] == [
        {
            "reason": "FieldValueTypeInvalid",
            "message": 'Invalid value: "string": ready in body must be of type integer: "string"',
            "field": "status.ready",
        },
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: 0: .status.ready accessor error: x is of the type string, "
            "expected int64",
            "field": ".status.ready",
        },
    ]


async def test_scale_reads_and_writes_the_paths_of_the_definition(custom: Cluster) -> None:
    await custom.post(WIDGETS, widget(size=2))
    await custom.patch(f"{WIDGETS}/w/status", {"status": {"ready": 1}}, MERGE)
    scale = (await custom.get(f"{WIDGETS}/w/scale")).tree
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 1},
    )
    scaled = await custom.patch(f"{WIDGETS}/w/scale", {"spec": {"replicas": 7}}, MERGE)
    assert scaled.tree["spec"] == {"replicas": 7}
    tree = (await custom.get(f"{WIDGETS}/w")).tree
    assert (tree["spec"]["size"], tree["metadata"]["generation"]) == (7, 2)


async def test_fields_can_be_selected_by_if_the_definition_says_so() -> None:
    selectable = version(selectableFields=[{"jsonPath": ".spec.colour"}])
    async with custom_cluster(definition(selectable)) as cluster:
        await cluster.post(WIDGETS, widget("r"))
        await cluster.post(WIDGETS, widget("b", colour="blue"))
        found = await cluster.get(WIDGETS, query={"fieldSelector": "spec.colour=blue"})
        assert [item["metadata"]["name"] for item in found.tree["items"]] == ["b"]
        refused = await cluster.get(WIDGETS, query={"fieldSelector": "spec.size=1"})
        assert (refused.status, refused.message) == (400, "field label not supported: spec.size")


async def test_columns_of_a_table() -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
        {"name": "Count", "type": "string", "jsonPath": '.spec.parts[?(@.name=="b")].count'},
    ]
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with custom_cluster(definition(version(additionalPrinterColumns=columns))) as cluster:
        parts = [{"name": "a", "count": 1}, {"name": "b", "count": 2}]
        await cluster.post(WIDGETS, widget(parts=parts))
        await cluster.post(WIDGETS, widget("z"))
        table = (await cluster.get(WIDGETS, accept=accept)).tree
    assert [row["cells"] for row in table["rows"]] == [["w", 1, "2"], ["z", 1, None]]
    assert [(c["name"], c["priority"]) for c in table["columnDefinitions"]] == [
        ("Name", 0),
        ("Size", 1),
        ("Count", 0),
    ]


async def test_discovery_in_both_forms(custom: Cluster) -> None:
    groups = (await custom.get("/apis")).tree["groups"]
    assert groups[-1]["name"] == "example.com"
    assert "/apis/example.com/v1" in (await custom.get("/")).tree["paths"]
    entries = {e["name"]: e for e in (await custom.get("/apis/example.com/v1")).tree["resources"]}
    assert list(entries) == ["widgets", "widgets/status", "widgets/scale"]
    assert entries["widgets"]["shortNames"] == ["wd"]
    assert entries["widgets"]["verbs"] == [
        "delete", "deletecollection", "get", "list", "patch", "create", "update", "watch",
    ]  # fmt: skip
    assert entries["widgets/scale"]["group"] == "autoscaling"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = (await custom.get("/apis", accept=accept)).tree["items"][-1]
    resource = found["versions"][0]["resources"][0]
    kind = {"group": "example.com", "version": "v1", "kind": "Widget"}
    assert (resource["resource"], resource["responseKind"]) == ("widgets", kind)
    assert resource["subresources"][0]["responseKind"] == kind


async def test_names_that_another_definition_holds_are_refused_until_it_goes(
    custom: Cluster,
) -> None:
    other = definition(plural="widgetz", kind="Widget", listKind="Widgets", shortNames=["wd"])
    other["metadata"]["name"] = "widgetz.example.com"
    await custom.post(DEFINITIONS, other)
    found = await condition(custom, "NamesAccepted", "False", name="widgetz.example.com")
    assert (found["reason"], found["message"]) == ("KindConflict", '"Widget" is already in use')
    assert (await custom.get("/apis/example.com/v1/widgetz")).status == 404
    await custom.delete(f"{DEFINITIONS}/{NAME}")
    await condition(custom, "Established", name="widgetz.example.com")
    assert (await custom.get("/apis/example.com/v1/widgetz")).status == 200


async def test_deletion_takes_the_objects_along(custom: Cluster) -> None:
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await custom.post(WIDGETS, held)
    await custom.post(WIDGETS, widget("free"))
    answer = await custom.delete(f"{DEFINITIONS}/{NAME}")
    assert answer.status == 200
    assert answer.tree["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert answer.tree["status"]["conditions"][-1]["reason"] == "InstanceDeletionPending"
    await gone(custom, f"{WIDGETS}/free")
    refused = await custom.post(WIDGETS, widget("late"))
    assert (refused.status, refused.message) == (
        403,
        'widgets.example.com "late" is forbidden: create not allowed while custom resource '
        "definition is terminating",
    )
    late = await custom.patch(
        f"{WIDGETS}/later", widget("later"), APPLY, query={"fieldManager": "m"}
    )
    assert late.status == 403
    assert (await custom.get(f"{DEFINITIONS}/{NAME}")).status == 200
    await custom.patch(f"{WIDGETS}/held", {"metadata": {"finalizers": None}}, MERGE)
    await gone(custom, f"{DEFINITIONS}/{NAME}")
    assert (await custom.get(WIDGETS)).status == 404
    assert (await custom.get("/apis/example.com")).status == 404


async def test_a_watch_sees_objects_and_ends_when_the_definition_changes(custom: Cluster) -> None:
    watcher = await custom.watch(f"{WIDGETS}?watch=1")
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    await custom.post(WIDGETS, widget())
    assert (await waiting)["type"] == "ADDED"
    labels = {"metadata": {"labels": {"a": "b"}}}
    await custom.patch(f"{DEFINITIONS}/{NAME}", labels, MERGE)
    await custom.post(WIDGETS, widget("x"))
    assert (await watcher.next())["object"]["metadata"]["name"] == "x"
    tree = (await custom.get(f"{DEFINITIONS}/{NAME}")).tree
    tree["spec"]["names"]["categories"] = ["all"]
    assert (await custom.put(f"{DEFINITIONS}/{NAME}", tree)).status == 200
    async with asyncio.timeout(PATIENCE_S):
        assert await watcher.rest() == []


async def test_versions_without_conversion() -> None:
    old = version("v1beta1", storage=False, deprecated=True)
    async with custom_cluster(definition(version(), old)) as cluster:
        await cluster.post(WIDGETS, widget())
        answer = await cluster.get(f"{WIDGETS}/w".replace("/v1/", "/v1beta1/"))
        assert answer.tree["apiVersion"] == "example.com/v1beta1"
        assert answer.headers["Warning"] == (
            '299 - "example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"'
        )
        listed = await cluster.get(WIDGETS.replace("/v1/", "/v1beta1/"))
        assert listed.tree["apiVersion"] == "example.com/v1beta1"
        group = (await cluster.get("/apis/example.com")).tree
        assert [one["version"] for one in group["versions"]] == ["v1", "v1beta1"]
        tree = (await cluster.get(f"{DEFINITIONS}/{NAME}")).tree
        for one in tree["spec"]["versions"]:
            one["storage"] = one["name"] == "v1beta1"
        moved = await cluster.put(f"{DEFINITIONS}/{NAME}", tree)
        assert moved.tree["status"]["storedVersions"] == ["v1", "v1beta1"]
        await asyncio.sleep(0)
        await cluster.patch(f"{WIDGETS}/w", {"spec": {"size": 2}}, MERGE)
        assert (await cluster.get(f"{WIDGETS}/w")).tree["apiVersion"] == "example.com/v1"


async def test_a_new_default_shows_in_old_objects(custom: Cluster) -> None:
    await custom.post(WIDGETS, widget())
    tree = (await custom.get(f"{DEFINITIONS}/{NAME}")).tree
    schema = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = schema["properties"]["spec"]["properties"]
    fields["weight"] = {"type": "number", "default": 1.5}
    del fields["colour"]
    await custom.put(f"{DEFINITIONS}/{NAME}", tree)
    await asyncio.sleep(0)
    assert (await custom.get(f"{WIDGETS}/w")).tree["spec"] == {"size": 1, "weight": 1.5}
    listed = (await custom.get(WIDGETS)).tree["items"]
    assert [item["spec"] for item in listed] == [{"size": 1, "weight": 1.5}]


async def test_an_update_needs_a_version(custom: Cluster) -> None:
    await custom.post(WIDGETS, widget())
    answer = await custom.put(f"{WIDGETS}/w", widget(size=2))
    assert (answer.status, answer.message) == (
        422,
        'widgets.example.com "w" is invalid: metadata.resourceVersion: Invalid value: 0: must be '
        "specified for an update",
    )


async def test_metadata_of_the_wrong_type_is_refused(custom: Cluster) -> None:
    sent = widget()
    sent["metadata"]["labels"] = {"a": 1}
    answer = await custom.post(WIDGETS, sent)
    assert answer.status == 400
    assert "json: cannot unmarshal number into Go struct field ObjectMeta.labels" in answer.message


async def test_deleting_a_collection(custom: Cluster) -> None:
    for name in ("a", "b"):
        await custom.post(WIDGETS, widget(name))
    assert (await custom.delete(WIDGETS)).status == 200
    assert (await custom.get(WIDGETS)).tree["items"] == []


async def test_openapi_of_both_versions(custom: Cluster) -> None:
    index = (await custom.get("/openapi/v3")).tree["paths"]
    url = index["apis/example.com/v1"]["serverRelativeURL"]
    answer = await custom.get(url)
    assert answer.headers["Cache-Control"] == "public, immutable"
    schema = answer.tree["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["properties"]["spec"]["properties"]["size"]["maximum"] == 10
    assert schema["x-kubernetes-group-version-kind"] == [
        {"group": "example.com", "version": "v1", "kind": "Widget"}
    ]
    patch = answer.tree["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"][
        "patch"
    ]
    assert "fieldValidation" in {one["name"] for one in patch["parameters"]}
    v2 = (await custom.get("/openapi/v2", accept="application/json")).tree["definitions"]
    assert "type" not in v2["com.example.v1.Widget"]["properties"]["spec"]["properties"]["free"]
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    assert b"com.example.v1.Widget" in (await custom.get("/openapi/v2", accept=accept)).raw
    await custom.delete(f"{DEFINITIONS}/{NAME}")
    await gone(custom, f"{DEFINITIONS}/{NAME}")
    assert (await custom.get("/openapi/v3/apis/example.com/v1")).status == 404


_WITHOUT = """
import asyncio, sys
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.runtime.clock import LoopClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import MemoryEngine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import running

async def main():
    async with running(LocalStore(MemoryEngine(), attrs_of)) as store:
        api = ApiServer(store, LoopClock(), Rng(1))
        await api.bootstrap()
        background = asyncio.create_task(api.run())
        await asyncio.sleep(0.05)
        background.cancel()
asyncio.run(main())
print([name for name in sys.modules if "api.customresources" in name or name == "cel"])
"""


def test_a_server_without_definitions_imports_nothing_of_this() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", _WITHOUT],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert printed.stdout.strip() == "[]"


async def test_schemas_inside_of_schemas_are_decoded_too(custom: Cluster) -> None:
    tree = definition(plural="others", kind="Other")
    tree["metadata"]["name"] = "others.example.com"
    schema = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["properties"]["l"] = {"type": "array", "items": {"type": 5}}
    answer = await custom.post(DEFINITIONS, tree)
    assert (answer.status, answer.message.partition("JSONSchemaProps.")[0]) == (
        400,
        'CustomResourceDefinition in version "v1" cannot be handled as a CustomResourceDefinition: '
        "json: cannot unmarshal number into Go struct field ",
    )
    schema["properties"]["l"] = {"type": "array", "items": {"type": "string", "odd": 1}}
    answer = await custom.post(DEFINITIONS, tree)
    assert answer.status == 201
    assert "properties[l].items.odd" in answer.headers["Warning"].replace(
        "properties.l", "properties[l]"
    )
    schema["properties"]["l"] = {"type": "object", "additionalProperties": "x"}
    answer = await custom.put(f"{DEFINITIONS}/others.example.com", tree)
    assert (answer.status, "boolean or JSON schema expected" in answer.message) == (400, True)


@pytest.mark.parametrize("spec", [1, "x", [], {"parts": 1}, {"parts": [1]}, {"free": "x"}])
async def test_values_of_the_wrong_type_are_refused_as_invalid(
    custom: Cluster, spec: object
) -> None:
    sent = {**widget(), "spec": spec}
    assert (await custom.post(WIDGETS, sent)).status == 422
    applied = await custom.patch(f"{WIDGETS}/w", sent, APPLY, query={"fieldManager": "m"})
    assert applied.status in (422, 500)
    await custom.post(WIDGETS, widget())
    assert (await custom.patch(f"{WIDGETS}/w", {"spec": spec}, MERGE)).status == 422


async def test_a_custom_resource_that_is_called_like_one_of_kubernetes_meets_a_webhook(
    custom: Cluster,
) -> None:
    names = {"plural": "deployments", "singular": "deployment", "kind": "Deployment"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version()]}
    body = {"metadata": {"name": "deployments.example.com"}, "spec": spec}
    assert (await custom.post(DEFINITIONS, body)).status == 201
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
    hook = {
        "name": "a.b.c", "clientConfig": {"url": "https://127.0.0.1:1/"}, "rules": [rule],
        "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
    }  # fmt: skip
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    made = await custom.post(hooks, {"metadata": {"name": "h"}, "webhooks": [hook]})
    assert made.status == 201, made.message
    path = "/apis/example.com/v1/namespaces/default/deployments"
    answer = await custom.post(path, {
        "apiVersion": "example.com/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"size": 1},
    })  # fmt: skip
    assert answer.status == 201, answer.message
