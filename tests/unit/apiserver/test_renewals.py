"""Renewals of Leases go a short way; what may have more to say about one sees it all the same."""

import asyncio
from typing import Any

import orjson
from apicluster import NODE, Cluster
from policycluster import bind, rules, validating

from kubeherd.cluster.api.kinds import LEASES
from kubeherd.cluster.apiserver.server import ApiServer
from kubeherd.cluster.runtime.rng import Rng

NAMESPACE = "kube-node-lease"
PATH = LEASES.path(NAMESPACE, "n1")


def lease(time: str = "2026-01-01T00:00:00.000000Z") -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "n1", "namespace": NAMESPACE},
        "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40, "renewTime": time},
    }


def renewed(tree: dict[str, Any], time: str) -> dict[str, Any]:
    return {**tree, "spec": {**tree["spec"], "renewTime": time}}


async def test_a_renewal_is_stored_and_answered(cluster: Cluster) -> None:
    made = (await cluster.post(LEASES.path(NAMESPACE), lease(), user=NODE)).tree
    watch = await cluster.watch(
        LEASES.path(NAMESPACE),
        query={"watch": "1", "resourceVersion": made["metadata"]["resourceVersion"]},
    )
    time = "2026-01-01T00:00:10.000000Z"
    answer = await cluster.put(PATH, renewed(made, time), user=NODE)
    assert answer.status == 200
    assert answer.tree["spec"]["renewTime"] == time
    assert (await watch.next())["object"] == answer.tree
    assert (await cluster.get(PATH)).tree == answer.tree
    await watch.close()


async def test_two_renewals_of_one_state_one_conflict(cluster: Cluster) -> None:
    made = (await cluster.post(LEASES.path(NAMESPACE), lease())).tree
    answers = await asyncio.gather(
        *(cluster.put(PATH, renewed(made, f"2026-01-01T00:00:0{n}.000000Z")) for n in (1, 2))
    )
    assert sorted(answer.status for answer in answers) == [200, 409]


async def test_a_policy_about_leases_is_asked(cluster: Cluster) -> None:
    made = (await cluster.post(LEASES.path(NAMESPACE), lease())).tree
    about = [rules("leases", "coordination.k8s.io", "UPDATE")]
    await bind(cluster, validating("no", "object.spec.renewTime == null", rules=about))
    refused = await cluster.put(PATH, renewed(made, "2026-01-01T00:00:10.000000Z"))
    assert refused.status == 422
    assert "no" in refused.message


async def test_what_another_server_has_stored_is_judged_when_it_is_first_renewed(
    cluster: Cluster,
) -> None:
    made = (await cluster.post(LEASES.path(NAMESPACE), lease())).tree
    made["spec"]["leaseDurationSeconds"] = 0

    def json(revision: int) -> bytes:
        made["metadata"]["resourceVersion"] = str(revision)
        return orjson.dumps(made)

    staged = cluster.store.put(LEASES.group_resource, NAMESPACE, "n1", json)
    await cluster.store.committed(staged)
    cluster.api = ApiServer(cluster.store, cluster.clock, Rng(2))
    refused = await cluster.put(PATH, renewed(made, "2026-01-01T00:00:10.000000Z"))
    assert refused.status == 422
    assert "leaseDurationSeconds" in refused.message
