"""Expressions that are made to be slow: nothing that is stored can stop the server.

Steps are counted (`cel.effort`), so these tests do not depend on how fast a machine is. Each of the
expressions takes from seconds to longer than anybody lives where they are not.
"""

from typing import Any

import pytest
from apicluster import Cluster, config_map
from crdcluster import WIDGETS, custom_cluster, definition, version, widget
from policycluster import GROUP, bind, mutating, rules, unbind, validating

from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.cel.policies.admission import problem_of
from kubeherd.cluster.api.cel.policies.scope import Returns, Scope

CMS = "/api/v1/namespaces/default/configmaps"
MANY = {f"k{number}": "v" * 40 for number in range(60)}
SPENT = effort.SPENT
STEPS = 200_000


def nested(over: str, depth: int, body: str = "true", macro: str = "all") -> str:
    """Loops in loops over the same."""
    for level in reversed(range(depth)):
        body = f"{over}.{macro}(v{level}, {body})"
    return body


LOOPS = nested("object.data", 12)
SLOW = {
    "loops": LOOPS,
    "errors": nested("object.data", 12, "object.nope", "exists"),
    "open types": nested("object.data", 4, "object.data[v0] + v1 + v2 + v3 != ''"),
    "lists made": nested("object.data", 4, "v0", "map") + ".size() > 0",
    "equal lists": "lists.range(900).all(i, lists.range(i) + [i] == lists.range(i + 1))",
    "in a list": "lists.range(900).all(i, !(-1 in lists.range(i)))",
    "every with every": "lists.range(9).all(i, sets.contains(lists.range(700), lists.range(690)))",
    "distinct": "lists.range(600).map(i, [[i]]).distinct().size() == 600",
    "sums": nested("object.data", 2, "lists.range(250).sum() > 0"),
    "sorted": nested("object.data", 2, "lists.range(90).sort().size() > 0"),
    "written": nested("object.data", 3, "'%s'.format([[object, object]]) != ''"),
    "patterns": "lists.range(9999).all(i, !'a'.matches('(?:a?b?c?d?e?f?){99}x' + string(i)))",
    "refused patterns": nested("object.data", 2, "v0.matches('[[:word:]]{999}\\\\pL{999}' + v1)"),
    "found": nested("object.data", 3, "object.data.k1.findAll('v(.*w)?').size() > 0"),
    "networks": nested("object.data", 4, "cidr('10.0.0.0/8').containsIP('10.1.2.3')"),
}


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[effort.Effort]:
    """The writes that have begun, with the steps that they have left: of fewer than usual, for the
    tests' sake."""
    found: list[effort.Effort] = []

    class Seen(effort.Effort):
        def __init__(self, steps: int) -> None:
            super().__init__(steps)
            found.append(self)

    monkeypatch.setattr(effort, "Effort", Seen)
    monkeypatch.setattr(effort, "STEPS", STEPS)
    return found


def over_spent(begun: list[effort.Effort]) -> int:
    """By how many steps a write went beyond what it may take: the largest thing done in one go."""
    return -min(one.left for one in begun)


@pytest.mark.parametrize("expression", SLOW.values(), ids=SLOW)
async def test_a_slow_policy_refuses(
    cluster: Cluster, begun: list[effort.Effort], expression: str
) -> None:
    await bind(cluster, validating("p", *[expression] * 5))
    refused = await cluster.post(CMS, config_map("c", **MANY))
    assert refused.status == 422
    assert over_spent(begun) <= effort.REFUSED_PATTERN
    assert (await cluster.get(f"{CMS}/c")).status == 404


async def test_a_slow_policy_that_may_fail_does_not_refuse(cluster: Cluster) -> None:
    await bind(cluster, validating("p", *[LOOPS] * 20, failurePolicy="Ignore"))
    assert (await cluster.post(CMS, config_map("c", **MANY))).status == 201


async def test_all_policies_of_a_write_share_its_steps(
    cluster: Cluster, begun: list[effort.Effort]
) -> None:
    for number in range(30):
        await bind(cluster, validating(f"p{number:02}", nested("object.data", 3)))
    refused = await cluster.post(CMS, config_map("c", **MANY))
    assert SPENT in refused.message
    assert over_spent(begun) < 10_000
    assert (await cluster.post(CMS, config_map("d", a="b"))).status == 201


async def test_a_slow_condition_of_a_policy_or_a_webhook_refuses(
    cluster: Cluster, begun: list[effort.Effort]
) -> None:
    conditions = [{"name": "c", "expression": LOOPS}]
    await bind(cluster, validating("p", "true", matchConditions=conditions))
    assert SPENT in (await cluster.post(CMS, config_map("c", **MANY))).message
    await cluster.delete(f"{GROUP}/validatingadmissionpolicies/p")
    hook = {
        "name": "h.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rules()], "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "matchConditions": conditions,
    }  # fmt: skip
    body = {"metadata": {"name": "w"}, "webhooks": [hook]}
    await cluster.post(f"{GROUP}/mutatingwebhookconfigurations", body)
    refused = await cluster.post(CMS, config_map("c", **MANY))
    assert (refused.status, SPENT in refused.message) == (403, True)
    assert over_spent(begun) < 10_000


