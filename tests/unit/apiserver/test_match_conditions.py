"""``matchConditions`` of webhooks, on a server whose webhooks are functions of this module.

Texts and rules: Kubernetes v1.36, plugin/webhook/matchconditions and generic/webhook.go.
"""

import json
from typing import Any

import pytest
from apicluster import Cluster, config_map
from policycluster import GROUP, rules

from kubeherd.cluster.apiserver.admission.webhooks.matching import Hook

CMS = "/api/v1/namespaces/default/configmaps"


class Hooks:
    """Webhooks that allow everything, and which of them were asked."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._asked: list[str] = []
        cluster.api.services.registry.webhooks.post = self._post

    async def _post(self, hook: Hook, body: bytes) -> bytes:
        review = json.loads(body)
        self._asked.append(hook.name)
        response = {"uid": review["request"]["uid"], "allowed": True}
        return json.dumps({**review, "response": response}).encode()

    async def add(self, kind: str, *conditions: str, **fields: Any) -> Any:
        named = [{"name": f"c{number}", "expression": one} for number, one in enumerate(conditions)]
        hook = {
            "name": f"{kind}.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [rules()], "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "matchConditions": named, **fields,
        }  # fmt: skip
        body = {"metadata": {"name": kind}, "webhooks": [hook]}
        return await self._cluster.post(f"{GROUP}/{kind}webhookconfigurations", body)

    def asked(self) -> list[str]:
        found, self._asked = self._asked, []
        return found


@pytest.fixture
def hooks(cluster: Cluster) -> Hooks:
    return Hooks(cluster)


async def test_only_what_meets_all_conditions_is_asked_about(
    cluster: Cluster, hooks: Hooks
) -> None:
    for kind in ("mutating", "validating"):
        wanted = "object.data.a == 'x'", "request.userInfo.username == 'kubernetes-admin'"
        assert (await hooks.add(kind, *wanted)).status == 201
    assert (await cluster.post(CMS, config_map("a", a="y"))).status == 201
    assert hooks.asked() == []
    assert (await cluster.post(CMS, config_map("b", a="x"))).status == 201
    assert hooks.asked() == ["mutating.example.com", "validating.example.com"]


async def test_conditions_that_fail(cluster: Cluster, hooks: Hooks) -> None:
    await hooks.add("validating", "object.data.a == 'x'", "object.data.b == 'x'")
    refused = await cluster.post(CMS, config_map("c", d=""))
    assert (refused.status, refused.message) == (
        403,
        "configmaps \"c\" is forbidden: [expression 'object.data.a == 'x'' resulted in error: no "
        "such key: a, expression 'object.data.b == 'x'' resulted in error: no such key: b]",
    )
    assert (await cluster.post(CMS, config_map("d", b=""))).status == 201, "one is false"
    await cluster.delete(f"{GROUP}/validatingwebhookconfigurations/validating")
    await hooks.add("validating", "object.data.a == 'x'", failurePolicy="Ignore")
    assert (await cluster.post(CMS, config_map("e", d=""))).status == 201
    assert hooks.asked() == []


async def test_conditions_come_before_the_question_of_dry_run(
    cluster: Cluster, hooks: Hooks
) -> None:
    await hooks.add("validating", "object.data.a == 'x'")
    path = f"{GROUP}/validatingwebhookconfigurations/validating"
    for data, status in (("y", 201), ("x", 201)):
        created = await cluster.post(CMS, config_map("c", a=data), query={"dryRun": "All"})
        assert created.status == status
    assert hooks.asked() == ["validating.example.com"]
    assert (await cluster.delete(path)).status == 200


async def test_conditions_that_are_no_expressions(cluster: Cluster, hooks: Hooks) -> None:
    refused = await hooks.add("validating", "object.data.a ==")
    assert refused.status == 422
    assert "compilation failed: ERROR: <input>:1:17: Syntax error" in refused.message
    refused = await hooks.add("mutating", "params == null")
    assert "undeclared reference to 'params' (in container '')" in refused.message


async def test_old_conditions_may_stay(cluster: Cluster, hooks: Hooks) -> None:
    await hooks.add("validating", "true")
    path = f"{GROUP}/validatingwebhookconfigurations/validating"
    changed = {"webhooks": [{"name": "validating.example.com", "timeoutSeconds": 5}]}
    assert (await cluster.patch(path, changed)).status == 200
    changed["webhooks"][0]["matchConditions"] = [{"name": "c0", "expression": "1 +"}]
    assert (await cluster.patch(path, changed)).status == 422
