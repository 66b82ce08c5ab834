"""A write for a leader's term is stored only while that leader holds its Lease."""

import asyncio
from typing import Any

import pytest
from apicluster import APPLY, Answer, Cluster, config_map, daemon_set, pod

from kubeherd.cluster.api.private import batch, fence
from kubeherd.cluster.api.private.batch import BatchedRequest
from kubeherd.cluster.api.private.fence import Term
from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
NS = "/api/v1/namespaces/default"
CMS, PODS, SETS = f"{NS}/configmaps", f"{NS}/pods", "/apis/apps/v1/namespaces/default/daemonsets"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments"
MINE = Term("kube-system", "leader", "me", 3).header()


async def lead(cluster: Cluster, holder: str, transitions: int) -> None:
    spec = {"holderIdentity": holder, "leaseTransitions": transitions}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
    query = {"fieldManager": "test", "force": "true"}
    answer = await cluster.patch(f"{LEASES}/leader", body, APPLY, query=query)
    assert answer.status in (200, 201), answer.message


def deployment() -> dict[str, Any]:
    tree = {**daemon_set("web"), "kind": "Deployment"}
    tree["spec"]["replicas"] = 1
    return tree


WRITES: dict[str, tuple[str, str, Any]] = {
    "create": ("POST", CMS, config_map("new")),
    "create with a generated name": ("POST", CMS, {"metadata": {"generateName": "x-"}}),
    "create with addresses": ("POST", f"{NS}/services", {
        "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]},
    }),
    "update": ("PUT", f"{CMS}/there", config_map("there", changed="yes")),
    "update that creates": ("PUT", f"{LEASES}/other", {
        "metadata": {"name": "other", "namespace": "kube-system"},
    }),
    "patch": ("PATCH", f"{CMS}/there", {"data": {"changed": "yes"}}),
    "status": ("PATCH", f"{SETS}/d/status", {"status": {"numberReady": 7}}),
    "delete": ("DELETE", f"{CMS}/there", None),
    "delete collection": ("DELETE", CMS, None),
    "binding": ("POST", f"{PODS}/p/binding", {
        "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"},
    }),
    "eviction": ("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}}),
    "scale": ("PATCH", f"{DEPLOYMENT}/web/scale", {"spec": {"replicas": 9}}),
}  # fmt: skip


async def furnished(cluster: Cluster) -> None:
    for path, tree in (
        (CMS, config_map("there")), (PODS, pod("p")), (SETS, daemon_set("d")),
        (DEPLOYMENT, deployment()),
    ):  # fmt: skip
        created = await cluster.post(path, tree)
        assert created.status == 201, created.message


async def send(cluster: Cluster, write: str) -> Answer:
    method, path, body = WRITES[write]
    media = "application/merge-patch+json" if method == "PATCH" else "application/json"
    return await cluster.call(method, path, body, kubeherd_fence=MINE, content_type=media)


async def test_every_kind_of_write_is_held_to_the_lease(cluster: Cluster) -> None:
    await furnished(cluster)
    await lead(cluster, "another", 4)
    for number, write in enumerate(WRITES):
        before = cluster.store.revision
        refused = await send(cluster, write)
        assert (refused.status, refused.tree["reason"]) == (409, "LeaseLost"), write
        assert f"the term {MINE}, for which it was sent, is over" in refused.message
        await cluster.post("/api/v1/namespaces", {"metadata": {"name": f"after-{number}"}})
        assert cluster.store.revision == before + 1, f"{write} stored something"
    await lead(cluster, "me", 3)
    for write in WRITES:
        allowed = await send(cluster, write)
        assert allowed.status < 300, (write, allowed.tree)


async def test_holder_and_count_must_both_be_right(cluster: Cluster) -> None:
    for holder, transitions in (("me", 4), ("me", 2), ("another", 3), ("", 3)):
        await lead(cluster, holder, transitions)
        refused = await cluster.post(CMS, config_map("a"), kubeherd_fence=MINE)
        assert refused.tree["reason"] == "LeaseLost", (holder, transitions)
    assert (await cluster.post(CMS, config_map("a"))).status == 201, "without the header"


