"""Claims, volumes and pods that use them, with crashes between any two steps; then all is bound."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers.podclaims import pod_claims
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.storageobjects import (
    CLAIMS,
    CLASSES,
    VOLUMES,
    PersistentVolume,
    PersistentVolumeClaim,
)
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, pod_tree, simulated

NODES = 3
STEPS = 30
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
LATE = "WaitForFirstConsumer"
CLASS_MODES = {"now": "Immediate", "late": LATE, "local": LATE}
FAULTS = ("controller-manager", "apiserver", "node-0")


def storage_class(name: str) -> JsonObject:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "rancher.io/local-path" if name == "local" else "kubeherd.io/fake",
        "volumeBindingMode": CLASS_MODES[name],
        "allowVolumeExpansion": True,
    }


def claim_tree(name: str, of_class: str, size: int) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{size}Gi"}},
            "storageClassName": of_class,
        },
    }


def volume_tree(name: str, of_class: str, size: int, policy: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": f"{size}Gi"},
            "storageClassName": of_class,
            "persistentVolumeReclaimPolicy": policy,
            "hostPath": {"path": f"/tmp/{name}"},
        },
    }


Act = Callable[[], Coroutine[Any, Any, object]]


class Story:
    """One experiment: what was done, and what was seen bound."""

    def __init__(self, cluster: SimulatedCluster, chance: Rng) -> None:
        self.cluster = cluster
        self.chance = chance
        self.told: list[str] = []
        self._number = 0
        self._bound: dict[str, str] = {}
        """By uid of the claim: a binding is for ever."""

    async def step(self) -> None:
        """One random fault, repair or change, and a pause of random length."""
        process = self.cluster.processes[self.chance.choice(FAULTS)]
        what = self.chance.choice(
            ["claim", "claim", "pod", "pod", "volume", "delete", "kill", "grow"]
        )
        if not process.alive:
            what = f"start {process.name}"
            self.cluster.start(process.name)
        elif what == "kill":
            what = f"kill {process.name}"
            await self.cluster.kill(process.name)
        else:
            what = await self._change(what)
        self.told.append(f"{self.cluster.now_s:.4f} {what}")
        await self.cluster.clock.sleep(self.chance.choice([0, 0.0005, 0.001, 0.002, 0.01, 0.5, 20]))

    async def _change(self, what: str) -> str:
        self._number += 1
        name, size = f"{what}-{self._number}", self.chance.randrange(1, 4)
        of_class = self.chance.choice(["now", "late", "local"])
        client = self.cluster.admin
        acts: dict[str, Act] = {
            "claim": lambda: client.create(CLAIMS, claim_tree(name, of_class, size)),
            "volume": lambda: client.create(
                VOLUMES,
                volume_tree(
                    name, of_class, size, self.chance.choice(["Delete", "Retain", "Recycle"])
                ),
            ),
            "pod": lambda: self._create_pod(name),
            "delete": self._delete,
            "grow": self._grow,
        }
        try:
            await acts[what]()
        except (ApiError, TransportError) as error:
            return f"{what} {name}: {error}"
        return f"{what} {name}"

    async def _create_pod(self, name: str) -> None:
        claims = [c for c in await self.claims() if c.metadata.deletion_timestamp is None]
        self.chance.shuffle(claims)
        local = [c for c in claims if c.storage_class == "local"][:1]  # two may be on two nodes
        used = [*local, *(c for c in claims if c.storage_class != "local")]
        names = [c.metadata.name for c in used[: self.chance.randrange(1, 4)]]
        volumes = [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in names]
        await self.cluster.admin.create(PODS, pod_tree(name, volumes=volumes))

    async def _delete(self) -> None:
        names = [(CLAIMS, c.metadata.name) for c in await self.claims()]
        names += [(PODS, p.metadata.name) for p in await self.cluster.pods()]
        if names:
            resource, name = self.chance.choice(names)
            await self.cluster.admin.delete(resource, name, "default")

    async def _grow(self) -> None:
        bound = [c for c in await self.claims() if c.phase == "Bound"]
        if bound:
            name = self.chance.choice(bound).metadata.name
            patch = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
            await self.cluster.admin.patch(CLAIMS, name, patch, "default")

    async def claims(self) -> list[PersistentVolumeClaim]:
        return list((await self.cluster.admin.list(CLAIMS, PersistentVolumeClaim)).items)

    async def volumes(self) -> list[PersistentVolume]:
        return list((await self.cluster.admin.list(VOLUMES, PersistentVolume)).items)

    async def check_bindings(self) -> None:
        """At any time: a binding is never changed, and no two claims have the same volume."""
        try:
            claims = await self.claims()
        except (ApiError, TransportError):
            return
        names = [claim.volume_name for claim in claims if claim.volume_name]
        assert len(set(names)) == len(names), "two claims have one volume"
        for claim in claims:
            if claim.volume_name:
                before = self._bound.setdefault(claim.metadata.uid, claim.volume_name)
                assert before == claim.volume_name, "a claim got another volume"

    async def settled(self) -> bool:
        """All that can be bound is, on both sides; nothing is left of what was deleted."""
        claims, volumes = await self.claims(), await self.volumes()
        pods = [p for p in await self.cluster.pods() if p.metadata.deletion_timestamp is None]
        used = {claim.name for pod in pods for claim in pod_claims(pod)}
        by_name = {volume.metadata.name: volume for volume in volumes}
        uids = {claim.metadata.uid for claim in claims}
        for claim in claims:
            if claim.metadata.deletion_timestamp is not None:
                if claim.metadata.name not in used:
                    return False
                continue
            if CLASS_MODES[claim.storage_class or ""] == LATE and not claim.volume_name:
                continue  # the pods say whether it has to be
            mine = by_name.get(claim.volume_name)
            if mine is None or mine.claim is None or mine.claim.uid != claim.metadata.uid:
                return False
            if (claim.phase, mine.phase) != ("Bound", "Bound") or claim.capacity < claim.request:
                return False
        for volume in volumes:
            lost = volume.claim is not None and volume.claim.uid not in uids
            if lost and (volume.reclaim_policy, volume.phase) != ("Retain", "Released"):
                return False
        there = {
            claim.metadata.name for claim in claims if claim.metadata.deletion_timestamp is None
        }
        return all(pod.ready or any(c.name not in there for c in pod_claims(pod)) for pod in pods)

    async def versions(self) -> set[tuple[str, str]]:
        objects = [*await self.claims(), *await self.volumes()]
        return {(o.metadata.name, o.metadata.resource_version) for o in objects}


async def experiment(seed: int) -> None:
    chance = Rng(seed).child("volumes")
    async with simulated(seed, nodes=NODES, accounts=chance.choice([True, False])) as cluster:
        story = Story(cluster, chance)
        for name in CLASS_MODES:
            await cluster.admin.create(CLASSES, storage_class(name))
        for _ in range(STEPS):
            await story.step()
            await story.check_bindings()
        for name, process in cluster.processes.items():
            if not process.alive:
                cluster.start(name)
        try:
            await cluster.until(story.settled, within_s=400)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}:\n" + "\n".join(story.told)) from error
        await story.check_bindings()
        await cluster.clock.sleep(60)
        before = await story.versions()
        await cluster.clock.sleep(120)
        assert await story.versions() == before, "settled, and yet something is written"


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_crashes_all_is_bound_in_the_end(seed: int) -> None:
    virtualtime.run(experiment(seed))


def test_the_check_fails_without_a_binder() -> None:
    async def broken() -> bool:
        async with simulated(1, nodes=1) as cluster:
            story = Story(cluster, Rng(1))
            await cluster.admin.create(CLASSES, storage_class("now"))
            await cluster.kill("controller-manager")
            await cluster.admin.create(CLAIMS, claim_tree("c", "now", 1))
            await cluster.clock.sleep(60)
            return await story.settled()

    assert not virtualtime.run(broken())
