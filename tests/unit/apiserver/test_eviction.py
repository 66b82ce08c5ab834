"""Evictions and disruption budgets: upstream's pkg/registry/core/pod/storage/eviction_test.go."""

from typing import Any

import pytest
from apicluster import Answer, Cluster, pod

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.handlers.pods import budgets

PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
EVICTION: dict[str, Any] = {"apiVersion": "policy/v1", "metadata": {"name": "p"}}
TEXT = "Cannot evict pod as it would violate the pod's disruption budget."


async def a_pod(cluster: Cluster, *, phase: str = "Running", ready: bool = True) -> None:
    body = pod("p")
    body["metadata"]["labels"] = {"app": "x"}
    await cluster.post(PODS, body)
    if phase != "Pending":
        target = {"kind": "Node", "name": "n1"}
        await cluster.post(f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": target})
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": phase, "conditions": [condition]}
    assert (await cluster.patch(f"{PODS}/p/status", {"status": status})).status == 200


async def a_budget(
    cluster: Cluster, allowed: int, name: str = "b", policy: str = "", **status: object
) -> None:
    spec: JsonObject = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    await cluster.post(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    numbers = {
        "observedGeneration": 1,
        "disruptionsAllowed": allowed,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
        **status,
    }
    answer = await cluster.patch(f"{BUDGETS}/{name}/status", {"status": numbers})
    assert answer.status == 200


async def evicted(cluster: Cluster, **options: object) -> Answer:
    return await cluster.post(f"{PODS}/p/eviction", {**EVICTION, "deleteOptions": options})


def cause(answer: Answer) -> str:
    (only,) = answer.tree["details"]["causes"]
    assert only["reason"] == "DisruptionBudget"
    return str(only["message"])


async def is_there(cluster: Cluster) -> bool:
    answer = await cluster.get(f"{PODS}/p")
    return answer.status == 200 and "deletionTimestamp" not in answer.tree["metadata"]


async def test_eviction_within_the_budget(cluster: Cluster) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 1)
    assert (await cluster.post(f"{PODS}/p/eviction", EVICTION)).status == 201
    tree = (await cluster.get(f"{PODS}/p")).tree
    assert tree["metadata"]["deletionGracePeriodSeconds"] == 30
    reasons = [condition.get("reason") for condition in tree["status"]["conditions"]]
    assert "EvictionByEvictionAPI" in reasons
    status = (await cluster.get(f"{BUDGETS}/b")).tree["status"]
    assert status["disruptionsAllowed"] == 0
    assert list(status["disruptedPods"]) == ["p"]
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed", "False", "InsufficientPods",
    )  # fmt: skip


async def test_the_condition_changes_only_when_nothing_is_left(cluster: Cluster) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 3)
    assert (await evicted(cluster)).status == 201
    status = (await cluster.get(f"{BUDGETS}/b")).tree["status"]
    assert (status["disruptionsAllowed"], status.get("conditions")) == (2, None)


async def test_eviction_beyond_the_budget_is_429(cluster: Cluster) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 0)
    answer = await evicted(cluster)
    assert (answer.status, answer.message) == (429, TEXT)
    assert cause(answer) == "The disruption budget b needs 1 healthy pods and has 1 currently"
    assert await is_there(cluster)


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_a_pod_that_does_not_run_needs_no_budget(cluster: Cluster, phase: str) -> None:
    await a_pod(cluster, phase=phase)
    await a_budget(cluster, 0)
    assert (await evicted(cluster)).status == 201
    assert not await is_there(cluster)


async def test_a_terminating_pod_needs_no_budget(cluster: Cluster) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 0)
    await cluster.delete(f"{PODS}/p")
    assert (await evicted(cluster)).status == 201


@pytest.mark.parametrize(
    ("policy", "desired", "healthy", "free"),
    [
        ("", 1, 1, True),
        ("", 2, 1, False),
        ("", 0, 0, False),
        ("IfHealthyBudget", 1, 1, True),
        ("IfHealthyBudget", 2, 1, False),
        ("AlwaysAllow", 2, 1, True),
        ("AlwaysAllow", 0, 0, True),
    ],
)
async def test_unhealthy_pod_eviction_policy(
    cluster: Cluster, policy: str, desired: int, healthy: int, free: bool
) -> None:
    await a_pod(cluster, ready=False)
    await a_budget(cluster, 0, policy=policy, desiredHealthy=desired, currentHealthy=healthy)
    answer = await evicted(cluster)
    assert answer.status == (201 if free else 429)
    assert await is_there(cluster) != free


