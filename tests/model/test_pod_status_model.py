"""The short ways of a patch of a pod's status against the general way: whatever is sent, the same
answer, the same stored bytes, the same selectable fields, the same revision, the same counts."""

import asyncio
import json
from datetime import timedelta
from enum import Enum, auto
from typing import Any

import orjson
import pytest
from apicluster import (
    ADMIN,
    MANAGER,
    MERGE,
    NODE,
    STRATEGIC,
    Cluster,
    StillClock,
    Taken,
    answered,
    api_cluster,
    kept,
    request_counts,
    without,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedAnswer, BatchedRequest
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse, User
from kubeherd.cluster.apiserver.write.short import podstatus

PODS = "/api/v1/namespaces/default/pods"
SCHEDULER = authenticated("system:kube-scheduler")
FLEET = authenticated("fleet-1", ["kubeherd:fleet-agents"])
USERS = {"admin": ADMIN, "kubelet": NODE, "fleet": FLEET, "manager": MANAGER}
PATCHES = "application/json-patch+json"

MOMENTS = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z", "soon", None])
TYPES = ["PodScheduled", "Ready", "Initialized", "a.b/c", "-", ""]
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES)},
        optional={
            "status": st.sampled_from(["True", "False"]),
            "reason": st.sampled_from(["Because", "", None]),
            "observedGeneration": st.sampled_from([0, 1, -1]),
            "lastProbeTime": st.none(),
            "lastTransitionTime": MOMENTS,
            "$patch": st.sampled_from(["delete", "replace", "x"]),
            "unknown": st.just(1),
        },
    ),
    max_size=3,
)
STATES = st.sampled_from([
    {"running": {}}, {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, {}, {"waiting": {}},
    {"terminated": {"exitCode": 0}}, {"terminated": {"exitCode": 1, "reason": "Error"}},
])  # fmt: skip
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["c", "d"])},
        optional={
            "state": STATES,
            "lastState": STATES,
            "ready": st.booleans(),
            "restartCount": st.sampled_from([0, 1, "1", 2**40]),
            "image": st.just("i:1"),
            "resources": st.sampled_from([{}, {"limits": {"cpu": 1}}]),
        },
    ),
    max_size=2,
)
STATUSES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Running", "Failed", "Odd", "", None, 1]),
        "message": st.sampled_from(['"status":{', "ä\u2028", None]),
        "podIP": st.sampled_from(["10.0.0.1", "x", None]),
        "podIPs": st.sampled_from([
            [{"ip": "10.0.0.1"}], [{"ip": "10.0.0.2"}, {"ip": "fd00::1"}], [], None,
            [{"$patch": "delete", "ip": "10.0.0.1"}], [{"ip": "1.1.1.1"}, {"ip": "2.2.2.2"}],
        ]),
        "hostIPs": st.sampled_from([[{"ip": "10.0.0.1"}], []]),
        "hostIP": st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        "nominatedNodeName": st.sampled_from(["n1", "N", ""]),
        "qosClass": st.sampled_from(["BestEffort", "Burstable", "", None]),
        "startTime": MOMENTS,
        "conditions": CONDITIONS,
        "containerStatuses": st.one_of(CONTAINERS, st.none()),
        "initContainerStatuses": CONTAINERS,
        "observedGeneration": st.sampled_from([0, 1, -1]),
        "resourceClaimStatuses": st.just([{"name": "a", "resourceClaimName": "b"}]),
        "$setElementOrder/conditions": st.sampled_from(
            [[{"type": "Ready"}], [{"type": name} for name in TYPES]]
        ),
        "$retainKeys": st.just(["phase", "conditions"]),
        "$patch": st.sampled_from(["replace", "delete"]),
        "unknown": st.just({}),
    },
)  # fmt: skip
METADATA: list[Any] = [
    {}, None, {"uid": "UID"}, {"uid": "x"}, {"uid": None}, {"resourceVersion": "VERSION"},
    {"resourceVersion": "1"}, {"uid": "UID", "name": "p", "namespace": "default"},
    {"name": "other"}, {"labels": {"a": "c"}}, {"labels": None}, {"annotations": {"a": "b"}},
    {"finalizers": []}, {"managedFields": []}, {"$patch": "delete"}, {"generation": 7},
]  # fmt: skip
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.one_of(STATUSES, STATUSES, STATUSES, st.sampled_from([None, {}, [], "x"])),
        "metadata": st.sampled_from(METADATA),
        "spec": st.sampled_from([{"nodeName": "n2"}, {}, {"x": 1}]),
        "kind": st.sampled_from(["Pod", "Node"]),
        "$patch": st.just("replace"),
    },
)
PLAIN = st.fixed_dictionaries({"metadata": st.just({"uid": "UID"}), "status": STATUSES})
STEPS = st.fixed_dictionaries({
    "do": st.sampled_from(["patch"] * 8 + ["bind", "delete", "label"]),
    "body": st.one_of(PLAIN, PLAIN, BODIES),
    "user": st.sampled_from(sorted(USERS)),
    "media": st.sampled_from([STRATEGIC, STRATEGIC, MERGE, PATCHES, f"{STRATEGIC}; charset=utf-8"]),
    "accept": st.sampled_from(["", "application/json", "application/msgpack", "application/yaml",
                               "application/vnd.kubernetes.protobuf",
                               "application/json;as=Table;v=v1;g=meta.k8s.io"]),
    "agent": st.sampled_from(["kubelet/v1.36", "stub/1"]),
    "query": st.sampled_from([{}, {}, {}, {"dryRun": "All"}, {"fieldManager": "m"},
                              {"fieldValidation": "Strict"}]),
    "spelling": st.sampled_from(["", "", "", "spaced", "repeated", "broken"]),
    "passes_s": st.sampled_from([0, 1]),
})  # fmt: skip
PODS_MADE = st.fixed_dictionaries({
    "by": st.sampled_from(["admin", "manager"]),
    "policy": st.sampled_from(["Always", "Always", "OnFailure", "Never"]),
    "finalizers": st.sampled_from([[], ["a.b/c"]]),
    "annotations": st.sampled_from([{}, {"spec": "{", "status": '},"status":{"a":1}'}]),
})  # fmt: skip


