"""The short way of a binding against the general way: whatever is sent for whatever pod, the same
answer, the same stored bytes, the same selectable fields, the same revision."""

import asyncio
import json
from typing import Any

import msgspec
import orjson
from apicluster import (
    ADMIN,
    MANAGER,
    NODE,
    STRATEGIC,
    Cluster,
    StillClock,
    Taken,
    answered,
    api_cluster,
    kept,
    without,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.private import fence
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse

PODS = "/api/v1/namespaces/default/pods"
SCHEDULER = authenticated("system:kube-scheduler")
USERS = {"admin": ADMIN, "kubelet": NODE, "manager": MANAGER, "scheduler": SCHEDULER}
JSON = "application/json"
MSGPACK = "application/msgpack"
CONDITION = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}

ENV = {"name": "E", "value": '"nodeName"'}

MADE = st.fixed_dictionaries({
    "metadata": st.sampled_from([
        {}, {"labels": {"a": "b"}}, {"finalizers": ["a.b/c"]},
        {"annotations": {"uid": '"uid":"x"'}},
        {"annotations": {"a": "b", "spec": "c", "status": "d"}},
        {"labels": {"topology.kubernetes.io/zone": "old"}},
    ]),
    "spec": st.sampled_from([
        {}, {"nodeName": "n1"}, {"schedulingGates": [{"name": "g"}]},
        {"containers": [{"name": "c", "image": "i", "env": [ENV]}]},
    ]),
    "status": st.sampled_from([
        {}, {"conditions": [CONDITION]}, {"nominatedNodeName": "n2"}, {"phase": "Failed"},
        {"conditions": [{**CONDITION, "status": "True"}]},
    ]),
    "is_deleted": st.booleans(),
})  # fmt: skip
SENT = st.fixed_dictionaries({
    "user": st.sampled_from(["scheduler", *sorted(USERS)]),
    "media": st.sampled_from([JSON, JSON, MSGPACK, "", f"{JSON}; charset=utf-8", "text/x"]),
    "accept": st.sampled_from(["", MSGPACK, JSON, "application/yaml"]),
    "begins": st.booleans(),
    "query": st.sampled_from([{}, {}, {"dryRun": "All"}, {"fieldManager": "m"}, {"pretty": "1"}]),
    "term": st.sampled_from(["", "", "default/leader/me/0", "default/leader/other/0", "x"]),
    "spelling": st.sampled_from(["", "", "spaced", "repeated", "broken"]),
    "body": st.fixed_dictionaries(
        {
            "apiVersion": st.sampled_from(["v1", "v1", "v2", ""]),
            "kind": st.sampled_from(["Binding", "Binding", "Pod", ""]),
            "metadata": st.fixed_dictionaries(
                {},
                optional={
                    "name": st.sampled_from(["p", "p", "other", "", None]),
                    "namespace": st.sampled_from(["default", "other", 5]),
                    "uid": st.sampled_from(["UID", "UID", "x", "", None]),
                    "labels": st.just({"x": "y"}),
                    "resourceVersion": st.sampled_from(["1", "VERSION"]),
                    "unknown": st.just(1),
                },
            ),
            "target": st.fixed_dictionaries(
                {},
                optional={
                    "name": st.sampled_from(["n1", "zoned", "gone", 'a "b" ä', "", 5, None]),
                    "kind": st.sampled_from(["Node", "Node", "Pod", ""]),
                    "apiVersion": st.just("v1"),
                    "uid": st.just("x"),
                },
            ),
        },
        optional={"unknown": st.just(1)},
    ),
})  # fmt: skip


GOOD: dict[str, Any] = {
    "user": "scheduler",
    "media": JSON,
    "accept": "",
    "begins": False,
    "query": {},
    "term": "",
    "spelling": "",
    "body": {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "namespace": "default", "uid": "UID"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"},
    },
}
STEPS = st.lists(SENT, max_size=3).map(lambda steps: [*steps, GOOD, *steps])