async def test_a_budget_that_the_controller_has_not_seen_yet(cluster: Cluster) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 1, observedGeneration=0)
    answer = await evicted(cluster)
    assert (answer.status, answer.message) == (429, TEXT)
    assert cause(answer) == "The disruption budget b is still being processed by the server."
    assert answer.tree["details"]["retryAfterSeconds"] == 10


def condition(reason: str, message: str) -> JsonObject:
    return {
        "type": "DisruptionAllowed", "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"conditions": [condition("SyncFailed", "no reason")]},
         "does not allow evicting pods currently because it failed sync: no reason"),
        ({"currentHealthy": 2, "conditions": [condition("Whatever", "as I say")]},
         "does not allow evicting pods currently (Whatever): as I say"),
        ({"currentHealthy": 2}, "does not allow evicting pods currently"),
        ({"currentHealthy": 0}, "needs 1 healthy pods and has 0 currently"),
    ],
)  # fmt: skip
async def test_why_nothing_is_allowed(cluster: Cluster, status: JsonObject, text: str) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 0, **status)
    assert cause(await evicted(cluster)) == f"The disruption budget b {text}"


async def test_two_budgets_for_one_pod_are_not_supported(cluster: Cluster) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 1)
    await a_budget(cluster, 1, "c")
    answer = await evicted(cluster)
    assert (answer.status, answer.message) == (
        500,
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
        "support.",
    )
    assert "reason" not in answer.tree


async def test_budgets_that_say_nonsense_are_refused() -> None:
    negative = {"metadata": {"name": "b"}, "status": {"disruptionsAllowed": -1}}
    with pytest.raises(errors.Forbidden, match="disruptions allowed is negative") as refused:
        budgets.spend(negative, "p", "now")
    assert refused.value.message == (
        'poddisruptionbudget.policy "b" is forbidden: pdb disruptions allowed is negative'
    )
    many = {str(number): "then" for number in range(budgets.MAX_DISRUPTED_PODS + 1)}
    full = {
        "metadata": {"name": "b"}, "status": {"disruptionsAllowed": 1, "disruptedPods": many},
    }  # fmt: skip
    with pytest.raises(errors.Forbidden, match="DisruptedPods map too big"):
        budgets.spend(full, "p", "now")


async def test_options_of_the_eviction(cluster: Cluster) -> None:
    await a_pod(cluster)
    await a_budget(cluster, 3)
    refused = await evicted(cluster, ignoreStoreReadErrorWithClusterBreakingPotential=True)
    assert (refused.status, refused.message) == (
        422,
        'Eviction.policy "p" is invalid: '
        "deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: can "
        "not be set for pod eviction, try after removing the option",
    )
    assert (await evicted(cluster, dryRun=["All"])).status == 201
    assert (await cluster.get(f"{BUDGETS}/b")).tree["status"]["disruptionsAllowed"] == 3
    assert await is_there(cluster)
    stale = await evicted(cluster, preconditions={"resourceVersion": "1"})
    assert stale.status == 409
    other = await evicted(cluster, preconditions={"uid": "another"})
    assert other.status == 409
    assert "DisruptionTarget" not in str((await cluster.get(f"{PODS}/p")).tree["status"])


async def test_the_uid_of_another_pod_is_what_a_pending_one_is_refused_for(
    cluster: Cluster,
) -> None:
    await a_pod(cluster, phase="Pending")
    other = await evicted(cluster, preconditions={"uid": "another"})
    assert other.status == 409
    assert "the UID in the precondition (another) does not match" in other.message
    assert await is_there(cluster)


async def test_the_version_that_was_asked_for_is_deleted(cluster: Cluster) -> None:
    await a_pod(cluster)
    version = (await cluster.get(f"{PODS}/p")).tree["metadata"]["resourceVersion"]
    answer = await evicted(cluster, preconditions={"resourceVersion": version})
    assert answer.status == 201
    assert not await is_there(cluster)
