"""PATCH in all its forms, with the answers of a recorded control plane (api-machinery 10, 11)."""

import json

import pytest
from apicluster import (
    APPLY,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Answer,
    Cluster,
    config_map,
    daemon_set,
    pod,
)

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DSS = "/apis/apps/v1/namespaces/default/daemonsets"


async def test_strategic_merge_patches_containers_by_name(cluster: Cluster) -> None:
    await cluster.post(DSS, daemon_set("d"))
    containers = [{"name": "c", "image": "nginx:2"}]
    answer = await cluster.patch(
        f"{DSS}/d", {"spec": {"template": {"spec": {"containers": containers}}}}
    )
    (container,) = answer.tree["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["terminationMessagePath"]) == (
        "nginx:2",
        "/dev/termination-log",
    )
    assert answer.tree["metadata"]["generation"] == 2


async def test_patch_without_effect_keeps_the_revision(cluster: Cluster) -> None:
    created = (await cluster.post(CMS, config_map("a", k="v"))).tree
    before = cluster.store.revision
    answer = await cluster.patch(f"{CMS}/a", {"data": {"k": "v"}}, user_agent="other/1")
    assert (answer.status, answer.tree, cluster.store.revision) == (200, created, before)


@pytest.mark.parametrize(
    ("content_type", "body", "code", "message"),
    [
        (
            JSON_PATCH,
            [{"op": "remove", "path": "/data/nothing"}],
            422,
            "the server rejected our request due to an error in our request",
        ),
        (MERGE, b"{", 400, "error decoding patch: "),
        (
            STRATEGIC,
            b"[]",
            400,
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (JSON_PATCH, b"{}", 400, "error decoding patch: "),
        (
            JSON_PATCH,
            [{"op": "test", "path": "/kind", "value": "x"}] * 10_001,
            413,
            "The allowed maximum operations in a JSON patch is 10000, got 10001",
        ),
        (
            "text/plain",
            {},
            415,
            "415: Unsupported Media Type",
        ),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409, "the object has been modified"),
        (MERGE, {"metadata": {"uid": "x"}}, 422, 'metadata.uid: Invalid value: "x": field is imm'),
        (MERGE, {"metadata": {"resourceVersion": "abc"}}, 500, 'ParseUint: parsing "abc": invalid'),
        (MERGE, {"kind": "Bogus"}, 422, 'no kind "Bogus" is registered for version "v1" in scheme'),
        (MERGE, {"metadata": {"name": "b"}}, 400, "(b) does not match the name on the URL (a)"),
        (MERGE, {"data": {"k": {}}}, 422, 'patch: Invalid value: "'),
    ],
)
async def test_patches_that_are_refused_change_nothing(
    cluster: Cluster, content_type: str, body: object, code: int, message: str
) -> None:
    await cluster.post(CMS, config_map("a", k="v"))
    before = cluster.store.revision
    answer = await cluster.patch(f"{CMS}/a", body, content_type)
    assert answer.status == code
    assert message in answer.message
    assert cluster.store.revision == before


@pytest.mark.parametrize("content_type", [STRATEGIC, MERGE])
async def test_a_status_for_another_object_of_the_name_is_refused(
    cluster: Cluster, content_type: str
) -> None:
    made = (await cluster.post(PODS, pod("a"))).tree
    before = cluster.store.revision
    sent = {"metadata": {"uid": "x"}, "status": {"phase": "Failed"}}
    answer = await cluster.patch(f"{PODS}/a/status", sent, content_type)
    assert (answer.status, cluster.store.revision) == (422, before)
    assert 'metadata.uid: Invalid value: "x": field is immutable' in answer.message
    sent["metadata"]["uid"] = made["metadata"]["uid"]
    assert (await cluster.patch(f"{PODS}/a/status", sent, content_type)).status == 200


async def test_patch_of_an_absent_object_is_404(cluster: Cluster) -> None:
    assert (await cluster.patch(f"{CMS}/ghost", {})).status == 404
    assert (await cluster.patch(f"{CMS}/ghost", b"{")).status == 404  # whatever was sent