async def _send(
    cluster: Cluster, sent: dict[str, Any], stored: dict[str, Any] | None
) -> ApiResponse:
    text = json.dumps(sent["body"], separators=(", ", ": ") if sent["spelling"] else (",", ":"))
    if stored is not None:
        text = text.replace('"UID"', f'"{stored["metadata"]["uid"]}"')
        text = text.replace('"VERSION"', f'"{stored["metadata"]["resourceVersion"]}"')
    if sent["spelling"] == "repeated":
        text = text.replace('"target":', '"target":{"name":"first"},"target":')
    body = text.encode()[: -1 if sent["spelling"] == "broken" else None]
    if sent["media"] == MSGPACK:
        body = msgspec.msgpack.encode(json.loads(text))
    headers = {"content-type": sent["media"], "accept": sent["accept"], "user-agent": "made/1"}
    headers |= {fence.KEY: sent["term"]} if sent["term"] else {}
    user = USERS[sent["user"]]
    request = ApiRequest("POST", f"{PODS}/p/binding", sent["query"], headers, body, user)
    return await answered(cluster, request, begins=sent["begins"])


async def _prepare(cluster: Cluster, made: dict[str, Any]) -> None:
    """A pod, its nodes, and a leader."""
    lease = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": "me"}}
    await cluster.post("/apis/coordination.k8s.io/v1/namespaces/default/leases", lease)
    zone = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}
    for name, labels in ("n1", {"a": "topology"}), ("zoned", zone):
        meta = {"name": name, "labels": labels}
        assert (await cluster.post("/api/v1/nodes", {"metadata": meta})).status == 201
    spec = {"containers": [{"name": "c", "image": "i"}], **made["spec"]}
    pod = {"metadata": {"name": "p", **made["metadata"]}, "spec": spec}
    assert (await cluster.post(PODS, pod, user=MANAGER)).status == 201
    if made["status"]:
        status = {"status": made["status"]}
        changed = await cluster.patch(f"{PODS}/p/status", status, STRATEGIC)
        assert changed.status == 200
    if made["is_deleted"]:
        await cluster.delete(f"{PODS}/p")


async def _same(made: dict[str, Any], steps: list[dict[str, Any]]) -> int:
    """Make a pod and bind it both ways; how often the short one was taken."""
    clock = StillClock()
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as general:
        without(general, "binding")
        taken = Taken(short, "binding")
        for cluster in (short, general):
            await _prepare(cluster, made)
        for sent in steps:
            record = short.store.get("pods", "default", "p")
            stored = None if record is None else record.load()
            one, other = [await _send(cluster, sent, stored) for cluster in (short, general)]
            assert one == other
            assert kept(short, "pods") == kept(general, "pods")
    return taken.times


@settings(max_examples=40, deadline=None)
@given(made=MADE, steps=STEPS)
def test_a_short_binding_is_what_a_binding_is(
    made: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    asyncio.run(_same(made, steps))


def test_what_a_scheduler_sends_goes_the_short_way() -> None:
    plain = {"metadata": {}, "spec": {}, "status": {}, "is_deleted": False}
    for media in (JSON, MSGPACK):
        for term in ("", "default/leader/me/0"):
            for status in ({}, {"conditions": [CONDITION], "nominatedNodeName": "n2"}):
                begins = media == MSGPACK
                step = {**GOOD, "media": media, "term": term, "begins": begins}
                steps = [step] * 2  # the second is a conflict
                assert asyncio.run(_same({**plain, "status": status}, steps)) == 1


async def test_a_binding_begins() -> None:
    async with api_cluster() as cluster:
        await _prepare(cluster, {"metadata": {}, "spec": {}, "status": {}, "is_deleted": False})
        sent = orjson.dumps(GOOD["body"] | {"metadata": {"name": "p"}})
        request = ApiRequest("POST", f"{PODS}/p/binding", {}, {}, sent, SCHEDULER)
        assert cluster.api.begin(request) is not None


def test_a_zone_goes_the_general_way() -> None:
    made = {"metadata": {}, "spec": {}, "status": {}, "is_deleted": False}
    target = {"kind": "Node", "name": "zoned"}
    sent = {**GOOD, "body": {**GOOD["body"], "target": target}}
    assert asyncio.run(_same(made, [sent])) == 0


def test_bound_pods_are_selected_by_their_node() -> None:
    async def select() -> list[str]:
        clock = StillClock()
        async with api_cluster(clock=clock) as cluster:
            await _prepare(cluster, {"metadata": {}, "spec": {}, "status": {}, "is_deleted": False})
            body = GOOD["body"] | {"metadata": {"name": "p"}}
            path = f"{PODS}/p/binding"
            await cluster.call("POST", path, orjson.dumps(body), user=SCHEDULER)
            found = await cluster.get(f"{PODS}?fieldSelector=spec.nodeName=n1")
            return [one["metadata"]["name"] for one in found.tree["items"]]

    assert asyncio.run(select()) == ["p"]