async def test_a_lease_that_is_gone_is_nobodys(cluster: Cluster) -> None:
    refused = await cluster.post(CMS, config_map("a"), kubeherd_fence=MINE)
    assert refused.tree["reason"] == "LeaseLost"


async def test_a_takeover_counts_before_it_is_durable(cluster: Cluster) -> None:
    await lead(cluster, "me", 3)
    _, refused = await asyncio.gather(
        lead(cluster, "another", 4), cluster.post(CMS, config_map("a"), kubeherd_fence=MINE)
    )
    assert refused.tree["reason"] == "LeaseLost"
    await lead(cluster, "me", 3)
    allowed, _ = await asyncio.gather(
        cluster.post(CMS, config_map("a"), kubeherd_fence=MINE), lead(cluster, "another", 4)
    )
    assert allowed.status == 201, "it was staged before the takeover"


@pytest.mark.parametrize(
    ("write", "kind"), [("create", "mutating"), ("update", "validating"), ("delete", "validating")]
)
async def test_a_takeover_while_a_webhook_thinks(cluster: Cluster, write: str, kind: str) -> None:
    await furnished(cluster)
    await lead(cluster, "me", 3)

    async def slow(_hook: Hook, body: bytes) -> bytes:
        await lead(cluster, "another", 4)
        uid = body.partition(b'"uid":"')[2].partition(b'"')[0].decode()
        answer = f'{{"uid": "{uid}", "allowed": true}}'
        api = "admission.k8s.io/v1"
        return (
            f'{{"apiVersion": "{api}", "kind": "AdmissionReview", "response": {answer}}}'.encode()
        )

    cluster.api.services.registry.webhooks.post = slow
    rule = {
        "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["*"],
    }  # fmt: skip
    hook = {
        "name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"}, "rules": [rule],
        "admissionReviewVersions": ["v1"], "sideEffects": "None",
    }  # fmt: skip
    group = "/apis/admissionregistration.k8s.io/v1"
    body = {"metadata": {"name": "a"}, "webhooks": [hook]}
    assert (await cluster.post(f"{group}/{kind}webhookconfigurations", body)).status == 201
    refused = await send(cluster, write)
    assert (refused.status, refused.tree["reason"]) == (409, "LeaseLost"), refused.tree


async def test_each_write_of_a_batch_is_asked_for_its_own_term(cluster: Cluster) -> None:
    await lead(cluster, "me", 3)
    terms = {"mine": MINE, "old": Term("kube-system", "leader", "me", 2).header(), "none": ""}
    writes = [
        BatchedRequest(
            "POST", CMS, {}, "application/json", "application/json",
            b'{"metadata":{"name":"%s"}}' % name.encode(), term,
        )
        for name, term in terms.items()
    ]  # fmt: skip
    answer = await cluster.call("POST", batch.PATH, batch.encode(writes))
    statuses = [one.status for one in batch.decode_answers(answer.raw)]
    assert dict(zip(terms, statuses, strict=True)) == {"mine": 201, "old": 409, "none": 201}


async def test_what_is_no_term_is_a_bad_request(cluster: Cluster) -> None:
    for header in ("x", "a/b/c", "a/b/c/d", "a/b//1", "/b/c/1", "a/b/c/-1", "a/b/c/²"):
        answer = await cluster.post(CMS, config_map("a"), kubeherd_fence=header)
        assert (answer.status, answer.tree["reason"]) == (400, "BadRequest"), header
    assert (await cluster.get(f"{CMS}/a", kubeherd_fence="x")).status == 404, "reads do not care"


def test_a_term_survives_the_header() -> None:
    term = Term("kube-system", "leader", "host_a/b-1", 12)
    assert fence.parse(term.header()) == term
