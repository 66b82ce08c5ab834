"""StatefulSets while everything breaks: crashes between any two steps, changes, deletions; then all
heals and must converge (spec statefulset-controller)."""

import os

import pytest
from chaosworld import hurt, repair, stays, told

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import (
    PERSISTENTVOLUMECLAIMS,
    PODS,
    STATEFULSETS,
    STORAGECLASSES,
)
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, simulated

NODES = 4
STEPS = 25
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
"""A longer search: ``KUBEHERD_SIM_SEEDS=200 pytest tests/simulation/test_sim_statefulset.py``."""

STANDARD: JsonObject = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "kubeherd.io/fake",
}


def statefulset_tree(**spec: object) -> JsonObject:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    annotations = {"kubeherd.io/ready-delay-seconds": "0.5"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 3,
            "serviceName": "web",
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": annotations},
                "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
            **spec,
        },
    }


async def strike(cluster: SimulatedCluster, chance: Rng) -> str:
    """One random fault, repair or change; returns what it was."""
    name = chance.choice(["apiserver", "controller-manager", *(f"node-{i}" for i in range(NODES))])
    process = cluster.processes[name]
    if not process.alive:
        cluster.start(name)
        return f"start {name}"
    what = chance.choice(["kill", "kill", "cut", "heal", "roll", "scale", "policy", "delete"])
    if what in ("kill", "cut", "heal"):
        await hurt(cluster, what, name)
    else:
        try:
            return await change(cluster, chance, what)
        except (ApiError, TransportError) as error:
            return f"{what} failed: {error}"
    return f"{what} {name}"


async def change(cluster: SimulatedCluster, chance: Rng, what: str) -> str:
    """Another image, number of replicas, partition or policy; or a pod is deleted."""
    if what == "delete":
        name = f"web-{chance.randrange(0, 5)}"
        await cluster.admin.delete(PODS, name, "default")
        return f"delete {name}"
    spec: JsonObject
    if what == "roll":
        containers = [{"name": "main", "image": f"web:{chance.randrange(1, 5)}"}]
        spec = {"template": {"spec": {"containers": containers}}}
    elif what == "scale":
        spec = {"replicas": chance.randrange(0, 6)}
    else:
        policy = {
            "whenScaled": chance.choice(["Retain", "Delete"]),
            "whenDeleted": chance.choice(["Retain", "Delete"]),
        }
        rolling = {"partition": chance.randrange(0, 3)}
        spec = {
            "persistentVolumeClaimRetentionPolicy": policy,
            "updateStrategy": {"rollingUpdate": rolling},
        }
    await cluster.admin.patch(STATEFULSETS, "web", {"spec": spec}, "default")
    return f"{what} {spec}"


async def invariants_hold(cluster: SimulatedCluster) -> bool:
    """Each ordinal has a ready pod of the newest template and its claim; the status says so."""
    of = await cluster.admin.get(STATEFULSETS, StatefulSet, "web", "default")
    replicas, status = of.spec.replicas or 0, of.status
    image = of.spec.template["spec"]["containers"][0]["image"]
    pods = await cluster.pods()
    listed = await cluster.admin.list(PERSISTENTVOLUMECLAIMS, PartialObject, "default")
    claims = {claim.metadata.name: claim.metadata for claim in listed.items}
    numbers = (
        status.replicas,
        status.ready_replicas,
        status.available_replicas,
        status.current_replicas,
        status.updated_replicas,
    )
    policy = of.spec.persistent_volume_claim_retention_policy
    owners = ["StatefulSet"] if policy and policy.when_deleted == "Delete" else []
    wanted = {f"data-web-{ordinal}" for ordinal in range(replicas)}
    return (
        status.observed_generation == of.metadata.generation
        and numbers == (replicas,) * 5
        and status.current_revision == status.update_revision
        and sorted(p.metadata.name for p in pods) == [f"web-{i}" for i in range(replicas)]
        and all(p.ready and p.spec.containers[0].image == image for p in pods)
        and not any(p.metadata.deletion_timestamp for p in pods)
        and wanted <= set(claims)
        and all([r.kind for r in claims[name].owner_references] == owners for name in wanted)
    )


async def experiment(seed: int) -> None:
    chance = Rng(seed).child("chaos")
    management = chance.choice(["OrderedReady", "Parallel"])
    story: list[str] = [management]
    async with simulated(seed, nodes=NODES, accounts=seed % 2 == 0) as cluster:
        await cluster.admin.create(STORAGECLASSES, STANDARD)
        tree = statefulset_tree(podManagementPolicy=management)
        await cluster.admin.create(STATEFULSETS, tree, "default")
        for _ in range(STEPS):
            story.append(f"{cluster.now_s:.3f} {await strike(cluster, chance)}")
            await cluster.clock.sleep(chance.choice([0.0, 0.0007, 0.01, 0.3, 2.0, 20.0, 90.0]))
        repair(cluster)
        with told(seed, story):
            await cluster.until(lambda: all_updated(cluster), within_s=60)
            await cluster.until(lambda: invariants_hold(cluster), within_s=600)
        await stays(cluster, invariants_hold)