class Way(Enum):
    """How a patch is sent."""

    ALONE = auto()
    BEGUN = auto()
    """In two steps, if it can."""
    BATCHED = auto()
    """In a private batch, together with what is no short write."""


def _pod(made: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "p", "labels": {"a": "b", "status": "x"}}
    metadata |= {key: made[key] for key in ("finalizers", "annotations")}
    containers = [{"name": "c", "image": "i:1"}, {"name": "d", "image": "i:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "containers": containers,
            "initContainers": [{"name": "i", "image": "i:1", "restartPolicy": "Always"}],
            "restartPolicy": made["policy"],
            "serviceAccountName": "default",
        },
    }


async def _send(
    cluster: Cluster, method: str, path: str, body: bytes, user: User, **headers: str
) -> ApiResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await cluster.api.handle(ApiRequest(method, path, {}, sent, body, user))
    assert isinstance(answer, ApiResponse)
    return answer


def _body(step: dict[str, Any], stored: dict[str, Any]) -> bytes:
    meta = stored["metadata"]
    spaced = step["spelling"] == "spaced"
    text = json.dumps(step["body"], separators=(", ", ": ") if spaced else (",", ":"))
    text = text.replace('"UID"', f'"{meta["uid"]}"')
    text = text.replace('"VERSION"', f'"{meta["resourceVersion"]}"')
    if step["spelling"] == "repeated":
        text = text.replace('"phase"', '"phase":"Pending","phase"')
    return text.encode()[: -1 if step["spelling"] == "broken" else None]


async def _take(
    cluster: Cluster, step: dict[str, Any], way: Way
) -> ApiResponse | BatchedAnswer | None:
    record = cluster.store.get("pods", "default", "p")
    if record is None:
        return None
    if step["do"] == "bind":
        target = orjson.dumps({"metadata": {"name": "p"}, "target": {"name": "n1"}})
        return await _send(cluster, "POST", f"{PODS}/p/binding", target, SCHEDULER)
    if step["do"] == "delete":
        return await _send(cluster, "DELETE", f"{PODS}/p", b"", ADMIN)
    if step["do"] == "label":
        label = b'{"metadata":{"labels":{"new":"label"}}}'
        return await _send(cluster, "PATCH", f"{PODS}/p", label, ADMIN, content_type=MERGE)
    return await _patched(cluster, step, _body(step, record.load()), way)


