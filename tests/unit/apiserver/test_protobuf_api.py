"""The REST API in Kubernetes protobuf, mixed with JSON (spec api-machinery, 3 and 16)."""

from typing import Any

import pytest
from apicluster import Cluster, api_cluster, config_map, pod
from protowire import body, fields, message, opened

from kubeherd.cluster.api.serializer.protobuf import bodies
from kubeherd.cluster.apiserver.edge.messages import WatchResponse
from kubeherd.cluster.apiserver.edge.protobufs import Remembered

PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPTED = (
    "only the following media types are accepted: application/json, application/yaml, "
    "application/vnd.kubernetes.protobuf"
)
PARTIAL = f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = f"{PROTOBUF};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
TABLE = f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io"
CORE = "/api/v1/namespaces/default"
NODE = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}}


def sent(kind: str, tree: dict[str, Any], api_version: str = "v1") -> bytes:
    return bodies.encode({"kind": kind, "apiVersion": api_version, **tree})


def without_nulls(tree: Any) -> Any:
    """JSON without what protobuf does not tell from absent."""
    if isinstance(tree, dict):
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    return [without_nulls(item) for item in tree] if isinstance(tree, list) else tree


async def both(cluster: Cluster, path: str) -> tuple[Any, Any]:
    """The same answer in protobuf and in JSON."""
    proto = await cluster.get(path, accept=PROTOBUF)
    assert proto.headers.get("Content-Type", proto.content_type) == PROTOBUF
    plain = await cluster.get(path)
    return bodies.decode(proto.raw), without_nulls(plain.tree)