async def test_a_slow_mutation_refuses(cluster: Cluster, begun: list[effort.Effort]) -> None:
    looped = f"Object{{data: {{'a': {LOOPS} ? 'b' : 'c'}}}}"
    doubled = "[1].map(x, [x, x])"
    for _ in range(24):
        doubled = f"[{doubled}].map(x, [x, x])"
    large = f'[JSONPatch{{op: "add", path: "/data", value: {doubled}}}]'
    for expression in (looped, large):
        await bind(cluster, mutating("p", expression))
        refused = await cluster.post(CMS, config_map("c", **MANY))
        assert refused.tree["reason"] == "Invalid"
        await unbind(cluster, "p", "mutating")
    assert over_spent(begun) < STEPS


async def test_thousands_of_variables_are_compiled_once(cluster: Cluster) -> None:
    variables = [{"name": "v0", "expression": "1"}] + [
        {"name": f"v{number}", "expression": f"variables.v{number // 2} + 0"}
        for number in range(1, 1200)
    ]
    await bind(cluster, validating("p", "variables.v1199 == 1", variables=variables))
    answers = [await cluster.post(CMS, config_map(f"c{number}")) for number in range(9)]
    assert answers[0].status in (201, 422)  # each try comes further: what is compiled is kept
    assert answers[-1].status == 201


async def test_bindings_times_parameters_are_not_all_looked_at(
    cluster: Cluster, begun: list[effort.Effort]
) -> None:
    for number in range(120):
        await cluster.post(CMS, config_map(f"param-{number}"))
    reference = {"selector": {}, "namespace": "default", "parameterNotFoundAction": "Deny"}
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    policy = validating("p", "true", rules=[rules("secrets")], paramKind=kind)
    for number in range(60):
        await bind(cluster, policy, name=f"b{number}", paramRef=reference)
    secrets = "/api/v1/namespaces/default/secrets"
    refused = await cluster.post(secrets, {"metadata": {"name": "s"}})
    assert SPENT in refused.message
    assert over_spent(begun) < 10_000


async def test_a_slow_rule_of_a_custom_resource_refuses(begun: list[effort.Effort]) -> None:
    one: dict[str, Any] = version()
    schema = one["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["properties"]["keys"] = {
        "type": "object", "maxProperties": 60, "additionalProperties": {"type": "string"},
    }  # fmt: skip
    slow = nested("self.keys", 3)
    schema["x-kubernetes-validations"] = [{"rule": slow}] * 12
    async with custom_cluster(definition(one)) as cluster:
        refused = await cluster.post(WIDGETS, widget(keys=MANY))
        assert refused.status == 422
        assert "no further validation rules will be run" in refused.message
        assert over_spent(begun) < 10_000
        assert (await cluster.post(WIDGETS, widget(keys={"a": "b"}))).status == 201


async def test_what_large_objects_need_is_there(cluster: Cluster) -> None:
    """Unique names among two hundred: what rules of real definitions do."""
    names = {f"key-{number}": f"v{number}" for number in range(200)}
    unique = "object.data.all(a, object.data.exists_one(b, object.data[a] == object.data[b]))"
    await bind(cluster, validating("p", unique))
    assert (await cluster.post(CMS, config_map("c", **names))).status == 201


@pytest.mark.parametrize("wrapped", ["[variables.v{0}]", "{{variables.v{0}: [variables.v{0}]}}"])
async def test_variables_within_variables_have_types_that_end(
    cluster: Cluster, wrapped: str
) -> None:
    variables = [{"name": "v0", "expression": "'a'"}] + [
        {"name": f"v{number + 1}", "expression": wrapped.format(number)} for number in range(300)
    ]
    await bind(cluster, validating("p", "size(variables.v1) == 1", variables=variables))
    assert (await cluster.post(CMS, config_map("c"))).status == 201


@pytest.mark.parametrize("wrapped", ["{{a{0}: a{0}}}", "[a{0}]", "{{'k': a{0}, 'l': a{0}}}"])
def test_loops_after_loops_have_types_that_end(wrapped: str) -> None:
    """200 of them: the types of what they make were told twice as long by each."""
    chain = "[1]" + "".join(f".map(a{at}, {wrapped.format(at)})" for at in range(200))
    assert problem_of(f"{chain}.size() == 1", Scope(), Returns.BOOL) == ""
