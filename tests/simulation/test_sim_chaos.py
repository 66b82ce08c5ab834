"""Random crashes, partitions and rollouts from a seed; then everything heals and must converge."""

import os

import pytest
from chaosworld import hurt, repair, stays, told

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.kinds import DAEMONSETS, PODS
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, rolled_out, simulated

NODES = 5
STEPS = 25
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "6")))
"""A longer search: ``KUBEHERD_SIM_SEEDS=500 pytest tests/simulation/test_sim_chaos.py``."""


async def strike(cluster: SimulatedCluster, chance: Rng) -> str:
    """One random fault, repair or change; returns what it was."""
    name = chance.choice(["apiserver", "controller-manager", *(f"node-{i}" for i in range(NODES))])
    process = cluster.processes[name]
    if not process.alive:
        cluster.start(name)
        return f"start {name}"
    what = chance.choice(["kill", "kill", "cut", "heal", "roll", "roll", "wait"])
    await hurt(cluster, what, name)
    if what == "roll":
        image = f"agent:{chance.randrange(1, 6)}"
        containers = [{"name": "main", "image": image}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        try:
            await cluster.admin.patch(DAEMONSETS, "agent", patch, "default")
        except (ApiError, TransportError):
            return f"roll {image} got no answer"
        return f"roll {image}"
    return f"{what} {name}"


async def invariants_hold(cluster: SimulatedCluster) -> bool:
    """Exactly one ready pod of the newest template on every node, none elsewhere or going."""
    daemonset = await cluster.daemonset("agent")
    image = daemonset.spec.template["spec"]["containers"][0]["image"]
    pods = await cluster.pods()
    return (
        rolled_out(daemonset)
        and sorted(p.spec.node_name for p in pods) == sorted(await cluster.nodes())
        and all(p.ready and p.spec.containers[0].image == image for p in pods)
        and not any(p.metadata.deletion_timestamp for p in pods)
    )


async def experiment(seed: int) -> None:
    chance = Rng(seed).child("chaos")
    strategy = chance.choice([{"maxUnavailable": 1}, {"maxUnavailable": "60%"},
                              {"maxSurge": 2, "maxUnavailable": 0}])  # fmt: skip
    story: list[str] = []
    async with simulated(seed, nodes=NODES) as cluster:
        tree = daemonset_tree(
            updateStrategy={"rollingUpdate": strategy},
            annotations={"kubeherd.io/ready-delay-seconds": "0.5"},
        )
        await cluster.admin.create(DAEMONSETS, tree, "default")
        for _ in range(STEPS):
            story.append(f"{cluster.now_s:.3f} {await strike(cluster, chance)}")
            await cluster.clock.sleep(chance.choice([0.0, 0.0007, 0.01, 0.3, 2.0, 20.0, 90.0]))
        repair(cluster)
        with told(seed, story):
            await cluster.until(lambda: invariants_hold(cluster), within_s=400)
        await stays(cluster, invariants_hold)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_heals(seed: int) -> None:
    virtualtime.run(experiment(seed))


def test_the_check_fails_when_a_node_has_no_pod() -> None:
    """The checker itself: a cluster whose controllers are away is not converged."""

    async def broken() -> bool:
        async with simulated(1, nodes=2) as cluster:
            await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
            await cluster.until_rolled_out("agent")
            assert await invariants_hold(cluster)
            await cluster.kill("controller-manager")
            (first, *_) = await cluster.pods()
            await cluster.admin.delete(
                PODS,
                first.metadata.name,
                "default",
            )
            await cluster.clock.sleep(60)
            return await invariants_hold(cluster)

    assert not virtualtime.run(broken())
