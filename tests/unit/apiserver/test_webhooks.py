"""Admission webhooks on a server whose webhooks are functions of this module.

Texts and rules: Kubernetes v1.36, apiserver/pkg/admission/plugin/webhook.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from apicluster import Cluster, config_map, pod
from crdcluster import WIDGETS, custom_cluster, widget

from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook
from kubeherd.cluster.apiserver.admission.webhooks.review import CallFailed

GROUP = "/apis/admissionregistration.k8s.io/v1"
NS = "/api/v1/namespaces/default"
CMS, PODS = f"{NS}/configmaps", f"{NS}/pods"

Reply = Callable[[dict[str, Any]], dict[str, Any]]


def rule(resource: str = "configmaps", *operations: str, **more: Any) -> dict[str, Any]:
    return {
        "apiGroups": ["*"], "apiVersions": ["*"], "resources": [resource],
        "operations": list(operations) or ["*"], **more,
    }  # fmt: skip


def patching(*operations: dict[str, Any]) -> dict[str, Any]:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


class Asked:
    """The webhooks: what they answer by name, and what they were asked."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.replies: dict[str, Reply] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        cluster.api.services.registry.webhooks.post = self._post

    async def _post(self, hook: Hook, body: bytes) -> bytes:
        review = json.loads(body)
        self.requests.append((hook.name, review["request"]))
        response = {"uid": review["request"]["uid"], **self.replies[hook.name](review["request"])}
        return json.dumps({**review, "response": response}).encode()

    async def add(self, name: str, reply: Reply, *, mutating: bool = False, **fields: Any) -> None:
        kind = "mutating" if mutating else "validating"
        hook = {
            "name": name, "clientConfig": {"url": "https://127.0.0.1:1/"}, "rules": [rule()],
            "admissionReviewVersions": ["v1"], "sideEffects": "None", **fields,
        }  # fmt: skip
        body = {"metadata": {"name": name}, "webhooks": [hook]}
        self.replies[name] = reply
        created = await self.cluster.post(f"{GROUP}/{kind}webhookconfigurations", body)
        assert created.status == 201, created.message

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.requests]


@pytest.fixture
def asked(cluster: Cluster) -> Asked:
    return Asked(cluster)


def allow(_: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True}


async def test_a_refusal(cluster: Cluster, asked: Asked) -> None:
    await asked.add("no.example.com", lambda _: {
        "allowed": False,
        "status": {"code": 403, "reason": "Forbidden", "message": "not today"},
        "warnings": ["think again"],
    })  # fmt: skip
    refused = await cluster.post(CMS, config_map("a"))
    assert refused.tree == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": 'admission webhook "no.example.com" denied the request: not today',
        "reason": "Forbidden", "code": 403,
    }  # fmt: skip
    asked.replies["no.example.com"] = lambda _: {"allowed": False}
    refused = await cluster.post(CMS, config_map("a"))
    assert (refused.status, refused.message) == (
        400, 'admission webhook "no.example.com" denied the request without explanation',
    )  # fmt: skip
    assert (await cluster.get(f"{CMS}/a")).status == 404


async def test_what_a_webhook_is_told(cluster: Cluster, asked: Asked) -> None:
    await asked.add("see.example.com", lambda _: {"allowed": True, "warnings": ["seen"]})
    created = await cluster.post(CMS, config_map("a", k="v"))
    assert created.headers["Warning"] == '299 - "seen"'
    request = asked.requests[0][1]
    tree = created.tree
    assert request["object"]["data"] == {"k": "v"}
    assert request["object"]["metadata"]["uid"] == tree["metadata"]["uid"]
    kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
    resource = {"group": "", "version": "v1", "resource": "configmaps"}
    assert {key: request[key] for key in request.keys() - {"uid", "object", "options"}} == {
        "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
        "name": "a", "namespace": "default", "operation": "CREATE", "dryRun": False,
        "oldObject": None,
        "userInfo": {
            "username": "kubernetes-admin",
            "groups": ["system:masters", "system:authenticated"],
        },
    }  # fmt: skip
    await cluster.patch(f"{CMS}/a", {"data": {"k": "w"}})
    await cluster.delete(f"{CMS}/a")
    (_, update), (_, delete) = asked.requests[1:]
    assert (update["operation"], update["oldObject"]["data"], update["object"]["data"]) == (
        "UPDATE", {"k": "v"}, {"k": "w"},
    )  # fmt: skip
    assert (delete["operation"], delete["object"], delete["oldObject"]["data"]) == (
        "DELETE", None, {"k": "w"},
    )  # fmt: skip


