"""The status of ValidatingAdmissionPolicies: what their expressions get wrong.

Texts and rules: Kubernetes v1.36, plugin/policy/validating/typechecking.go, and
test/e2e/apimachinery/validatingadmissionpolicy.go.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from apicluster import Cluster
from crdcluster import custom_cluster
from patience import PATIENCE_S
from policycluster import GROUP, rules, validating

POLICIES = f"{GROUP}/validatingadmissionpolicies"
SETS = {**rules("daemonsets", "apps"), "apiVersions": ["v1"]}


@pytest.fixture
async def watched() -> AsyncIterator[Cluster]:
    async with custom_cluster() as cluster:
        yield cluster


async def checked(cluster: Cluster, *validations: Any, **spec: Any) -> list[tuple[str, str]]:
    """Create a policy; its warnings, when they are there."""
    policy = validating("p", *validations, **{"rules": [SETS], **spec})
    created = await cluster.post(POLICIES, policy)
    assert created.status == 201, created.message
    status = await observed(cluster, 1)
    await cluster.delete(f"{POLICIES}/p")
    warnings = status["typeChecking"].get("expressionWarnings", ())
    return [(one["fieldRef"], one["warning"]) for one in warnings]


async def observed(cluster: Cluster, generation: int) -> Any:
    """The status of the policy, when it is that of a generation."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = (await cluster.get(f"{POLICIES}/p")).tree.get("status") or {}
            if status.get("observedGeneration") == generation:
                return status
            await asyncio.sleep(0.01)


async def test_types_that_are_confused(watched: Cluster) -> None:
    confused = {
        "expression": "object.spec.minReadySeconds > '1'",
        "messageExpression": "'wants more, got ' + object.spec.minReadySeconds",
    }
    first, second = await checked(watched, confused, "object.spec.minReadySeconds > 1")
    assert first == (
        "spec.validations[0].expression",
        "apps/v1, Kind=DaemonSet: ERROR: <input>:1:29: found no matching overload for '_>_' "
        "applied to '(int, string)'\n | object.spec.minReadySeconds > '1'\n | " + "." * 28 + "^\n",
    )
    assert second[0] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in second[1]


async def test_fields_that_are_not_there(watched: Cluster) -> None:
    found = await checked(
        watched, "object.spec.nope == 1", "object.spec.template.spec.containers.all(c, c.nope)",
        "object.spec.template.spec.containers.all(c, c.image != '')",
        "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp != null",
        "object.spec.template.spec.containers[0].resources.limits['cpu'] == '1'",
        "variables.n > 1 && variables.n > 'a'", "has(params.data) && params.nope",
        variables=[{"name": "n", "expression": "object.spec.minReadySeconds"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )  # fmt: skip
    problems = [
        (where[17:-12], text.splitlines()[0].partition(": ERROR: ")[2]) for where, text in found
    ]
    assert problems == [
        ("0", "<input>:1:12: undefined field 'nope'"),
        ("1", "<input>:1:46: undefined field 'nope'"),
        ("5", "<input>:1:32: found no matching overload for '_>_' applied to '(int, string)'"),
        ("6", "<input>:1:27: undefined field 'nope'"),
    ]


async def test_custom_resources_are_looked_at(watched: Cluster) -> None:
    widgets = {**rules("widgets", "example.com"), "apiVersions": ["v1"]}
    found = await checked(
        watched, "object.spec.size > '1'", "object.spec.nope < 10", "object.spec.size < 10",
        "object.metadata.name != ''", rules=[widgets],
    )  # fmt: skip
    assert [where for where, _ in found] == [
        "spec.validations[0].expression", "spec.validations[1].expression",
    ]  # fmt: skip
    assert found[1][1].startswith("example.com/v1, Kind=Widget: ERROR: <input>:1:12: undefined")


async def test_what_is_not_looked_at(watched: Cluster) -> None:
    for resource in ("*", "daemonsets/status"):
        rule = {**SETS, "resources": [resource]}
        assert await checked(watched, "object.nope == 1", rules=[rule]) == []
    assert await checked(watched, "object.nope == 1", rules=[{**SETS, "apiVersions": ["*"]}]) == []
    assert await checked(watched, "object.nope == 1", rules=[{**SETS, "apiGroups": ["x"]}]) == []


async def test_each_generation_is_looked_at_once(watched: Cluster) -> None:
    await watched.post(POLICIES, validating("p", "object.spec.nope == 1", rules=[SETS]))
    assert len((await observed(watched, 1))["typeChecking"]["expressionWarnings"]) == 1
    fine = {"spec": {"validations": [{"expression": "true"}]}}
    await watched.patch(f"{POLICIES}/p", fine, "application/merge-patch+json")
    status = await observed(watched, 2)
    assert status == {"observedGeneration": 2}, "what was applied before is taken back"
    tree = (await watched.get(f"{POLICIES}/p")).tree
    entry = next(
        one for one in tree["metadata"]["managedFields"] if one.get("subresource") == "status"
    )
    assert (entry["manager"], entry["operation"]) == ("validatingadmissionpolicy-status", "Apply")
