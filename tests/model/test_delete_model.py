"""The deletion of a pod the short way, in single steps, against the general one in one piece:
whatever is asked of whatever pod, the same answers, the same stored bytes, the same revision."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from apicluster import (
    ADMIN,
    MANAGER,
    MERGE,
    NODE,
    Cluster,
    StillClock,
    answered,
    api_cluster,
    kept,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.handlers.begun import settled
from kubeherd.cluster.apiserver.write import deletion
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions

PODS = "/api/v1/namespaces/default/pods"
USERS = {"admin": ADMIN, "kubelet": NODE, "manager": MANAGER}
CONTAINER = {
    "name": "c",
    "image": "i",
    "env": [{"name": "E", "value": '"nodeName":"n2","terminationGracePeriodSeconds":3'}],
    "livenessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 7},
}
GRACE = {"nodeName": "n1", "terminationGracePeriodSeconds": 5}
BEYOND_ALL_TIME = {"nodeName": "n1", "terminationGracePeriodSeconds": 2**62}
MADE = st.fixed_dictionaries({
    "metadata": st.sampled_from([{}, {"finalizers": ["a.b/c"]}]),
    "spec": st.sampled_from(
        [
            {},
            {"nodeName": "n1"},
            {"nodeName": "n1", "terminationGracePeriodSeconds": 0},
            GRACE,
            BEYOND_ALL_TIME,
        ]
    ),
})  # fmt: skip
SENT = st.fixed_dictionaries({
    "user": st.sampled_from(sorted(USERS)),
    "accept": st.sampled_from(["", "application/msgpack", "application/yaml"]),
    "name": st.sampled_from(["p", "p", "p", "other"]),
    "query": st.sampled_from([{}, {}, {"gracePeriodSeconds": "0"}, {"dryRun": "All"}]),
    "body": st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {},
            optional={
                "kind": st.sampled_from(["DeleteOptions", "Pod"]),
                "gracePeriodSeconds": st.sampled_from([0, 5, -1, "x"]),
                "preconditions": st.sampled_from([{"uid": "UID"}, {"uid": "x"}, {"uid": ""}]),
                "propagationPolicy": st.sampled_from(["Orphan", "Foreground", "Background", "x"]),
                "orphanDependents": st.booleans(),
                "dryRun": st.sampled_from([["All"], []]),
            },
        ),
    ),
    "frees": st.booleans(),
})  # fmt: skip
FREE = {"metadata": {"finalizers": None}}


async def _delete(cluster: Cluster, sent: dict[str, Any], uid: str, *, begins: bool) -> ApiResponse:
    body = b"" if sent["body"] is None else json.dumps(sent["body"]).replace("UID", uid).encode()
    headers = {"content-type": "application/json", "accept": sent["accept"]}
    path, user = f"{PODS}/{sent['name']}", USERS[sent["user"]]
    request = ApiRequest("DELETE", path, sent["query"], headers, body, user)
    answer = await answered(cluster, request, begins=begins)
    if sent["frees"]:
        await cluster.patch(f"{PODS}/p", FREE, MERGE)
    return answer


def _told(cluster: Cluster) -> list[tuple[object, ...]]:
    """What watchers of pods are told, and what selects it."""
    return [
        (event.type, event.revision, event.record.json, event.record.attrs)
        for event in cluster.store.events_after(0)
        if event.record.resource_key == "pods"
    ]


async def _same(made: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    clock = StillClock()
    async with api_cluster(clock=clock) as short, api_cluster(clock=clock) as whole:
        whole.api.services.registry.short.began_at = sys.maxsize  # knows nothing of what is stored
        spec = {"containers": [CONTAINER], **made["spec"]}
        pod = {"metadata": {"name": "p", **made["metadata"]}, "spec": spec}
        for cluster in (short, whole):
            assert (await cluster.post(PODS, pod, user=MANAGER)).status == 201
        uid = (await short.get(f"{PODS}/p")).tree["metadata"]["uid"]
        for sent in steps:
            one = await _delete(short, sent, uid, begins=True)
            assert one.status < 500
            assert one == await _delete(whole, sent, uid, begins=False)
            assert kept(short, "pods") == kept(whole, "pods")
            assert _told(short) == _told(whole)


@settings(max_examples=60, deadline=None)
@given(made=MADE, steps=st.lists(SENT, min_size=1, max_size=5))
def test_a_deletion_in_steps_is_a_deletion(
    made: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    asyncio.run(_same(made, steps))


async def test_a_deletion_begins() -> None:
    async with api_cluster() as cluster:
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
        await cluster.post(PODS, {"metadata": {"name": "p"}, "spec": spec})
        for body in (b"", b'{"gracePeriodSeconds":0}'):
            request = ApiRequest("DELETE", f"{PODS}/p", body=body, user=ADMIN)
            begun = cluster.api.begin(request)
            assert begun is not None
            await settled(cluster.store, [begun])
            assert begun.answer().status == 200
        assert cluster.store.get("pods", "default", "p") is None


async def test_a_refused_deletion_begins_and_tells_what_is_durable() -> None:
    async with api_cluster() as cluster:
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
        await cluster.post(PODS, {"metadata": {"name": "p"}, "spec": spec})
        bodies = {
            b'{"preconditions":{"uid":"x"}}': 409,
            b'{"gracePeriodSeconds":0}': 200,
            b"": 404,
        }
        all_begun = []
        for body in bodies:
            begun = cluster.api.begin(ApiRequest("DELETE", f"{PODS}/p", body=body, user=ADMIN))
            assert begun is not None
            all_begun.append(begun)
        last = all_begun[-1].pending.staged
        assert last is not None  # it is gone only when that it goes is committed
        assert not last.done
        await settled(cluster.store, all_begun)
        assert [one.answer().status for one in all_begun] == list(bodies.values())
        again = cluster.api.begin(ApiRequest("DELETE", f"{PODS}/p", user=ADMIN))
        assert again is not None
        assert again.pending.staged is None
        assert again.answer().status == 404


TEXTS = st.sampled_from(["", "x", "ä", "Background", "Orphan", "DeleteOptions", "v1"])
ANY = st.one_of(TEXTS, st.none(), st.booleans(), st.sampled_from([0, 5, -1, 2**31, -(2**40), 1.0]))
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": st.sampled_from(["v1", "v2", "", None]),
        "kind": st.sampled_from(["DeleteOptions", "Pod", "", None]),
        "gracePeriodSeconds": ANY,
        "preconditions": ANY | st.dictionaries(st.sampled_from(["uid", "resourceVersion"]), ANY),
        "propagationPolicy": ANY,
        "orphanDependents": ANY,
        "dryRun": st.just(["All"]),
        "unknown": ANY,
    },
)


@given(OPTIONS, st.sampled_from(["", codecs.JSON, codecs.MSGPACK]))
def test_options_that_are_read_at_a_glance_are_the_options(sent: Any, media: str) -> None:
    body = msgspec.msgpack.encode(sent) if media == codecs.MSGPACK else json.dumps(sent).encode()

    def outcome(read: Callable[[], DeleteOptions | None]) -> object:
        try:
            return read()
        except ApiError as error:
            return error.status()

    plain = outcome(lambda: deletion.plain_options(media, body))
    if plain is not None:
        tree = codecs.decode_body(media, body).tree
        assert plain == outcome(lambda: deletion.options_from_body(tree))