async def all_updated(cluster: SimulatedCluster) -> bool:
    """Take the partition away: whatever it was, all pods have to be new in the end."""
    spec = {"updateStrategy": {"rollingUpdate": {"partition": 0}}}
    await cluster.admin.patch(STATEFULSETS, "web", {"spec": spec}, "default")
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_heals(seed: int) -> None:
    virtualtime.run(experiment(seed))


def test_the_check_fails_when_a_pod_is_missing() -> None:
    """The checker itself: a cluster whose controllers are away is not converged."""

    async def broken() -> bool:
        async with simulated(1, nodes=2) as cluster:
            await cluster.admin.create(STORAGECLASSES, STANDARD)
            await cluster.admin.create(STATEFULSETS, statefulset_tree(), "default")
            await cluster.until(lambda: invariants_hold(cluster), within_s=60)
            await cluster.kill("controller-manager")
            await cluster.admin.delete(PODS, "web-1", "default")
            await cluster.clock.sleep(60)
            return await invariants_hold(cluster)

    assert not virtualtime.run(broken())


def test_claims_go_with_what_owns_them() -> None:
    """With the pods that are scaled away, and with the StatefulSet (6.3)."""

    async def story() -> None:
        async with simulated(1, nodes=2) as cluster:
            await cluster.admin.create(STORAGECLASSES, STANDARD)
            policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
            tree = statefulset_tree(persistentVolumeClaimRetentionPolicy=policy)
            await cluster.admin.create(STATEFULSETS, tree, "default")
            await cluster.until(lambda: invariants_hold(cluster), within_s=60)

            async def has_claims(count: int) -> bool:
                found = await cluster.admin.list(PERSISTENTVOLUMECLAIMS, PartialObject, "default")
                return len(found.items) == count

            patch = {"spec": {"replicas": 1}}
            await cluster.admin.patch(STATEFULSETS, "web", patch, "default")
            await cluster.until(lambda: has_claims(1), within_s=60)
            assert await invariants_hold(cluster)
            await cluster.admin.delete(STATEFULSETS, "web", "default")
            await cluster.until(lambda: has_claims(0), within_s=60)
            assert await cluster.pods() == []

    virtualtime.run(story())


def test_what_happens_to_a_pod_is_said_in_upstream_s_words() -> None:
    async def story() -> set[str]:
        async with simulated(1, nodes=2) as cluster:
            await cluster.admin.create(STORAGECLASSES, STANDARD)
            await cluster.admin.create(STATEFULSETS, statefulset_tree(replicas=1), "default")
            await cluster.until(lambda: invariants_hold(cluster), within_s=60)
            await cluster.admin.patch(STATEFULSETS, "web", {"spec": {"replicas": 0}}, "default")
            await cluster.until(lambda: invariants_hold(cluster), within_s=60)
            reasons = ("SuccessfulCreate", "SuccessfulDelete")
            events = [one for reason in reasons for one in await cluster.events(reason)]
            assert {one["source"]["component"] for one in events} == {"statefulset-controller"}
            return {one["message"] for one in events}

    assert virtualtime.run(story()) == {
        "Create Claim data-web-0 Pod web-0 in StatefulSet web success",
        "Create Pod web-0 in StatefulSet web successful",
        "Delete Pod web-0 in StatefulSet web successful",
    }


def test_a_revision_has_the_name_that_kubernetes_gives_it() -> None:
    """The template of TestStatefulSetCompatibility, with the server's defaults."""
    container = {"name": "test", "image": "test", "env": [], "resources": {}}
    template = {
        "metadata": {"labels": {"app": "foo"}, "annotations": {"test": "value"}},
        "spec": {"containers": [container]},
    }
    selector = {"matchLabels": {"app": "foo"}}

    async def story() -> str:
        async with simulated(1, nodes=1) as cluster:
            tree = statefulset_tree(template=template, selector=selector, replicas=0)
            tree["metadata"]["name"] = "test"
            await cluster.admin.create(STATEFULSETS, tree, "default")

            async def revision() -> str:
                of = await cluster.admin.get(STATEFULSETS, StatefulSet, "test", "default")
                return of.status.update_revision

            async def has_revision() -> bool:
                return bool(await revision())

            await cluster.until(has_revision, within_s=60)
            return await revision()

    assert virtualtime.run(story()) == "test-776999688b"