@pytest.mark.parametrize(
    ("path", "api_version", "kind", "tree"),
    [
        (f"{CORE}/pods", "v1", "Pod", pod("x", automountServiceAccountToken=False)),
        (f"{CORE}/services", "v1", "Service",
         {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}),
        ("/apis/events.k8s.io/v1/namespaces/default/events", "events.k8s.io/v1", "Event",
         {"metadata": {"name": "x", "namespace": "default"}, "reason": "R", "type": "Normal",
          "eventTime": "2023-11-14T22:13:20.000250Z", "reportingController": "c/s",
          "action": "A", "reportingInstance": "i", "note": "t",
          "regarding": {"kind": "Pod", "namespace": "default"}}),
        ("/apis/apps/v1/namespaces/default/controllerrevisions", "apps/v1", "ControllerRevision",
         {"metadata": {"name": "x"}, "data": {"spec": {"a": [1]}}, "revision": 3}),
        ("/apis/apps/v1/namespaces/default/daemonsets", "apps/v1", "DaemonSet",
         {"metadata": {"name": "x"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template":
          {**pod(), "metadata": {"labels": {"a": "b"}}}}}),
        ("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", "autoscaling/v1",
         "HorizontalPodAutoscaler", {"metadata": {"name": "x"}, "spec": {"maxReplicas": 3,
          "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}}),
        ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "discovery.k8s.io/v1",
         "EndpointSlice", {"metadata": {"name": "x"}, "addressType": "IPv4",
                           "endpoints": [{"addresses": ["10.0.0.1"]}]}),
        ("/apis/storage.k8s.io/v1/storageclasses", "storage.k8s.io/v1", "StorageClass",
         {"metadata": {"name": "x"}, "provisioner": "p"}),
    ],
)  # fmt: skip
async def test_kinds_are_created_and_shown_in_either_encoding(
    path: str, api_version: str, kind: str, tree: dict[str, Any]
) -> None:
    async with api_cluster() as cluster:
        created = await cluster.post(
            path, sent(kind, tree, api_version), content_type=PROTOBUF, accept=PROTOBUF
        )
        assert created.status == 201
        proto, plain = await both(cluster, f"{path}/x")
        assert bodies.decode(created.raw) == proto
        assert (proto["metadata"], proto["kind"]) == (plain["metadata"], kind)
        again = bodies.decode(sent(kind, tree, api_version))
        again["metadata"]["name"] = "y"
        other = (await cluster.post(path, again)).tree
        for own in ("spec", "data", "endpoints", "provisioner", "regarding"):
            assert without_nulls(_unassigned(other.get(own))) == _unassigned(plain.get(own))
        proto, plain = await both(cluster, path)
        names = [item["metadata"]["name"] for item in proto["items"]]
        assert names == [item["metadata"]["name"] for item in plain["items"]]
        assert proto["kind"] == f"{kind}List"


def _unassigned(spec: Any) -> Any:
    """Without what the server chooses for each object."""
    if not isinstance(spec, dict):
        return spec
    return {key: value for key, value in spec.items() if not key.startswith("clusterIP")}


async def test_an_update_a_status_and_a_patch() -> None:
    async with api_cluster() as cluster:
        await cluster.post("/api/v1/nodes", sent("Node", NODE), content_type=PROTOBUF)
        node, _ = await both(cluster, "/api/v1/nodes/n")
        node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        answer = await cluster.put(
            "/api/v1/nodes/n/status", bodies.encode(node), content_type=PROTOBUF, accept=PROTOBUF
        )
        assert bodies.decode(answer.raw)["status"]["conditions"][0]["status"] == "True"
        patch = {"metadata": {"labels": {"a": "b"}}}
        answer = await cluster.patch("/api/v1/nodes/n", patch, accept=PROTOBUF)
        assert bodies.decode(answer.raw)["metadata"]["labels"]["a"] == "b"
        refused = await cluster.patch("/api/v1/nodes/n", body("v1", "Node", b""), PROTOBUF)
        assert refused.status == 415


async def test_subresources_and_delete_options() -> None:
    async with api_cluster() as cluster:
        await cluster.post("/api/v1/nodes", NODE)
        await cluster.post(f"{CORE}/pods", pod("p"))
        binding = sent(
            "Binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        )
        bound = await cluster.post(
            f"{CORE}/pods/p/binding", binding, content_type=PROTOBUF, accept=PROTOBUF
        )
        assert bodies.decode(bound.raw)["status"] == "Success"
        await cluster.post(f"{CORE}/configmaps", config_map("x"))
        options = body("v1", "DeleteOptions", message((2, message((1, b"wrong")))))
        refused = await cluster.delete(
            f"{CORE}/configmaps/x", options, content_type=PROTOBUF, accept=PROTOBUF
        )
        assert (refused.status, bodies.decode(refused.raw)["reason"]) == (409, "Conflict")
        options = body("v1", "DeleteOptions", message((5, b"All")))
        gone = await cluster.delete(
            f"{CORE}/configmaps/x", options, content_type=PROTOBUF, accept=PROTOBUF
        )
        assert bodies.decode(gone.raw)["details"]["name"] == "x"
        assert (await cluster.get(f"{CORE}/configmaps/x")).status == 200  # it was a dry run


async def test_scale_and_eviction() -> None:
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {**pod(), "metadata": {"labels": {"a": "b"}}},
    }
    async with api_cluster() as cluster:
        await cluster.post(deployments, {"metadata": {"name": "d"}, "spec": spec})
        found = await cluster.get(f"{deployments}/d/scale", accept=PROTOBUF)
        scale = bodies.decode(found.raw)
        assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 1})
        scale["spec"]["replicas"] = 3
        scaled = await cluster.put(
            f"{deployments}/d/scale", bodies.encode(scale), content_type=PROTOBUF, accept=PROTOBUF
        )
        assert bodies.decode(scaled.raw)["spec"] == {"replicas": 3}
        await cluster.post(f"{CORE}/pods", pod("p"))
        eviction = sent(
            "Eviction",
            {"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0}},
            "policy/v1",
        )
        evicted = await cluster.post(
            f"{CORE}/pods/p/eviction", eviction, content_type=PROTOBUF, accept=PROTOBUF
        )
        assert (evicted.status, bodies.decode(evicted.raw)["status"]) == (201, "Success")
        assert (await cluster.get(f"{CORE}/pods/p")).status == 404


async def test_reviews() -> None:
    async with api_cluster() as cluster:
        review = sent(
            "SelfSubjectAccessReview",
            {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
            "authorization.k8s.io/v1",
        )
        answer = await cluster.post(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            review, content_type=PROTOBUF, accept=PROTOBUF,
        )  # fmt: skip
        assert bodies.decode(answer.raw)["status"]["allowed"] is True


async def frames(cluster: Cluster, path: str, accept: str = PROTOBUF) -> list[tuple[str, Any]]:
    """The events of a stream that ends."""
    response = await cluster.raw("GET", path, accept=accept)
    assert isinstance(response, WatchResponse)
    assert response.content_type == f"{PROTOBUF};stream=watch"
    data = b"".join([chunk async for chunk in response.chunks])
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        event = dict(fields(data[4:end]))
        shown = dict(fields(bytes(event[2])))[1]
        found.append((bytes(event[1]).decode(), bodies.decode(bytes(shown))))
        data = data[end:]
    return found


async def test_a_watch_is_framed() -> None:
    async with api_cluster(speed=5) as cluster:
        await cluster.post(f"{CORE}/configmaps", config_map("a"))
        maps = f"{CORE}/configmaps?watch=1&timeoutSeconds=5&allowWatchBookmarks=true"
        found = await frames(cluster, f"{maps}&resourceVersion=0", f"{PROTOBUF};stream=watch")
        assert [(type_, tree["metadata"].get("name")) for type_, tree in found] == [
            ("ADDED", "a"), ("BOOKMARK", None), ("BOOKMARK", None),
        ]  # fmt: skip
        since = found[0][1]["metadata"]["resourceVersion"]
        await cluster.put(f"{CORE}/configmaps/a", config_map("a", k="v"))
        await cluster.delete(f"{CORE}/configmaps/a")
        found = await frames(cluster, f"{maps}&resourceVersion={since}")
        assert [(type_, tree.get("data")) for type_, tree in found[:2]] == [
            ("MODIFIED", {"k": "v"}), ("DELETED", {"k": "v"}),
        ]  # fmt: skip
        (first, *_) = await frames(cluster, f"{maps}&resourceVersion={since}", PARTIAL)
        assert first[1]["kind"] == "PartialObjectMetadata"
        assert first[1]["metadata"]["name"] == "a"


async def test_a_watch_that_fails_says_so_in_protobuf() -> None:
    async with api_cluster(max_history_events=2) as cluster:
        for name in "abcd":
            await cluster.post(f"{CORE}/configmaps", config_map(name))
        ((type_, status),) = await frames(
            cluster, f"{CORE}/configmaps?watch=1&timeoutSeconds=1&resourceVersion=1"
        )
        assert (type_, status["kind"], status["code"]) == ("ERROR", "Status", 410)


async def test_yaml_is_no_stream() -> None:
    async with api_cluster() as cluster:
        answer = await cluster.get(f"{CORE}/configmaps?watch=1", accept="application/yaml")
        assert answer.status == 406
        assert (
            "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
            in (answer.raw.decode())
        )


async def test_partial_objects_have_a_message_and_tables_have_none() -> None:
    async with api_cluster() as cluster:
        await cluster.post(f"{CORE}/configmaps", config_map("a", k="v"))
        one = await cluster.get(f"{CORE}/configmaps/a", accept=PARTIAL)
        assert bodies.decode(one.raw)["metadata"]["name"] == "a"
        many = await cluster.get(f"{CORE}/configmaps", accept=PARTIALS)
        assert [*map(len, bodies.decode(many.raw)["items"])] == [1] * len(
            bodies.decode(many.raw)["items"]
        )
        refused = await cluster.get(f"{CORE}/configmaps", accept=TABLE)
        assert (refused.status, refused.content_type) == (406, "application/json")
        assert refused.message == ACCEPTED
        plain = await cluster.get(f"{CORE}/configmaps", accept=f"{TABLE},application/json")
        assert plain.tree["kind"] == "ConfigMapList"


async def test_errors_come_in_the_encoding_that_is_accepted() -> None:
    async with api_cluster() as cluster:
        missing = await cluster.get(f"{CORE}/configmaps/x", accept=f"{PROTOBUF},application/json")
        assert (missing.status, missing.content_type) == (404, PROTOBUF)
        assert bodies.decode(missing.raw)["reason"] == "NotFound"
        in_yaml = await cluster.get(f"{CORE}/configmaps/x", accept="application/yaml")
        assert in_yaml.content_type == "application/yaml"
        as_table = await cluster.get(f"{CORE}/configmaps/x", accept=TABLE.replace(PROTOBUF, "*/*"))
        assert (as_table.status, as_table.content_type) == (404, "application/json")


async def test_what_is_no_protobuf_is_told_in_the_words_of_kubernetes() -> None:
    async with api_cluster() as cluster:
        refused = await cluster.post(f"{CORE}/pods", pod("p"), content_type=PROTOBUF)
        assert refused.status == 400
        assert refused.message.startswith(
            "the object provided is unrecognized (must be of type Pod): provided data does not "
            "appear to be a protobuf message, expected prefix [107 56 115 0] "
        )


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/apis", "APIGroupList"), ("/apis/apps", "APIGroup"),
     ("/apis/apps/v1", "APIResourceList")],
)  # fmt: skip
async def test_discovery(path: str, kind: str) -> None:
    async with api_cluster() as cluster:
        proto, plain = await both(cluster, path)
        assert proto["kind"] == kind
        assert proto == plain