async def test_patches_are_applied_before_validation(cluster: Cluster, asked: Asked) -> None:
    label = {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    await asked.add("label.example.com", lambda _: patching(label), mutating=True)
    await asked.add("see.example.com", allow)
    created = await cluster.post(CMS, config_map("a"))
    assert created.tree["metadata"]["labels"] == {"a": "b"}
    assert asked.names == ["label.example.com", "see.example.com"]
    assert asked.requests[1][1]["object"]["metadata"]["labels"] == {"a": "b"}
    wrong = {"op": "add", "path": "/metadata/labels", "value": {"a": "-"}}
    asked.replies["label.example.com"] = lambda _: patching(wrong)
    assert (await cluster.post(CMS, config_map("b"))).status == 422
    uid = {"op": "replace", "path": "/metadata/uid", "value": "mine"}
    asked.replies["label.example.com"] = lambda _: patching(uid)
    assert (await cluster.post(CMS, config_map("c"))).tree["metadata"]["uid"] != "mine"


async def test_a_container_that_a_webhook_adds_is_defaulted_and_mounts_the_token(
    cluster: Cluster, asked: Asked
) -> None:
    sidecar = {"op": "add", "path": "/spec/containers/-", "value": {"name": "s", "image": "i"}}

    def inject(request: dict[str, Any]) -> dict[str, Any]:
        names = [one["name"] for one in request["object"]["spec"]["containers"]]
        return allow({}) if "s" in names else patching(sidecar)

    await asked.add("inject.example.com", inject, mutating=True, rules=[rule("pods", "CREATE")])
    added = (await cluster.post(PODS, pod("p"))).tree["spec"]["containers"][1]
    assert added["imagePullPolicy"] == "Always"
    assert added["volumeMounts"][0]["name"].startswith("kube-api-access-")


async def test_who_wants_to_see_what_others_changed_is_asked_again(
    cluster: Cluster, asked: Asked
) -> None:
    label = {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    for name, policy in (("a", "IfNeeded"), ("b", "Never")):
        await asked.add(f"{name}.x.io", allow, mutating=True, reinvocationPolicy=policy)
    await asked.add("c.x.io", lambda _: patching(label), mutating=True)
    await cluster.post(CMS, config_map("a"))
    assert asked.names == ["a.x.io", "b.x.io", "c.x.io", "a.x.io"]
    asked.replies["c.x.io"] = allow
    asked.requests.clear()
    await cluster.post(CMS, config_map("b"))
    assert asked.names == ["a.x.io", "b.x.io", "c.x.io"]


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        ({"rules": [rule("secrets")]}, False),
        ({"rules": [rule("*")]}, True),
        ({"rules": [rule("configmaps/status")]}, False),
        ({"rules": [rule("configmaps", "UPDATE", "DELETE")]}, False),
        ({"rules": [rule(scope="Cluster")]}, False),
        ({"rules": [rule(scope="Namespaced")]}, True),
        ({"rules": [{**rule(), "apiGroups": ["apps"]}]}, False),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"objectSelector": {"matchExpressions": [
            {"key": "a", "operator": "DoesNotExist"}]}}, True),
        ({"namespaceSelector": {"matchLabels": {
            "kubernetes.io/metadata.name": "default"}}}, True),
        ({"namespaceSelector": {"matchLabels": {
            "kubernetes.io/metadata.name": "other"}}}, False),
    ],
)  # fmt: skip
async def test_which_writes_concern_a_webhook(
    cluster: Cluster, asked: Asked, fields: dict[str, Any], called: bool
) -> None:
    await asked.add("x.example.com", allow, **fields)
    assert (await cluster.post(CMS, config_map("a"))).status == 201
    assert asked.names == (["x.example.com"] if called else [])


