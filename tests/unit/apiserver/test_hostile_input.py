"""Input of another type, or much more of it, than a handler expects: refused, nothing stored."""

import json
from typing import Any

import msgspec
import pytest
from apicluster import (
    APPLY,
    JSON_PATCH,
    MERGE,
    NODE,
    STRATEGIC,
    Cluster,
    config_map,
    daemon_set,
    pod,
)

from kubeherd.cluster.api.private import batch
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.api.validation.causes import MAX_CAUSES
from kubeherd.cluster.apiserver.write.storedform import MAX_STORED_BYTES

DEFAULT = "/api/v1/namespaces/default"
CMS, PODS = f"{DEFAULT}/configmaps", f"{DEFAULT}/pods"
APPS = "/apis/apps/v1/namespaces/default"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

_ODD: tuple[object, ...] = (None, 1, True, "x", [], [1], {}, {"": None})


def _scale_patches() -> list[tuple[str, Any]]:
    patches: list[tuple[str, Any]] = []
    for odd in _ODD:
        for name in ("metadata", "spec", "status", "kind", "apiVersion"):
            patches += [(MERGE, {name: odd}), (STRATEGIC, {name: odd})]
            patches.append((JSON_PATCH, [{"op": "replace", "path": f"/{name}", "value": odd}]))
        for path in ("/metadata/resourceVersion", "/metadata/uid", "/spec/replicas"):
            patches.append((JSON_PATCH, [{"op": "replace", "path": path, "value": odd}]))
    patches += [(JSON_PATCH, odd) for odd in _ODD] + [(MERGE, odd) for odd in _ODD]
    return patches


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets"])
async def test_a_scale_of_wrong_types_is_refused(cluster: Cluster, plural: str) -> None:
    await cluster.post(f"{APPS}/{plural}", daemon_set("d"))
    for content_type, patch in _scale_patches():
        revision = cluster.store.revision
        answer = await cluster.patch(f"{APPS}/{plural}/d/scale", patch, content_type)
        assert answer.status in (200, 400, 409, 422, 500), (content_type, patch, answer.raw)
        if answer.status != 200:
            assert cluster.store.revision == revision
    left = (await cluster.get(f"{APPS}/{plural}/d/scale")).tree
    assert isinstance(left["spec"].get("replicas", 0), int)


async def test_a_patched_scale_says_which_type_is_wrong(cluster: Cluster) -> None:
    await cluster.post(f"{APPS}/deployments", daemon_set("d"))
    answer = await cluster.patch(f"{APPS}/deployments/d/scale", {"spec": "x"}, MERGE)
    assert answer.status == 422
    assert answer.tree["details"]["causes"][0]["field"] == "patch"
    assert "json: cannot unmarshal string into Go" in answer.message


_TIMES = (
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2016-12-31T23:59:60Z", "x", "1",
    "2026-02-30T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "20260101T000000Z", "\x00",
)  # fmt: skip


@pytest.mark.parametrize("time", _TIMES)
async def test_a_time_that_is_none_is_refused(cluster: Cluster, time: str) -> None:
    await cluster.post(PODS, pod("p"))
    answer = await cluster.get(f"{PODS}/p/log", query={"sinceTime": time})
    assert answer.status == 400
    assert "parsing time" in answer.message


_NUMBERS = ("x", "1e3", "9" * 20, "9" * 5000, "-" + "9" * 30, "٣", "1.0", " ", "0x1", "\x00")


@pytest.mark.parametrize("text", _NUMBERS)
@pytest.mark.parametrize(
    ("method", "path", "parameter"),
    [
        ("GET", CMS, "limit"),
        ("GET", CMS, "timeoutSeconds"),
        ("GET", CMS, "resourceVersion"),
        ("DELETE", f"{CMS}/x", "gracePeriodSeconds"),
        ("GET", f"{PODS}/p/log", "sinceSeconds"),
        ("GET", f"{PODS}/p/log", "tailLines"),
        ("GET", f"{PODS}/p/log", "limitBytes"),
    ],
)
async def test_a_number_that_is_none_is_refused(
    cluster: Cluster, method: str, path: str, parameter: str, text: str
) -> None:
    await cluster.post(CMS, config_map("x"))
    await cluster.post(PODS, pod("p"))
    answer = await cluster.call(method, path, query={parameter: text})
    assert answer.status == 400, answer.raw
    assert (await cluster.get(f"{CMS}/x")).status == 200