async def test_duplicate_fields_of_a_patch_are_told(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("a", k="v"))
    body = b'{"data": {"k": "1", "k": "2"}}'
    answer = await cluster.patch(f"{CMS}/a", body)
    assert answer.headers["Warning"] == '299 - "duplicate field \\"data.k\\""'
    refused = await cluster.patch(f"{CMS}/a?fieldValidation=Strict", body)
    assert refused.status == 422
    assert refused.message.endswith('strict decoding error: duplicate field "data.k"')
    operation = b'[{"op": "test", "op": "remove", "path": "/data/k"}]'
    removed = await cluster.patch(f"{CMS}/a", operation, JSON_PATCH)
    assert removed.headers["Warning"] == '299 - "json patch duplicate field \\"[0].op\\""'


async def test_an_empty_list_of_managed_fields_ends_the_tracking(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("a", k="v"))
    cleared = await cluster.patch(f"{CMS}/a", {"metadata": {"managedFields": []}})
    assert "managedFields" not in cleared.tree["metadata"]
    later = await cluster.patch(f"{CMS}/a", {"data": {"x": "y"}})
    assert "managedFields" not in later.tree["metadata"]


async def test_strict_patch_shows_the_patch_as_go_prints_it(cluster: Cluster) -> None:
    await cluster.post(DSS, daemon_set("d"))
    spec = {"terminationGracePeriodSecond": 30, "terminationGracePeriodSeconds": None}
    answer = await cluster.patch(
        f"{DSS}/d?fieldValidation=Strict", {"spec": {"template": {"spec": spec}}}
    )
    text = (
        'Invalid value: "map[spec:map[template:map[spec:map[terminationGracePeriodSecond:30 '
        'terminationGracePeriodSeconds:<nil>]]]]": strict decoding error: unknown field '
        '"spec.template.spec.terminationGracePeriodSecond"'
    )
    assert answer.status == 422
    assert answer.message == f' "" is invalid: patch: {text}'
    assert answer.tree["details"] == {
        "causes": [{"reason": "FieldValueInvalid", "message": text, "field": "patch"}]
    }


async def test_immutable_selector_has_the_recorded_message(cluster: Cluster) -> None:
    await cluster.post(DSS, daemon_set("d"))
    patch = {"spec": {"selector": {"matchLabels": {"app": "other"}}}}
    answer = await cluster.patch(f"{DSS}/d", patch, MERGE)
    assert answer.status == 422
    assert answer.message == (
        'DaemonSet.apps "d" is invalid: [spec.selector: Invalid value: '
        '{"matchLabels":{"app":"other"}}: field is immutable, spec.template.metadata.labels: '
        'Invalid value: {"app":"d"}: `selector` does not match template `labels`]'
    )


async def _apply(cluster: Cluster, manager: str, data: object, **query: str) -> Answer:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
    return await cluster.patch(f"{CMS}/a", body, APPLY, query={"fieldManager": manager, **query})


async def test_apply_creates_merges_conflicts_and_forces(cluster: Cluster) -> None:
    created = await _apply(cluster, "one", {"k": "1", "l": "1"})
    assert created.status == 201
    assert created.tree["metadata"]["managedFields"][0]["operation"] == "Apply"
    merged = await _apply(cluster, "two", {"m": "2"})
    assert (merged.status, merged.tree["data"]) == (200, {"k": "1", "l": "1", "m": "2"})
    conflict = await _apply(cluster, "two", {"k": "2"})
    assert conflict.status == 409
    assert conflict.message == 'Apply failed with 1 conflict: conflict with "one": .data.k'
    assert conflict.tree["details"]["causes"] == [{
        "reason": "FieldManagerConflict",
        "message": 'conflict with "one"',
        "field": ".data.k",
    }]  # fmt: skip
    for word in ("0", "false", "False"):  # kubernetes_asyncio writes the last one
        assert (await _apply(cluster, "two", {"k": "2"}, force=word)).status == 409
    forced = await _apply(cluster, "two", {"k": "2"}, force="true")
    assert forced.tree["data"] == {"k": "2", "l": "1"}
    dropped = await _apply(cluster, "one", {"k": "2"})
    assert dropped.tree["data"] == {"k": "2"}


