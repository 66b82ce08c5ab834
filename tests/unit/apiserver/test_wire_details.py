"""Answers that clients compare by their text, as a v1.36.2 gave them."""

import base64
import json

import pytest
from apicluster import APPLY, JSON_PATCH, STRATEGIC, Cluster, config_map, daemon_set, pod

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.read import emptyobjects
from kubeherd.cluster.apiserver.read.listing import CONTINUE_S, Continue

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
APPS = "/apis/apps/v1/namespaces/default"
META = "application/json;v=v1;g=meta.k8s.io;as="


def test_every_column_is_described() -> None:
    for resource in kinds.ALL:
        assert len(tables.columns(resource)) >= 2
    found = {
        c["name"]: c["description"]
        for c in tables.columns(kinds.resource("apps", "v1", "deployments"))
    }
    assert found["Ready"] == "Number of the pod with ready state"
    assert found["Up-to-date"] == (
        "Total number of non-terminating pods targeted by this deployment that have the desired "
        "template spec."
    )
    assert found["Name"].startswith("Name must be unique within a namespace. Is required when")


@pytest.mark.parametrize(
    ("resource", "zeros"),
    [
        (kinds.PODS, {"spec": {"containers": None}, "status": {}}),
        (kinds.resource("", "v1", "services"), {"spec": {}, "status": {"loadBalancer": {}}}),
        (kinds.resource("", "v1", "configmaps"), {}),
        (
            kinds.resource("", "v1", "events"),
            {
                "involvedObject": {},
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
                "eventTime": None,
                "reportingComponent": "",
                "reportingInstance": "",
            },
        ),
    ],
)
def test_what_go_writes_of_an_empty_object(resource: kinds.Resource, zeros: object) -> None:
    empty = emptyobjects.of(resource)
    assert empty.pop("metadata") == {}
    assert (empty.pop("kind"), empty.pop("apiVersion")) == (resource.kind, resource.api_version)
    assert empty == zeros


async def test_a_bookmark_is_an_empty_object(cluster: Cluster) -> None:
    watcher = await cluster.watch(
        f"{PODS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        "&allowWatchBookmarks=true"
    )
    event = await watcher.next()
    await watcher.close()
    assert event["type"] == "BOOKMARK"
    assert event["object"]["spec"] == {"containers": None}
    assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_shapes_that_do_not_fit_are_not_acceptable(cluster: Cluster) -> None:
    await cluster.post(CMS, config_map("a"))
    listed = await cluster.get(CMS, accept=f"{META}PartialObjectMetadata")
    assert (listed.status, listed.message) == (
        406,
        "you requested PartialObjectMetadata, but the requested object is a list "
        "(*core.ConfigMapList)",
    )
    one = await cluster.get(f"{CMS}/a", accept=f"{META}PartialObjectMetadataList")
    assert (one.status, one.message) == (
        406,
        "you requested PartialObjectMetadataList, but the requested object is not a list "
        "(*core.ConfigMap)",
    )
    none = await cluster.get(f"{CMS}?labelSelector=x=y", accept=f"{META}PartialObjectMetadataList")
    assert none.tree["items"] is None


async def test_types_that_are_never_served_are_refused_by_the_router(cluster: Cluster) -> None:
    answer = await cluster.get(CMS, accept="text/html")
    assert (answer.status, answer.tree["details"]) == (406, {})
    assert answer.message == (
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch"
    )
    assert (await cluster.get(CMS, accept="text/html, */*;q=0.1")).status == 200


async def test_paths_of_served_groups_are_told_in_json(cluster: Cluster) -> None:
    for path in ("/api/v2", "/apis/apps/v2"):
        answer = await cluster.get(path)
        assert (answer.status, answer.tree["reason"]) == (404, "NotFound")
    assert (await cluster.get("/apis/none")).raw == b"404 page not found\n"
    assert (await cluster.call("POST", "/nowhere", b"")).raw == b"404 page not found\n"
    assert (await cluster.call("POST", "/healthz", b"")).raw == b"ok"


async def test_preconditions_of_a_delete_name_the_kind(cluster: Cluster) -> None:
    await cluster.post(f"{APPS}/daemonsets", daemon_set("d"))
    answer = await cluster.call("DELETE", f"{APPS}/daemonsets/d", {"preconditions": {"uid": "zz"}})
    assert answer.message.startswith('Operation cannot be fulfilled on DaemonSet.apps "d": the UID')
    assert answer.tree["details"] == {"name": "d", "group": "apps", "kind": "DaemonSet"}
    invalid = await cluster.call("DELETE", f"{APPS}/daemonsets/d", {"propagationPolicy": "Bad"})
    assert invalid.message.startswith('DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy')
    assert invalid.tree["details"]["group"] == "meta.k8s.io"