async def _patched(
    cluster: Cluster, step: dict[str, Any], body: bytes, way: Way
) -> ApiResponse | BatchedAnswer:
    path, user = f"{PODS}/p/status", USERS[step["user"]]
    headers = {"content-type": step["media"], "accept": step["accept"]}
    headers["user-agent"] = step["agent"]
    if way is Way.BATCHED:
        one = BatchedRequest("PATCH", path, step["query"], step["media"], step["accept"], body)
        other = BatchedRequest("POST", f"{PODS}/p/nothing", {}, "", "", b"")
        sent = batch.encode([other, one, other])
        headers |= {"content-type": "application/msgpack", "accept": "application/msgpack"}
        answer = await cluster.api.handle(ApiRequest("POST", batch.PATH, {}, headers, sent, user))
        assert isinstance(answer, ApiResponse)
        return batch.decode_answers(answer.body)[1]
    request = ApiRequest("PATCH", path, step["query"], headers, body, user)
    return await answered(cluster, request, begins=way is Way.BEGUN)


async def _same(made: dict[str, Any], steps: list[dict[str, Any]], way: Way) -> int:
    """Take the steps both ways; how often the short one was taken."""
    clock = StillClock()
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        without(general, "pod_status")
        taken = Taken(short, "pod_status")
        body = orjson.dumps(_pod(made))
        for cluster in (short, general):
            answer = await _send(cluster, "POST", PODS, body, USERS[made["by"]])
            assert answer.status == 201, answer.body
        for step in steps:
            clock.moment += timedelta(seconds=step["passes_s"])
            general_way = Way.ALONE if way is Way.BEGUN else way
            assert await _take(short, step, way) == await _take(general, step, general_way)
            assert kept(short, "pods") == kept(general, "pods")
        assert await request_counts(short) == await request_counts(general)
    return taken.times


@settings(max_examples=40, deadline=None)
@given(made=PODS_MADE, steps=st.lists(STEPS, min_size=3, max_size=15), way=st.sampled_from(Way))
def test_a_short_patch_is_what_a_patch_is(made: Any, steps: list[Any], way: Way) -> None:
    asyncio.run(_same(made, steps, way))


@pytest.mark.parametrize("way", Way)
def test_what_kubelets_send_goes_the_short_way(way: Way) -> None:
    made = {"by": "manager", "policy": "Always", "finalizers": [], "annotations": {}}
    plain: dict[str, Any] = {
        "do": "patch", "accept": "", "agent": "kubelet/v1.36", "query": {}, "spelling": "",
        "passes_s": 1, "media": STRATEGIC,
    }  # fmt: skip
    order = [{"type": name} for name in ("PodScheduled", "Ready")]
    ready = {"type": "Ready", "status": "True", "lastProbeTime": None, "reason": None}
    status = {"phase": "Running", "conditions": [ready], "$setElementOrder/conditions": order}
    status["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    ended = {**status, "containerStatuses": [{"name": "c", "state": {"terminated": {}}}]}
    steps = [{**plain, "do": "bind"}]
    for user in ("admin", "fleet") if way is Way.BATCHED else ("admin", "fleet", "kubelet"):
        for sent in (status, ended):
            body = {"metadata": {"uid": "UID"}, "status": sent}
            steps += [{**plain, "user": user, "body": body}]
    sent_patches = len(steps) - 1
    assert asyncio.run(_same(made, steps, way)) == sent_patches
    refused = sent_patches // 2 - 1  # what has ended does not run again
    assert asyncio.run(_same({**made, "policy": "Never"}, steps, way)) == sent_patches - refused


async def test_a_patch_of_a_status_begins() -> None:
    async with api_cluster() as cluster:
        made = {"by": "manager", "policy": "Always", "finalizers": [], "annotations": {}}
        body = orjson.dumps(_pod(made))
        assert (await _send(cluster, "POST", PODS, body, USERS["manager"])).status == 201
        headers = {"content-type": STRATEGIC}
        sent = b'{"status":{"phase":"Running"}}'
        request = ApiRequest("PATCH", f"{PODS}/p/status", {}, headers, sent, ADMIN)
        assert cluster.api.begin(request) is not None


async def test_a_patch_that_is_too_large_is_not_read_before_it_is_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[bytes] = []
    loads = codecs.loads_patch

    def noted(body: bytes) -> object:
        read.append(body)
        return loads(body)

    monkeypatch.setattr(codecs, "loads_patch", noted)
    async with api_cluster() as cluster:
        made = {"by": "manager", "policy": "Always", "finalizers": [], "annotations": {}}
        await _send(cluster, "POST", PODS, orjson.dumps(_pod(made)), USERS["manager"])
        sent = b'{"status":{"message":"%b"}}' % (b"x" * podstatus.MAX_BYTES)
        headers = {"content-type": STRATEGIC}
        request = ApiRequest("PATCH", f"{PODS}/p/status", {}, headers, sent, ADMIN)
        read.clear()
        assert cluster.api.begin(request) is None
        assert not read
