"""Writes that are given the outline of a pod against the same that get a tree of their own:
whatever is sent, the same answers and the same stored bytes."""

import asyncio
import sys
from typing import Any

import orjson
from apicluster import ADMIN, NODE, STRATEGIC, Cluster, StillClock, api_cluster, without
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse

PODS = "/api/v1/namespaces/default/pods"
SCHEDULER = authenticated("system:kube-scheduler")
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"a": "b"}, "finalizers": ["a.b/c"]},
    "spec": {"containers": [{"name": "c", "image": "i:1"}], "serviceAccountName": "default"},
}
MOMENTS = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", None])
CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["PodScheduled", "Ready", "Initialized", "a.b/c"])},
        optional={
            "status": st.sampled_from(["True", "False"]),
            "observedGeneration": st.sampled_from([0, 1, 2]),
            "lastTransitionTime": MOMENTS,
            "$patch": st.just("delete"),
            "unknown": st.just(1),
        },
    ),
    max_size=3,
)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Running", "Failed", None]),
        "podIP": st.sampled_from(["10.0.0.1", "x"]),
        "podIPs": st.sampled_from([[{"ip": "10.0.0.1"}], [{"ip": "10.0.0.2"}], []]),
        "qosClass": st.sampled_from(["BestEffort", "Burstable", ""]),
        "startTime": MOMENTS,
        "conditions": CONDITIONS,
        "containerStatuses": st.sampled_from(
            [
                [{"name": "c", "state": {"running": {}}}],
                [{"name": "c", "ready": True, "restartCount": 1, "image": "i:1", "imageID": ""}],
                [],
                None,
            ]
        ),
        "observedGeneration": st.sampled_from([0, 1]),
        "$setElementOrder/conditions": st.just([{"type": "Ready"}]),
    },
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "status": STATUSES,
        "metadata": st.sampled_from(
            [
                {"labels": {"a": "c"}}, {"uid": "x"}, {"annotations": {"a": "b"}},
                {"finalizers": []}, {"managedFields": []}, {"name": "other"},
            ]
        ),
        "spec": st.sampled_from(
            [{"nodeName": "n2"}, {"containers": [{"name": "c", "image": "i:2"}]}, {"x": 1}]
        ),
    },
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("bind"), st.sampled_from([{}, {"labels": {"x": "y"}}])),
    st.tuples(st.sampled_from(["admin", "node"]), BODIES),
)


async def _sent(cluster: Cluster, step: tuple[str, dict[str, Any]]) -> ApiResponse:
    who, body = step
    if who == "bind":
        sent = {"metadata": {"name": "p", **body}, "target": {"name": "n1"}}
        request = ApiRequest("POST", f"{PODS}/p/binding", body=orjson.dumps(sent), user=SCHEDULER)
    else:
        user = ADMIN if who == "admin" else NODE
        headers = {"content-type": STRATEGIC, "user-agent": "test/1"}
        request = ApiRequest(
            "PATCH", f"{PODS}/p/status", {}, headers, orjson.dumps(body), user=user
        )
    answer = await cluster.api.handle(request)
    assert isinstance(answer, ApiResponse)
    return answer


async def _compare(steps: list[tuple[str, dict[str, Any]]]) -> None:
    clock = StillClock()
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        # As if another server had stored all that there is.
        general.api.services.registry.short.began_at = sys.maxsize
        without(short, "pod_status")  # what it decides sees less
        for cluster in (short, general):
            assert (await cluster.post(PODS, POD)).status == 201
        for step in steps:
            answers = [await _sent(cluster, step) for cluster in (short, general)]
            assert answers[0] == answers[1]
            records = [cluster.store.get("pods", "default", "p") for cluster in (short, general)]
            shown = [None if one is None else (one.revision, one.json) for one in records]
            assert shown[0] == shown[1]


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=6))
def test_an_outline_is_as_good_as_a_whole_tree(steps: list[tuple[str, dict[str, Any]]]) -> None:
    asyncio.run(_compare(steps))