async def test_which_kinds_keep_their_dependents(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/replicationcontrollers"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    body = {"metadata": {"name": "r"}, "spec": {"selector": {"a": "b"}, "template": template}}
    assert (await cluster.post(path, body)).status == 201
    deleted = await cluster.call("DELETE", f"{path}/r?dryRun=All")
    assert deleted.tree["metadata"]["finalizers"] == ["orphan"]
    gone = await cluster.call("DELETE", f"{path}/r?dryRun=All&propagationPolicy=Background")
    assert gone.tree["kind"] == "Status"


async def test_a_scale_must_have_the_name_of_the_url(cluster: Cluster) -> None:
    await cluster.post(f"{APPS}/deployments", daemon_set("d"))
    path = f"{APPS}/deployments/d/scale"
    other = await cluster.call("PUT", path, {"metadata": {"name": "e"}, "spec": {"replicas": 3}})
    assert (other.status, other.message) == (
        400,
        "the name of the object (e) does not match the name on the URL (d)",
    )
    nameless = await cluster.call("PUT", path, {"spec": {"replicas": 3}})
    assert nameless.message == (
        "the name of the object (d based on URL) was undeterminable: name must be provided"
    )
    assert (await cluster.get(path)).tree["spec"] == {"replicas": 1}
    none = await cluster.patch(
        path, [{"op": "replace", "path": "/spec/replicas", "value": 0}], JSON_PATCH
    )
    assert none.tree["spec"] == {}


async def test_strict_problems_come_in_the_order_of_the_document(cluster: Cluster) -> None:
    body = (
        b'{"bogus": 1, "metadata": {"name": "a", "name": "a"}, "data": {}, "other": 2, "data": {}}'
    )
    answer = await cluster.call("POST", f"{CMS}?fieldValidation=Strict", body)
    assert answer.message.endswith(
        'strict decoding error: unknown field "bogus", duplicate field "metadata.name", '
        'unknown field "other", duplicate field "data"'
    )
    yaml = b"metadata: {name: a}\nz: 1\nb: 2\ndata: {}\ndata: {}\nz: 3\n"
    told = await cluster.call(
        "POST", f"{CMS}?fieldValidation=Strict", yaml, content_type="application/yaml"
    )
    assert told.message.endswith(
        "strict decoding error: yaml: unmarshal errors:\n"
        '  line 5: key "data" already set in map\n'
        '  line 6: key "z" already set in map, unknown field "b", unknown field "z"'
    )


async def test_a_refusal_carries_its_warnings(cluster: Cluster) -> None:
    answer = await cluster.post(CMS, {"metadata": {}, "bogus": 1})
    assert answer.status == 422
    assert answer.headers["Warning"] == '299 - "unknown field \\"bogus\\""'


@pytest.mark.parametrize("version", ["0", "v1", ""])
async def test_a_version_that_is_no_number_may_be_created(cluster: Cluster, version: str) -> None:
    body = {"metadata": {"name": "a", "resourceVersion": version}}
    assert (await cluster.post(CMS, body)).status == 201
    dry = {"metadata": {"name": "b", "resourceVersion": "12"}}
    assert (await cluster.post(f"{CMS}?dryRun=All", dry)).status == 201
    refused = await cluster.post(CMS, dry)
    assert (refused.status, refused.tree.get("reason")) == (500, None)


async def test_a_scale_is_applied_to_the_replicas_of_its_workload(cluster: Cluster) -> None:
    body = {**daemon_set("d"), "kind": "Deployment"}
    body["spec"] = {**body["spec"], "replicas": 2}
    await cluster.post(f"{APPS}/deployments", body, user_agent="dm/1")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 1}}
    path = f"{APPS}/deployments/d/scale?fieldManager=other"
    refused = await cluster.patch(path, scale, APPLY)
    assert (refused.status, refused.message) == (
        409,
        'Apply failed with 1 conflict: conflict with "dm" using autoscaling/v1: .spec.replicas',
    )
    forced = await cluster.patch(f"{path}&force=true", scale, APPLY)
    assert (forced.tree["kind"], forced.tree["spec"]) == ("Scale", {"replicas": 1})
    assert (await cluster.get(f"{APPS}/deployments/d")).tree["spec"]["replicas"] == 1