async def test_the_document_of_versions_has_none_itself() -> None:
    async with api_cluster() as cluster:
        answer = await cluster.get("/api", accept=PROTOBUF)
        version, kind, raw = opened(answer.raw)
        assert (version, kind) == ("", "APIVersions")
        assert next(fields(raw)) == (1, b"v1")


async def test_aggregated_discovery_wherever_it_stands() -> None:
    form = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    async with api_cluster() as cluster:
        proto = await cluster.get("/apis", accept=f"application/json,{PROTOBUF}{form}")
        assert proto.content_type == PROTOBUF + form
        plain = await cluster.get("/apis", accept=f"application/json{form}")
        assert proto.headers["ETag"] == plain.headers["ETag"]
        shown = [group["metadata"]["name"] for group in plain.tree["items"]]
        items = bodies.decode(proto.raw)["items"]
        assert [group["metadata"]["name"] for group in items] == shown


def test_a_message_is_made_once_while_it_is_remembered() -> None:
    made: list[bytes] = []
    kept = Remembered(5000)

    def asked(stored: bytes) -> None:
        def make() -> bytes:
            made.append(stored[:1])
            return b"m" * 1000

        assert kept.get("v1", stored, make) == b"m" * 1000
        assert kept.size_bytes <= 5000

    for letter in (b"x", b"x", b"y", b"x", b"z", b"x", b"y"):
        asked(letter * 1000)
    assert made == [b"x", b"y", b"z", b"y"]  # two fit; x was asked for again and again