@pytest.mark.parametrize("path", [f"{CMS}/x", f"{CMS}?watch=1"])
async def test_a_version_that_is_no_number_is_refused(cluster: Cluster, path: str) -> None:
    await cluster.post(CMS, config_map("x"))
    for text in _NUMBERS:
        answer = await cluster.get(path, query={"resourceVersion": text})
        assert (answer.status, answer.tree.get("reason")) == (500, None)
        assert answer.message.endswith("invalid syntax")


@pytest.mark.parametrize(("text", "orphaned"), [("false", False), ("0", False), ("x", True)])
async def test_a_boolean_is_true_unless_it_is_false(
    cluster: Cluster, text: str, orphaned: bool
) -> None:
    finalizer = {"finalizers": ["a.b/c"]}
    await cluster.post(CMS, {"metadata": {"name": "x", **finalizer}})
    await cluster.delete(f"{CMS}/x", query={"orphanDependents": text})
    meta = (await cluster.get(f"{CMS}/x")).tree["metadata"]
    assert ("orphan" in meta["finalizers"]) is orphaned


async def test_a_quantity_is_stored_in_a_form_that_is_read_back(cluster: Cluster) -> None:
    answer = await cluster.post(PODS, pod("p", overhead={"cpu": "1000e99"}))
    assert answer.status == 400


async def test_a_wrong_table_is_refused_before_the_write(cluster: Cluster) -> None:
    revision = cluster.store.revision
    answer = await cluster.post(CMS, config_map(), query={"includeObject": "z"}, accept=TABLE)
    assert answer.status == 400
    assert cluster.store.revision == revision


async def test_a_finalized_namespace_keeps_valid_finalizers(cluster: Cluster) -> None:
    await cluster.post("/api/v1/namespaces", {"metadata": {"name": "n"}})
    tree = {"metadata": {"name": "n"}, "spec": {"finalizers": ["nginx:1"]}}
    answer = await cluster.put("/api/v1/namespaces/n/finalize", tree)
    assert answer.status == 422


# --- much input ---