async def test_a_scale_is_shown_as_a_table(cluster: Cluster) -> None:
    await cluster.post(f"{APPS}/deployments", {**daemon_set("d"), "kind": "Deployment"})
    answer = await cluster.get(f"{APPS}/deployments/d/scale", accept=f"{META}Table")
    names = [column["name"] for column in answer.tree["columnDefinitions"]]
    assert names == ["Name", "Desired", "Available", "Age"]
    assert answer.tree["rows"][0]["cells"][:3] == ["d", 1, 0]


async def test_an_apply_names_a_version_that_exists(cluster: Cluster) -> None:
    path = f"{CMS}/a?fieldManager=m"
    for version, shown in (("apps/v9", "apps/v9"), (None, "/")):
        answer = await cluster.patch(path, {"apiVersion": version, "kind": "ConfigMap"}, APPLY)
        assert answer.message == f"invalid object type: {shown}, Kind=ConfigMap"


async def test_preconditions_of_a_namespace(cluster: Cluster) -> None:
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "n"}})
    answer = await cluster.delete("/api/v1/namespaces/n", {"preconditions": {"uid": "zz"}})
    assert answer.message.startswith(
        'Operation cannot be fulfilled on namespaces "n": Precondition failed: UID in precondition:'
        " zz, UID in object meta: "
    )


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("stream=Bad", "stream: Forbidden: may not be specified"),
    ],
)
async def test_log_options_are_checked(cluster: Cluster, query: str, text: str) -> None:
    await cluster.post(PODS, pod("p"))
    answer = await cluster.get(f"{PODS}/p/log?{query}")
    assert (answer.status, answer.message) == (422, f'PodLogOptions "p" is invalid: {text}')


async def test_what_an_eviction_must_be(cluster: Cluster) -> None:
    await cluster.post(PODS, pod("p"))
    nameless = await cluster.post(f"{PODS}/p/eviction", {})
    assert nameless.message == "name in URL does not match name in Eviction object"
    old = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}}
    dry = await cluster.post(f"{PODS}/p/eviction", {**old, "deleteOptions": {"dryRun": ["All"]}})
    assert dry.status == 201
    assert "conditions" not in (await cluster.get(f"{PODS}/p")).tree["status"]


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"data": {"k": True}}, "unrecognized type: string"),
        ({"data": []}, "cannot restore map from slice"),
        ({"immutable": {}}, "unrecognized type: bool"),
        ({"data": {"k": 1}}, "cannot convert int64 to string"),
    ],
)
async def test_strategic_patches_are_refused_by_the_converter(
    cluster: Cluster, patch: dict[str, object], why: str
) -> None:
    await cluster.post(CMS, config_map("a"))
    answer = await cluster.patch(f"{CMS}/a", patch, STRATEGIC)
    assert answer.status == 422
    assert answer.message.endswith(f": {why}")


async def test_go_names_what_it_cannot_decode(cluster: Cluster) -> None:
    volume = {"name": "v", "hostPath": {"path": {}}}
    body = {**pod("p"), "spec": {"volumes": [volume]}}
    answer = await cluster.post(PODS, body)
    assert answer.message.endswith(
        "json: cannot unmarshal object into Go struct field "
        "HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.path of type string"
    )
    finalizers = {"metadata": {"name": "n"}, "spec": {"finalizers": {}}}
    named = await cluster.post("/api/v1/namespaces", finalizers)
    assert named.message.endswith("NamespaceSpec.spec.finalizers of type []v1.FinalizerName")


async def test_the_pages_of_a_list_are_there_for_five_minutes(cluster: Cluster) -> None:
    for name in "abc":
        await cluster.post(CMS, config_map(name))
    first = (await cluster.get(f"{CMS}?limit=1")).tree["metadata"]["continue"]
    token = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    assert abs(token["begun"] - cluster.clock.now().timestamp()) < 60
    second = await cluster.get(CMS, query={"limit": "1", "continue": first})
    assert [item["metadata"]["name"] for item in second.tree["items"]] == ["b"]

    late = Continue(token["rv"], token["start"], token["begun"] - CONTINUE_S - 60).encoded()
    expired = await cluster.get(CMS, query={"limit": "1", "continue": late})
    assert (expired.status, expired.tree["reason"]) == (410, "Expired")
    way_out = expired.tree["metadata"]["continue"]
    rest = await cluster.get(CMS, query={"continue": way_out})
    assert [item["metadata"]["name"] for item in rest.tree["items"]][:1] == ["b"]