async def test_options_that_apply_needs_and_others_must_not_have(cluster: Cluster) -> None:
    answer = await cluster.patch(f"{CMS}/a", {}, APPLY)
    assert answer.status == 422
    assert "fieldManager: Required value: is required for apply patch" in answer.message
    answer = await cluster.patch(f"{CMS}/a?force=true", {}, MERGE)
    assert "force: Forbidden: may not be specified for non-apply patch" in answer.message
    yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, managedFields: []}\n"
    answer = await cluster.call("PATCH", f"{CMS}/a?fieldManager=x", yaml, content_type=APPLY)
    assert answer.status in (201, 400)


async def test_unknown_field_in_a_patch_warns(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("a"))
    answer = await cluster.patch(f"{CMS}/a", {"foo": 1}, MERGE)
    assert answer.status == 200
    assert answer.headers["Warning"] == '299 - "unknown field \\"foo\\""'


async def test_a_status_patch_leaves_the_spec(cluster: Cluster) -> None:
    await cluster.post(DSS, daemon_set("d"))
    patch = {"status": {"numberReady": 2}, "spec": {"minReadySeconds": 7}}
    tree = (await cluster.patch(f"{DSS}/d/status", patch)).tree
    assert tree["status"]["numberReady"] == 2
    assert "minReadySeconds" not in tree["spec"]
    assert json.dumps(tree["metadata"]["managedFields"]).count('"subresource": "status"') == 1


async def test_a_status_patch_keeps_what_it_says_nothing_about(cluster: Cluster) -> None:
    pods = "/api/v1/namespaces/default/pods"
    created = (await cluster.post(pods, pod("p", nodeSelector={"a": "b"}))).tree
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    answer = await cluster.patch(f"{pods}/p/status", {"status": status})
    assert list(answer.tree) == list(created)
    assert answer.tree["spec"] == created["spec"]
    (condition,) = answer.tree["status"]["conditions"]
    assert (condition["status"], condition["lastProbeTime"]) == ("True", None)
    directive = {"$retainKeys": ["metadata", "kind", "apiVersion"], "metadata": {}}
    refused = await cluster.patch(f"{pods}/p", directive)
    assert (refused.status, (await cluster.get(f"{pods}/p")).tree["spec"]) == (422, created["spec"])
    unknown = await cluster.patch(f"{pods}/p/status", {"status": {"nonsense": 1}, "other": 2})
    assert unknown.headers["Warning"] == (
        '299 - "unknown field \\"status.nonsense\\"", 299 - "unknown field \\"other\\""'
    )


async def test_apply_with_a_uid_makes_no_new_object(cluster: Cluster) -> None:
    meta = {"name": "a", "uid": "11111111-2222-3333-4444-555555555555"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    answer = await cluster.patch(f"{CMS}/a", body, APPLY, query={"fieldManager": "m"})
    assert answer.status == 409
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object '
        "specified uid 11111111-2222-3333-4444-555555555555, and no existing object was found"
    )
    assert (await cluster.get(f"{CMS}/a")).status == 404


async def test_a_strategic_patch_may_claim_to_be_of_another_kind(cluster: Cluster) -> None:
    """It goes from a map into the Go type, without the kind being asked; as ansible's k8s_scale,
    which patches the Scale of a Deployment with `kind: Deployment`."""
    await cluster.post(CMS, config_map("a", k="v"))
    other = {"apiVersion": "v9", "kind": "Secret", "data": {"k": "w"}}
    answer = await cluster.patch(f"{CMS}/a", other)
    assert (answer.status, answer.tree["data"]) == (200, {"k": "w"})
    assert (answer.tree["apiVersion"], answer.tree["kind"]) == ("v1", "ConfigMap")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("p")["spec"]}
    spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    await cluster.post(path, {"metadata": {"name": "d"}, "spec": spec})
    metadata = {"name": "d", "namespace": "default"}
    patch = {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 0}}
    answer = await cluster.patch(f"{path}/d/scale", patch)
    assert (answer.status, answer.tree["kind"]) == (200, "Scale")
    assert (await cluster.get(f"{path}/d")).tree["spec"]["replicas"] == 0
    answer = await cluster.patch(f"{path}/d/scale", patch, content_type=MERGE)
    assert answer.status == 422
