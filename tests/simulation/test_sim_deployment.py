"""Rollouts, scaling, pauses and rollbacks of a Deployment while everything crashes at any moment.

Whatever happened: once all is repaired there is one active ReplicaSet, of the newest template, with
just the desired pods, all of them ready; and it stays so.
"""

import os

import pytest
from chaosworld import hurt, repair, stays, told

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DEPLOYMENTS, PODS, REPLICASETS
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.workload.apps import Deployment, ReplicaSet
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, simulated

NODES = 3
STEPS = 25
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
"""A longer search: ``KUBEHERD_SIM_SEEDS=200 pytest tests/simulation/test_sim_deployment.py``."""

STRATEGIES: list[JsonObject] = [
    {"type": "Recreate"},
    {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
    {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}},
]


def deployment_tree(strategy: JsonObject, **spec: object) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": strategy,
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": {"kubeherd.io/ready-delay-seconds": "0.5"},
                },
                "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            },
            **spec,
        },
    }


def change(chance: Rng) -> tuple[str, JsonObject]:
    """What a user does next, and the patch for it."""
    what = chance.choice(["roll", "roll", "roll", "scale", "pause", "resume", "restart", "undo"])
    if what == "roll":
        image = f"web:{chance.randrange(1, 5)}"
        containers = [{"name": "main", "image": image}]
        return f"roll {image}", {"spec": {"template": {"spec": {"containers": containers}}}}
    if what == "scale":
        replicas = chance.randrange(0, 6)
        return f"scale {replicas}", {"spec": {"replicas": replicas}}
    if what == "restart":
        noted = {"kubectl.kubernetes.io/restartedAt": str(chance.randrange(1000))}
        return what, {"spec": {"template": {"metadata": {"annotations": noted}}}}
    if what == "undo":
        return what, {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "0"}}}
    return what, {"spec": {"paused": what == "pause"}}


async def strike(cluster: SimulatedCluster, chance: Rng) -> str:
    """One random fault, repair or change; returns what it was."""
    name = chance.choice(["apiserver", "controller-manager", *(f"node-{i}" for i in range(NODES))])
    process = cluster.processes[name]
    if not process.alive:
        cluster.start(name)
        return f"start {name}"
    what = chance.choice(["kill", "kill", "cut", "heal", "change", "change", "change", "wait"])
    await hurt(cluster, what, name)
    if what == "change":
        told, patch = change(chance)
        try:
            await cluster.admin.patch(DEPLOYMENTS, "web", patch, "default")
        except (ApiError, TransportError):
            return f"{told} got no answer"
        return told
    return f"{what} {name}"


async def rolled_out(cluster: SimulatedCluster) -> bool:
    """The newest template has all pods and its ReplicaSet the highest revision."""
    found = await cluster.admin.get(DEPLOYMENTS, Deployment, "web", "default")
    sets = (await cluster.admin.list(REPLICASETS, ReplicaSet, "default")).items
    pods = await cluster.pods()
    replicas, status = found.spec.replicas, found.status
    image = found.spec.template["spec"]["containers"][0]["image"]
    active = [one for one in sets if one.spec.replicas]
    revisions = [int(one.metadata.annotations["deployment.kubernetes.io/revision"]) for one in sets]
    return (
        status.observed_generation == found.metadata.generation
        and status.replicas == status.updated_replicas == status.available_replicas == replicas
        and not status.unavailable_replicas
        and len(active) == (1 if replicas else 0)
        and all(one.spec.template["spec"]["containers"][0]["image"] == image for one in active)
        and found.metadata.annotations["deployment.kubernetes.io/revision"] == str(max(revisions))
        and len(set(revisions)) == len(revisions)
        and len(pods) == replicas
        and all(p.ready and p.spec.containers[0].image == image for p in pods)
        and not any(p.metadata.deletion_timestamp for p in pods)
    )


async def experiment(seed: int) -> None:
    chance = Rng(seed).child("deployment-chaos")
    story: list[str] = []
    async with simulated(seed, nodes=NODES) as cluster:
        tree = deployment_tree(
            chance.choice(STRATEGIES),
            progressDeadlineSeconds=chance.choice([20, 600]),
            revisionHistoryLimit=chance.choice([1, 10]),
        )
        await cluster.admin.create(DEPLOYMENTS, tree, "default")
        for _ in range(STEPS):
            story.append(f"{cluster.now_s:.3f} {await strike(cluster, chance)}")
            await cluster.clock.sleep(chance.choice([0.0, 0.0007, 0.01, 0.3, 2.0, 20.0, 90.0]))
        repair(cluster)
        await cluster.until(lambda: resumed(cluster), within_s=120)
        with told(seed, story):
            await cluster.until(lambda: rolled_out(cluster), within_s=600)
        await stays(cluster, rolled_out)


async def resumed(cluster: SimulatedCluster) -> bool:
    await cluster.admin.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}}, "default")
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_a_rollout_ends(seed: int) -> None:
    virtualtime.run(experiment(seed))


def test_the_check_fails_while_the_controllers_are_away() -> None:
    """The checker itself: a pod that nobody makes again is seen to be missing."""

    async def broken() -> bool:
        async with simulated(1, nodes=2) as cluster:
            await cluster.admin.create(DEPLOYMENTS, deployment_tree(STRATEGIES[1]), "default")
            await cluster.until(lambda: rolled_out(cluster), within_s=60)
            await cluster.kill("controller-manager")
            (first, *_) = await cluster.pods()
            await cluster.admin.delete(PODS, first.metadata.name, "default")
            await cluster.clock.sleep(60)
            return await rolled_out(cluster)

    assert not virtualtime.run(broken())
