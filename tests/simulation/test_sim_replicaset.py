"""ReplicaSets and ReplicationControllers through crashes, partitions and scaling, from a seed.

In the end everything heals, and each has exactly the pods that it wants. At no moment does one
have more pods than were ever wanted: a crash between a create and its answer makes no second pod.
"""

import os
from contextlib import suppress
from functools import partial

import msgspec
import pytest
from chaosworld import hurt, repair

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers.podutil import is_active
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS, REPLICASETS, REPLICATIONCONTROLLERS, Resource
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.workload.apps import ReplicaSetStatus
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, simulated

NODES = 3
STEPS = 20
MOST = 9
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
SETS: dict[str, Resource] = {"new": REPLICASETS, "old": REPLICATIONCONTROLLERS}


def tree(name: str, replicas: int) -> JsonObject:
    labels = {"app": name}
    selector = {"matchLabels": labels} if SETS[name] is REPLICASETS else labels
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "minReadySeconds": 3,
            "selector": selector,
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"kubeherd.io/ready-delay-seconds": "0.5"},
                },
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }


class Experiment:
    """A cluster, what is done to it, and what must hold meanwhile."""

    def __init__(self, cluster: SimulatedCluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = Rng(seed).child("replicasets")
        self.wanted = {name: self.chance.randrange(1, MOST) for name in SETS}
        self.highest = dict(self.wanted)
        self.story: list[str] = []

    async def strike(self) -> str:
        """One random fault, repair or change; returns what it was."""
        cluster, chance = self.cluster, self.chance
        processes = ["apiserver", "controller-manager", *(f"node-{i}" for i in range(NODES))]
        name = chance.choice(processes)
        if not cluster.processes[name].alive:
            cluster.start(name)
            return f"start {name}"
        what = chance.choice(["kill", "kill", "cut", "heal", "scale", "scale", "delete", "relabel"])
        if what in ("kill", "cut", "heal"):
            await hurt(cluster, what, name)
        else:
            try:
                return await self.change(what)
            except (ApiError, TransportError):
                return f"{what} got no answer"
        return f"{what} {name}"

    async def change(self, what: str) -> str:
        admin, name = self.cluster.admin, self.chance.choice(list(SETS))
        if what == "scale":
            wanted = self.wanted[name] = self.chance.randrange(0, MOST)
            self.highest[name] = max(wanted, self.highest[name])
            await admin.patch(SETS[name], name, {"spec": {"replicas": wanted}}, "default")
            return f"scale {name} to {wanted}"
        pods = await self.cluster.pods()
        if not pods:
            return f"nothing to {what}"
        chosen = self.chance.choice(pods).metadata.name
        if what == "delete":
            await admin.delete(PODS, chosen, "default")
        else:
            await admin.patch(PODS, chosen, {"metadata": {"labels": {"app": "stray"}}}, "default")
        return f"{what} {chosen}"

    async def run(self) -> None:
        cluster, chance = self.cluster, self.chance
        for name, resource in SETS.items():
            await cluster.admin.create(resource, tree(name, self.wanted[name]), "default")
        for _ in range(STEPS):
            self.story.append(f"{cluster.now_s:.3f} {await self.strike()}")
            await cluster.clock.sleep(chance.choice([0.0, 0.0007, 0.01, 0.3, 2.0, 20.0, 90.0]))
            with suppress(ApiError, TransportError):
                await self.check_excess()
        repair(cluster)
        for name in SETS:
            self.story.append(f"{name} wants {self.wanted[name]}")
            patch = {"spec": {"replicas": self.wanted[name]}}
            await cluster.until(partial(self.set_, name, patch), within_s=60)
        await cluster.until(self.converged, within_s=400)
        # and it stays so: no pod is replaced without a reason
        before = await self.controlled()
        await cluster.clock.sleep(120)
        assert await self.controlled() == before, "pods were replaced"
        assert await self.converged(), "it did not stay as it was"

    async def controlled(self) -> set[str]:
        """The UIDs of all pods but strays: those may still be ending."""
        pods = await self.cluster.pods()
        return {each.metadata.uid for each in pods if each.metadata.controller() is not None}

    async def set_(self, name: str, patch: JsonObject) -> bool:
        await self.cluster.admin.patch(SETS[name], name, patch, "default")
        return True

    async def check_excess(self) -> None:
        """No more pods than were ever wanted, whatever answers got lost."""
        pods = await self.cluster.pods()
        for name, resource in SETS.items():
            stored = await self.cluster.tree(resource, name, "default")
            mine = [each for each in pods if owned(each, stored) and is_active(each)]
            assert len(mine) <= self.highest[name], f"{name} has {len(mine)} pods"

    async def converged(self) -> bool:
        """Each has exactly the pods that it wants, all available, and says so."""
        pods = await self.cluster.pods()
        for name, resource in SETS.items():
            stored = await self.cluster.tree(resource, name, "default")
            mine = [each for each in pods if owned(each, stored)]
            status = msgspec.convert(stored["status"], ReplicaSetStatus)
            wanted = self.wanted[name]
            counts = (status.replicas, status.ready_replicas, status.available_replicas)
            if (
                len(mine) != wanted
                or not all(serves(each, name) for each in mine)
                or counts != (wanted, wanted, wanted)
                or status.observed_generation != stored["metadata"]["generation"]
                or status.conditions
            ):
                return False
        return True


def serves(found: Pod, name: str) -> bool:
    return is_active(found) and found.ready and found.metadata.labels["app"] == name


def owned(found: Pod, stored: JsonObject) -> bool:
    controller = found.metadata.controller()
    return controller is not None and controller.uid == stored["metadata"]["uid"]


async def experiment(seed: int) -> None:
    async with simulated(seed, nodes=NODES) as cluster:
        one = Experiment(cluster, seed)
        try:
            await one.run()
        except AssertionError as error:
            story = "\n".join(one.story)
            raise AssertionError(f"seed {seed}: {error} after:\n{story}") from error


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_heals(seed: int) -> None:
    virtualtime.run(experiment(seed))


def test_the_check_fails_when_a_pod_is_missing() -> None:
    """The checker itself: a cluster whose controllers are away is not converged."""

    async def broken() -> bool:
        async with simulated(1, nodes=NODES) as cluster:
            one = Experiment(cluster, 1)
            for name, resource in SETS.items():
                await cluster.admin.create(resource, tree(name, one.wanted[name]), "default")
            await cluster.until(one.converged, within_s=120)
            await cluster.kill("controller-manager")
            (first, *_) = await cluster.pods()
            await cluster.admin.delete(PODS, first.metadata.name, "default")
            await cluster.clock.sleep(60)
            return await one.converged()

    assert not virtualtime.run(broken())
