"""An autoscaler, a disruption budget and evictions through crashes; then it all must agree."""

import os

import pytest
from chaosworld import repair, told

from kubeherd.cluster.api.errors import ApiError, TooManyRequests
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import (
    HORIZONTALPODAUTOSCALERS,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
)
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, pod_tree, simulated

STEPS = 20
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
CONTROLLERS = (
    "disruption-controller,horizontal-pod-autoscaler-controller,scheduler,"
    "node-lifecycle-controller,taint-eviction-controller,garbage-collector-controller"
)
"""Without the controller of ReplicaSets: the test makes their pods."""
LABELS = {"app": "web"}
MOST = 8


async def set_up(cluster: SimulatedCluster) -> None:
    admin = cluster.admin
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    await admin.create(
        REPLICASETS,
        {"metadata": {"name": "web"},
         "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template}},
        "default",
    )  # fmt: skip
    target = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"}
    utilization = {"type": "Utilization", "averageUtilization": 50}
    await admin.create(
        HORIZONTALPODAUTOSCALERS,
        {"metadata": {"name": "web"},
         "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": MOST,
                  "metrics": [{"type": "Resource",
                               "resource": {"name": "cpu", "target": utilization}}]}},
        "default",
    )  # fmt: skip
    await admin.create(
        PODDISRUPTIONBUDGETS,
        {"metadata": {"name": "web"},
         "spec": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}},
        "default",
    )  # fmt: skip


async def replicaset(cluster: SimulatedCluster) -> JsonObject:
    return await cluster.tree(REPLICASETS, "web", "default")


async def make_pods(cluster: SimulatedCluster, chance: Rng, milli: int) -> None:
    """What the controller of ReplicaSets would do."""
    tree = await replicaset(cluster)
    wanted = int(tree["spec"].get("replicas", 0))
    pods = [pod for pod in await cluster.pods() if pod.metadata.deletion_timestamp is None]
    owner = {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
        "uid": tree["metadata"]["uid"], "controller": True,
    }  # fmt: skip
    for _ in range(wanted - len(pods)):
        more = pod_tree(
            f"web-{chance.randrange(10**9)}",
            annotations={"kubeherd.io/cpu-usage": f"{milli}m"},
            containers=[{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}],
        )
        more["metadata"].update(labels=LABELS, ownerReferences=[owner])
        await cluster.admin.create(PODS, more, "default")
    for pod in pods[wanted:]:
        await cluster.admin.delete(PODS, pod.metadata.name, "default")
    status = {"status": {"replicas": wanted}}
    await cluster.admin.patch(
        REPLICASETS, "web", status, "default", kind=PatchKind.MERGE, subresource="status"
    )


async def use(cluster: SimulatedCluster, milli: int) -> None:
    """From now on each pod uses so much."""
    patch = {"metadata": {"annotations": {"kubeherd.io/cpu-usage": f"{milli}m"}}}
    for pod in await cluster.pods():
        await cluster.admin.patch(PODS, pod.metadata.name, patch, "default", kind=PatchKind.MERGE)


async def evict(cluster: SimulatedCluster, chance: Rng) -> None:
    pods = await cluster.pods()
    if pods:
        name = chance.choice(pods).metadata.name
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        path = PODS.path("default", name, "eviction")
        await cluster.admin.request("POST", path, body=body)


async def strike(cluster: SimulatedCluster, chance: Rng) -> str:
    """One random fault, repair or change; returns what it was."""
    name = chance.choice(["apiserver", "controller-manager"])
    if not cluster.processes[name].alive:
        start(cluster, name)
        return f"start {name}"
    what = chance.choice(["kill", "cut", "heal", "evict", "evict", "load", "pods", "pods", "wait"])
    try:
        if what == "kill":
            await cluster.kill(name)
        elif what == "cut":
            cluster.partition("controller-manager")
        elif what == "heal":
            cluster.heal()
        elif what == "evict":
            await evict(cluster, chance)
        elif what == "load":
            await use(cluster, chance.choice([10, 50, 100, 400]))
        elif what == "pods":
            await make_pods(cluster, chance, chance.choice([10, 50, 100]))
    except TooManyRequests:
        return f"{what} was refused"
    except (ApiError, TransportError):
        return f"{what} got no answer"
    return f"{what} {name}"


def start(cluster: SimulatedCluster, name: str) -> None:
    if name == "apiserver":
        cluster.start_apiserver()
    else:
        cluster.start_manager(CONTROLLERS)


async def agrees(cluster: SimulatedCluster, replicas: int) -> bool:
    """The replicas are what the load asks for, and the budget counts them."""
    autoscaler = (await cluster.tree(HORIZONTALPODAUTOSCALERS, "web", "default"))["status"]
    budget = (await cluster.tree(PODDISRUPTIONBUDGETS, "web", "default"))["status"]
    spec = (await replicaset(cluster))["spec"]
    pods = await cluster.pods()
    healthy = sum(pod.ready for pod in pods)
    return (
        spec["replicas"] == autoscaler["desiredReplicas"] == replicas == len(pods)
        and budget["expectedPods"] == replicas
        and budget["currentHealthy"] == healthy == replicas
        and budget["disruptionsAllowed"] == 1
        and not budget.get("disruptedPods")
    )


async def experiment(seed: int) -> None:
    chance = Rng(seed).child("chaos")
    story: list[str] = []
    async with simulated(seed, nodes=3, accounts=True) as cluster:
        await cluster.kill("controller-manager")
        start(cluster, "controller-manager")
        await set_up(cluster)
        for _ in range(STEPS):
            story.append(f"{cluster.now_s:.3f} {await strike(cluster, chance)}")
            await cluster.clock.sleep(chance.choice([0.0, 0.0007, 0.01, 0.3, 16.0, 61.0]))
        repair(cluster, start)
        await cluster.until_ready("node-0", "node-1", "node-2", within_s=200)
        milli, replicas = chance.choice([(1, 2), (400, MOST)])

        async def settled() -> bool:
            await make_pods(cluster, chance, milli)
            await use(cluster, milli)
            return await agrees(cluster, replicas)

        with told(seed, story):
            await cluster.until(settled, within_s=1200, step_s=20)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_load_and_budget_agree(seed: int) -> None:
    virtualtime.run(experiment(seed))


def test_the_check_fails_when_nobody_scales() -> None:
    """The checker itself: without controllers nothing agrees."""

    async def broken() -> bool:
        async with simulated(1, nodes=2) as cluster:
            await cluster.kill("controller-manager")
            cluster.start_manager("scheduler")
            await set_up(cluster)
            await make_pods(cluster, Rng(1), 50)
            await cluster.clock.sleep(120)
            tree = await cluster.tree(PODDISRUPTIONBUDGETS, "web", "default")
            return "disruptionsAllowed" in tree["status"] and await agrees(cluster, 2)

    assert not virtualtime.run(broken())