@pytest.mark.parametrize("policy", ["Exact", "Equivalent"])
async def test_a_webhook_sees_the_version_that_it_knows(
    cluster: Cluster, asked: Asked, policy: str
) -> None:
    scaler = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
    }  # fmt: skip
    more = {"op": "replace", "path": "/spec/metrics/0/resource/target/averageUtilization",
            "value": 60}  # fmt: skip
    rules = [{**rule("horizontalpodautoscalers"), "apiVersions": ["v2"]}]
    await asked.add(
        "x.example.com", lambda _: patching(more), mutating=True, rules=rules, matchPolicy=policy
    )
    path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
    created = await cluster.post(path, {"metadata": {"name": "h"}, "spec": scaler})
    assert created.status == 201, created.message
    target = created.tree["spec"]["targetCPUUtilizationPercentage"]
    if policy == "Exact":
        assert (target, asked.names) == (50, [])
        return
    assert target == 60
    request = asked.requests[0][1]
    assert (request["kind"]["version"], request["requestKind"]["version"]) == ("v2", "v1")
    assert request["object"]["apiVersion"] == "autoscaling/v2"


async def test_a_label_that_a_webhook_gives_decides_whether_the_next_is_asked(
    cluster: Cluster, asked: Asked
) -> None:
    label = {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    await asked.add("a.x.io", lambda _: patching(label), mutating=True)
    chosen = {"matchLabels": {"a": "b"}}
    await asked.add("b.x.io", allow, mutating=True, objectSelector=chosen)
    await cluster.post(CMS, config_map("a"))
    assert asked.names == ["a.x.io", "b.x.io"]


async def test_webhooks_cannot_lock_themselves_in(cluster: Cluster, asked: Asked) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        return {"allowed": False}

    await asked.add("x.example.com", refuse, rules=[rule("*")])
    path = f"{GROUP}/validatingwebhookconfigurations/x.example.com"
    assert (await cluster.delete(path)).status == 200
    assert asked.names == []


def fail(_: dict[str, Any]) -> dict[str, Any]:
    raise CallFailed('failed to call webhook: Post "https://127.0.0.1:1/": refused')


async def test_a_webhook_that_does_not_answer(cluster: Cluster, asked: Asked) -> None:
    await asked.add("x.example.com", fail)
    answer = await cluster.post(CMS, config_map("a"))
    why = (
        'failed calling webhook "x.example.com": failed to call webhook: Post '
        '"https://127.0.0.1:1/": refused'
    )
    assert (answer.status, answer.message) == (500, f"Internal error occurred: {why}")
    assert answer.tree["details"] == {"causes": [{"message": why}]}
    policy = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
    path = f"{GROUP}/validatingwebhookconfigurations/x.example.com"
    changed = await cluster.patch(path, policy, content_type="application/json-patch+json")
    assert changed.status == 200, changed.message
    assert (await cluster.post(CMS, config_map("a"))).status == 201


@pytest.mark.parametrize(
    ("mutating", "response", "why"),
    [
        (False, {"uid": "x", "allowed": True}, 'expected response.uid="'),
        (False, patching(), "validating webhook may not return response.patch"),
        (True, {"allowed": True, "patch": "W10="},
         "webhook returned response.patch but not response.patchType"),
        (True, {"allowed": True, "patchType": "JSONPatch"},
         "webhook returned response.patchType but not response.patch"),
    ],
)  # fmt: skip
async def test_answers_that_mean_nothing(
    cluster: Cluster, asked: Asked, mutating: bool, response: dict[str, Any], why: str
) -> None:
    await asked.add("x.example.com", lambda _: response, mutating=mutating)
    answer = await cluster.post(CMS, config_map("a"))
    assert answer.status == 500
    assert f"received invalid webhook response: {why}" in answer.message


async def test_dry_runs(cluster: Cluster, asked: Asked) -> None:
    await asked.add("x.example.com", allow, sideEffects="NoneOnDryRun")
    assert (await cluster.post(f"{CMS}?dryRun=All", config_map("a"))).status == 201
    request = asked.requests[0][1]
    assert (request["dryRun"], request["options"]["dryRun"]) == (True, ["All"])


async def test_an_object_that_changes_while_a_webhook_is_asked(
    cluster: Cluster, asked: Asked
) -> None:
    """The window between reading and writing stays closed: the write begins again."""
    await cluster.post(CMS, config_map("a", n="0"))
    overtaken: list[str] = []

    async def overtake(hook: Hook, body: bytes) -> bytes:
        if not overtaken:
            overtaken.append(hook.name)
            other = {"data": {"other": "1"}}
            assert (await cluster.patch(f"{CMS}/a", other)).status == 200
        return await asked._post(hook, body)

    await asked.add("x.example.com", allow, rules=[rule("configmaps", "UPDATE")])
    cluster.api.services.registry.webhooks.post = overtake
    changed = await cluster.patch(f"{CMS}/a", {"data": {"mine": "2"}})
    assert changed.tree["data"] == {"n": "0", "other": "1", "mine": "2"}
    assert asked.names == ["x.example.com"] * 3  # the other's, the one in vain, the one again
    stale = {**changed.tree, "metadata": {**changed.tree["metadata"], "resourceVersion": "1"}}
    assert (await cluster.put(f"{CMS}/a", stale)).status == 409


async def test_nothing_can_be_changed_by_way_of_a_delete(cluster: Cluster, asked: Asked) -> None:
    await cluster.post(CMS, config_map("a"))
    label = {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}
    await asked.add("x.example.com", lambda _: patching(label), mutating=True)
    refused = await cluster.delete(f"{CMS}/a")
    assert (refused.status, refused.message) == (
        500,
        'Internal error occurred: admission webhook "x.example.com" attempted to modify the '
        "object, which is not supported for this operation",
    )
    assert (await cluster.get(f"{CMS}/a")).status == 200


async def test_a_collection_is_deleted_object_by_object(cluster: Cluster, asked: Asked) -> None:
    for name in ("a", "b"):
        await cluster.post(CMS, config_map(name))
    await asked.add("x.example.com", lambda request: {"allowed": request["name"] != "b"})
    assert (await cluster.delete(CMS)).status == 400
    left = [one["metadata"]["name"] for one in (await cluster.get(CMS)).tree["items"]]
    assert left == ["b"]


async def test_a_custom_resource_is_changed_and_its_schema_heeded() -> None:
    async with custom_cluster() as cluster:
        asked = Asked(cluster)
        size = {"op": "add", "path": "/spec/size", "value": 3}
        junk = {"op": "add", "path": "/spec/junk", "value": 1}
        await asked.add(
            "grow.example.com", lambda _: patching(size, junk), mutating=True,
            rules=[rule("widgets")],
        )  # fmt: skip
        created = await cluster.post(WIDGETS, widget("w"))
        assert (created.status, created.tree["spec"]) == (201, {"size": 3, "colour": "red"})
        asked.replies["grow.example.com"] = lambda _: patching({**size, "value": 11})
        refused = await cluster.post(WIDGETS, widget("x"))
        assert refused.status == 422
        assert "should be less than or equal to 10" in refused.message