def _cm(**meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", **meta}}


@pytest.mark.parametrize(
    "meta",
    [
        {"labels": {f"!{number}": "" for number in range(20_000)}},
        {"annotations": {f"!{number}": "" for number in range(20_000)}},
        {"ownerReferences": [{"controller": True}] * 20_000},
        {"finalizers": ["!"] * 20_000},
        {"name": "A" * 1_000_000},
        {"labels": {"A!" * 500_000: ""}},
    ],
    ids=["labels", "annotations", "owners", "finalizers", "a name", "a label"],
)
async def test_a_refusal_is_bounded_whatever_was_sent(
    cluster: Cluster, meta: dict[str, Any]
) -> None:
    answer = await cluster.post(CMS, _cm(**meta))
    assert answer.status == 422
    assert len(answer.tree["details"]["causes"]) <= MAX_CAUSES + 1
    assert len(answer.raw) < 2_500_000


async def test_too_many_problems_are_said_to_be_more(cluster: Cluster) -> None:
    answer = await cluster.post(CMS, _cm(finalizers=[f"a/!{n}" for n in range(MAX_CAUSES + 1)]))
    causes = answer.tree["details"]["causes"]
    assert len(causes) == MAX_CAUSES + 1
    assert causes[-1]["reason"] == "FieldValueTooMany"
    await cluster.post(CMS, _cm())
    labels = {f"a{n}": "!" for n in range(MAX_CAUSES)}
    changed = await cluster.patch(
        f"{CMS}/{_cm()['metadata']['name']}", {"metadata": {"labels": labels}}, MERGE
    )
    assert len(changed.tree["details"]["causes"]) == MAX_CAUSES + 1
    exactly = await cluster.post(CMS, _cm(finalizers=[f"a/!{n}" for n in range(MAX_CAUSES)]))
    assert [c["reason"] for c in exactly.tree["details"]["causes"]].count("FieldValueTooMany") == 0


async def test_unknown_fields_are_reported_up_to_a_hundred(cluster: Cluster) -> None:
    tree = {**_cm(), **{f"k{number}": 1 for number in range(1000)}}
    answer = await cluster.post(CMS, tree, query={"fieldValidation": "Strict"})
    assert answer.status == 400
    assert answer.message.count("unknown field") == 100


def _pod_with_env(count: int, value: str) -> dict[str, Any]:
    tree = {"apiVersion": "v1", "kind": "Pod", **pod("p")}
    tree["spec"]["containers"][0]["env"] = [
        {"name": f"e{number}", "value": value} for number in range(count)
    ]
    return tree


async def test_conflicts_are_told_up_to_a_hundred(cluster: Cluster) -> None:
    path = f"{PODS}/p"
    await cluster.patch(path, _pod_with_env(500, "a"), APPLY, query={"fieldManager": "a"})
    answer = await cluster.patch(path, _pod_with_env(500, "b"), APPLY, query={"fieldManager": "b"})
    assert answer.status == 409
    assert len(answer.tree["details"]["causes"]) == MAX_CAUSES
    assert "500 conflicts" in answer.message
    assert "and 400 more" in answer.message


async def test_an_object_that_is_too_large_is_not_stored(cluster: Cluster) -> None:
    revision = cluster.store.revision
    finalizers = [f"a.b/{number:05}" + "c" * 40 for number in range(35_000)]
    answer = await cluster.post(CMS, _cm(finalizers=finalizers))
    assert answer.status == 413
    assert answer.message == "etcdserver: request is too large"
    assert cluster.store.revision == revision


async def test_managed_fields_give_way_to_the_object(cluster: Cluster) -> None:
    finalizers = [f"a.b/{number:05}" + "c" * 40 for number in range(20_000)]
    answer = await cluster.post(CMS, _cm(finalizers=finalizers))
    assert answer.status == 201
    assert len(answer.raw) < MAX_STORED_BYTES
    assert "managedFields" not in answer.tree["metadata"]
    assert answer.tree["metadata"]["finalizers"] == finalizers


async def test_a_patch_moves_only_so_much(cluster: Cluster) -> None:
    await cluster.post(PODS, _pod_with_env(2000, "a"))
    there = {"op": "move", "from": "/spec/containers", "path": "/spec/x"}
    back = {"op": "move", "from": "/spec/x", "path": "/spec/containers"}
    few = await cluster.patch(f"{PODS}/p", [there, back] * 10, JSON_PATCH)
    many = await cluster.patch(f"{PODS}/p", [there, back] * 200, JSON_PATCH)
    assert (few.status, many.status) == (200, 413)


async def test_elements_are_merged_by_key_however_many(cluster: Cluster) -> None:
    """What took a minute for 20,000 elements when each looked at all others."""
    await cluster.post(PODS, {"metadata": {"name": "p"}, **_readied(5000)})
    gates = [{"conditionType": f"a.b/{number}"} for number in range(4000, 6000)]
    answer = await cluster.patch(f"{PODS}/p", {"spec": {"readinessGates": gates}}, MERGE)
    assert answer.status == 422  # immutable, but it was merged first


def _readied(count: int) -> dict[str, Any]:
    gates = [{"conditionType": f"a.b/{number}"} for number in range(count)]
    return {"spec": {**pod()["spec"], "readinessGates": gates}}


async def test_a_duplicate_among_many_is_found(cluster: Cluster) -> None:
    pairs = ",".join(f'"k{number}":""' for number in range(30_000))
    body = f'{{"metadata":{{"name":"x"}},"data":{{{pairs},"k7":"b"}}}}'.encode()
    answer = await cluster.post(CMS, body)
    assert answer.status == 201
    assert 'duplicate field \\"data.k7\\"' in answer.headers["Warning"]


async def test_a_batch_lets_others_in_between(cluster: Cluster) -> None:
    """All is answered, also what comes after a break."""
    body = json.dumps(config_map("x", a="v" * 20_000)).encode()
    items = [
        BatchedRequest("POST", CMS, {}, "application/json", "", body.replace(b'"x"', b'"x%d"' % n))
        for n in range(20)
    ]
    answer = await cluster.call("POST", batch.PATH, batch.encode(items), user=cluster.user)
    assert [one.status for one in batch.decode_answers(answer.raw)] == [201] * 20
    assert (await cluster.get(f"{CMS}/x19", user=NODE)).status in (200, 403)


LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", f"{PODS}/p/binding"), ("DELETE", f"{PODS}/p"), ("PUT", f"{LEASES}/l")],
)
@pytest.mark.parametrize("media", ["application/json", "application/msgpack"])
async def test_what_is_no_text_is_a_bad_request(
    cluster: Cluster, method: str, path: str, media: str
) -> None:
    await cluster.post(PODS, pod("p"))
    await cluster.post(LEASES, {"metadata": {"name": "l"}, "spec": {"renewTime": TIME}})
    for name in ("kind", "spec", "preconditions", "target"):
        body = msgspec.msgpack.encode({name: {"uid": "TEXT"}, "metadata": {"name": "TEXT"}})
        if media == "application/json":
            body = json.dumps(msgspec.msgpack.decode(body)).encode()
        broken = body.replace(b"TEXT", b"a\xff\xfe!")
        answer = await cluster.call(method, path, broken, content_type=media)
        assert answer.status == 400, answer.raw


TIME = "2026-01-01T00:00:00.000000Z"
