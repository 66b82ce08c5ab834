"""Discovery documents and their negotiation (spec api-machinery, 16)."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.api.errors import NotAcceptable
from kubeherd.cluster.apiserver.edge import discovery

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "discovery.json").read_text())
ACCEPT = RECORDED["accept"]


def tree(path: str, accept: str = "") -> Any:
    found = discovery.document(path, accept, "127.0.0.1:6443")
    assert found is not None
    return json.loads(found.body)


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_documents_are_those_of_kubernetes(path: str) -> None:
    found = discovery.document(path, ACCEPT)
    assert found is not None
    tree = json.loads(found.body)
    if path == "/apis":  # as after the installation of metrics-server
        assert tree["items"].pop()["metadata"]["name"] == "metrics.k8s.io"
    assert tree == RECORDED[path[1:]]
    assert found.content_type == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert found.cache_control == "public"
    assert found.not_modified(found.etag)
    assert found.not_modified(f'"x", {found.etag}')
    assert not found.not_modified('"x"')


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
        "application/json,application/vnd.kubernetes.protobuf",
    ],
)
def test_other_clients_get_the_legacy_documents(accept: str) -> None:
    assert tree("/api", accept) == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}
        ],
    }
    assert tree("/apis", accept)["kind"] == "APIGroupList"


@pytest.mark.parametrize("path", ["/api", "/apis", "/apis/apps", "/api/v1"])
def test_clients_that_take_no_json_are_refused(path: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        discovery.document(path, "text/html")
    assert caught.value.status_code == 406


def test_a_group_names_its_versions() -> None:
    groups = {group["name"]: group for group in tree("/apis")["groups"]}
    assert groups["apps"] == {
        "name": "apps",
        "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
    }
    assert groups["autoscaling"]["preferredVersion"]["version"] == "v2"
    assert tree("/apis/apps") == {"kind": "APIGroup", "apiVersion": "v1", **groups["apps"]}


def test_a_resource_list_describes_each_resource() -> None:
    found = tree("/apis/apps/v1")
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", "apps/v1")
    entries = {entry["name"]: entry for entry in found["resources"]}
    assert entries["daemonsets"] == {
        "name": "daemonsets",
        "singularName": "daemonset",
        "namespaced": True,
        "kind": "DaemonSet",
        "verbs": [
            "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
        ],
        "shortNames": ["ds"],
        "categories": ["all"],
        "storageVersionHash": "dd7pWHUlMKQ=",
    }  # fmt: skip
    assert entries["daemonsets/status"]["singularName"] == ""
    core = {entry["name"]: entry for entry in tree("/api/v1")["resources"]}
    assert core["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }
    assert "storageVersionHash" not in core["bindings"]


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/api/v1", "pods", "xPOwRZ+Yhw8="),
        ("/api/v1", "nodes", "XwShjMxG9Fs="),
        ("/api/v1", "events", "r2yiGXH7wu8="),
        ("/apis/events.k8s.io/v1", "events", "r2yiGXH7wu8="),
        ("/apis/apps/v1", "statefulsets", "H+vl74LkKdo="),
    ],
)
def test_storage_version_hashes(path: str, name: str, expected: str) -> None:
    entries = {entry["name"]: entry for entry in tree(path)["resources"]}
    assert entries[name]["storageVersionHash"] == expected


@pytest.mark.parametrize(
    "path", ["/", "/apis/nope", "/apis/apps/v2", "/api/v2", "/apis/apps/v1/daemonsets", "/apis//v1"]
)
def test_unknown_paths_have_no_document(path: str) -> None:
    assert discovery.document(path) is None


def test_documents_are_made_once() -> None:
    first, second = discovery.document("/apis/apps/v1"), discovery.document("/apis/apps/v1")
    assert first is second
