"""Answers that clients compare by their text, as a v1.36.2 gave them."""

import pytest
from apicluster import JSON_PATCH, Cluster, config_map, daemon_set, pod

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver import tables
from kubeherd.cluster.apiserver.read import emptyobjects

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
    assert (await cluster.post(CMS, dry)).status == 500
