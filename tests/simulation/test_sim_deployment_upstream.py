"""Upstream's integration tests of Deployments (test/integration/deployment), on the whole cluster.

There pods run when the test says so; here fake pods run at once, unless an annotation says not yet.
The controllers act as their own service accounts, so that their rights are tried as well.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kubeherd.cluster.api.errors import Invalid
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DEPLOYMENTS, PODS, REPLICASETS
from kubeherd.cluster.client.client import PatchKind
from kubeherd.controller.workload.apps import Deployment, DeploymentStatus, ReplicaSet
from kubeherd.controller.workload.gohash import template_hash
from kubeherd.simulation.cluster import SimulatedCluster, simulated
from kubeherd.simulation.virtualtime import virtual

PREFIX = "deployment.kubernetes.io/"
NEVER = {"kubeherd.io/ready-delay-seconds": "100000"}
"""Pods that do not become ready."""
STUBBORN = {"kubeherd.io/stop-delay-seconds": "250"}
"""Pods that take their time to go."""
HASH = "pod-template-hash"


def tree(name: str = "web", **spec: object) -> JsonObject:
    """A Deployment as upstream's newDeployment makes it."""
    labels = {"name": "test"}
    containers = [{"name": "fake-name", "image": "fakeimage"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            **spec,
        },
    }


def image(name: str, annotations: dict[str, str] | None = None) -> JsonObject:
    """A patch with a new template; without annotations the pods are as quick as they can be."""
    noted = {**dict.fromkeys((*NEVER, *STUBBORN)), **(annotations or {})}
    containers = [{"name": "fake-name", "image": name}]
    return {"template": {"metadata": {"annotations": noted}, "spec": {"containers": containers}}}


def budget(surge: int, unavailable: int) -> JsonObject:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}


class World:
    """The simulated cluster and what these tests do with it."""

    def __init__(self, sim: SimulatedCluster) -> None:
        self.sim = sim
        self.admin = sim.admin

    async def create(self, given: JsonObject) -> None:
        await self.admin.create(DEPLOYMENTS, given, "default")

    async def change(self, name: str = "web", **spec: object) -> None:
        await self.admin.patch(
            DEPLOYMENTS, name, {"spec": spec}, "default", kind=PatchKind.STRATEGIC
        )

    async def get(self, name: str = "web") -> Deployment:
        return await self.admin.get(DEPLOYMENTS, Deployment, name, "default")

    async def sets(self) -> dict[str, ReplicaSet]:
        """The ReplicaSets by the image of their pods."""
        found = (await self.admin.list(REPLICASETS, ReplicaSet, "default")).items
        return {one.spec.template["spec"]["containers"][0]["image"]: one for one in found}

    async def sizes(self) -> dict[str, int | None]:
        return {image: one.spec.replicas for image, one in (await self.sets()).items()}

    async def until(
        self, holds: Callable[[DeploymentStatus], bool], name: str = "web"
    ) -> Deployment:
        """Wait for a status of the newest generation."""

        async def seen() -> bool:
            found = await self.get(name)
            observed = found.status.observed_generation >= found.metadata.generation
            return observed and holds(found.status)

        await self.sim.until(seen, within_s=60)
        return await self.get(name)

    async def complete(self, name: str = "web", replicas: int = 3) -> Deployment:
        def holds(status: DeploymentStatus) -> bool:
            return (
                status.replicas == status.updated_replicas == status.available_replicas == replicas
            )

        return await self.until(holds, name)

    async def reason(self, type_: str) -> str:
        found = await self.get()
        return next((one.reason for one in found.status.conditions if one.type == type_), "")


@asynccontextmanager
async def world(nodes: int = 1) -> AsyncIterator[World]:
    async with simulated(1, nodes=nodes, accounts=True) as sim:
        yield World(sim)


@virtual
async def test_new_deployment() -> None:
    async with world() as w:
        given = tree()
        given["metadata"]["annotations"] = {
            "test": "should-copy-to-replica-set",
            "kubectl.kubernetes.io/last-applied-configuration": "should-not-copy",
        }
        await w.create(given)
        found = await w.complete()
        assert found.metadata.annotations[PREFIX + "revision"] == "1"
        new = (await w.sets())["fakeimage"]
        assert new.metadata.annotations == {
            "test": "should-copy-to-replica-set",
            PREFIX + "revision": "1",
            PREFIX + "desired-replicas": "3",
            PREFIX + "max-replicas": "4",
        }
        hash_ = new.metadata.labels[HASH]
        assert new.spec.template["metadata"]["labels"] == {"name": "test", HASH: hash_}
        pods = await w.sim.pods()
        assert all(pod.metadata.labels[HASH] == hash_ for pod in pods)


@virtual
async def test_rolling_update_back_and_forth() -> None:
    """TestDeploymentRollingUpdate: onward, back, and onward before the last one was complete."""
    async with world() as w:
        await w.create(tree(minReadySeconds=4, replicas=4))
        await w.complete(replicas=4)
        first = await w.sets()
        await w.change(**image("fakeimage2"))
        found = await w.complete(replicas=4)
        assert found.metadata.annotations[PREFIX + "revision"] == "2"
        await w.change(**image("fakeimage"))
        await w.complete(replicas=4)
        back = await w.sets()
        assert back["fakeimage"].metadata.uid == first["fakeimage"].metadata.uid
        assert back["fakeimage"].metadata.annotations[PREFIX + "revision"] == "3"
        assert back["fakeimage"].metadata.annotations[PREFIX + "revision-history"] == "1"
        for number in range(3, 6):
            await w.change(**image(f"fakeimage{number}"))
            await w.sim.clock.sleep(0.5)
        await w.complete(replicas=4)
        assert {i for i, size in (await w.sizes()).items() if size} == {"fakeimage5"}


@virtual
async def test_selector_immutability() -> None:
    async with world() as w:
        await w.create(tree())
        with pytest.raises(Invalid, match="field is immutable"):
            await w.change(selector={"matchLabels": {"name": "changed"}})


@virtual
async def test_paused_deployment() -> None:
    async with world() as w:
        await w.create(tree(paused=True))
        await w.until(lambda _: True)
        assert await w.sets() == {}
        await w.change(paused=False)
        await w.complete()
        await w.change(paused=True)
        await w.change(**image("fakeimage2"))
        await w.until(lambda _: True)
        await w.sim.clock.sleep(5)
        assert await w.sizes() == {"fakeimage": 3}


@virtual
async def test_scale_paused_deployment() -> None:
    async with world() as w:
        await w.create(tree())
        await w.complete()
        await w.change(paused=True, replicas=10)
        await w.complete(replicas=10)
        assert await w.sizes() == {"fakeimage": 10}


@virtual
async def test_hash_collision() -> None:
    """The name of the next ReplicaSet is taken by one that has nothing to do with it."""
    async with world() as w:
        await w.create(tree())
        await w.complete()
        wanted = (await w.get()).spec.template
        wanted["spec"]["containers"][0]["image"] = "fakeimage2"
        taken = f"web-{template_hash(wanted, None)}"
        labels = {"other": "labels"}
        template = {**wanted, "metadata": {"labels": labels}}
        other = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": taken, "namespace": "default", "labels": labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
        await w.admin.create(REPLICASETS, other, "default")
        await w.admin.patch(
            DEPLOYMENTS, "web", {"spec": {"template": {"spec": wanted["spec"]}}}, "default"
        )
        found = await w.complete()
        assert found.status.collision_count == 1
        assert found.metadata.annotations[PREFIX + "revision"] == "2"


@virtual
async def test_failed_deployment() -> None:
    async with world() as w:
        given = tree(progressDeadlineSeconds=1)
        given["spec"]["template"]["metadata"]["annotations"] = NEVER
        await w.create(given)

        async def failed() -> bool:
            return await w.reason("Progressing") == "ProgressDeadlineExceeded"

        await w.sim.until(failed, within_s=10)
        await w.change(progressDeadlineSeconds=5, **image("fakeimage2"))
        await w.complete()
        assert await w.reason("Progressing") == "NewReplicaSetAvailable"


@virtual
async def test_overlapping_deployments() -> None:
    async with world() as w:
        for name in ("first", "second"):
            await w.create(tree(name, replicas=1))
            await w.complete(name, replicas=1)
        await w.change("first", replicas=2)
        await w.complete("first", replicas=2)
        sets = (await w.admin.list(REPLICASETS, ReplicaSet, "default")).items
        owners = {one.metadata.owner_references[0].name: one.spec.replicas for one in sets}
        assert owners == {"first": 2, "second": 1}


@virtual
async def test_scaled_rollout() -> None:
    """Size and template change at the same time, while the rollout before stands still."""
    async with world() as w:
        await w.create(tree(replicas=10, **budget(3, 2)))
        await w.complete(replicas=10)
        await w.change(**image("fakeimage2", NEVER))
        await w.until(lambda status: status.updated_replicas == 5)
        assert await w.sizes() == {"fakeimage": 8, "fakeimage2": 5}
        assert (await w.get()).status.available_replicas >= 8
        await w.change(replicas=20, **image("fakeimage3"))
        await w.complete(replicas=20)
        sets = await w.sets()
        desired = {one.metadata.annotations[PREFIX + "desired-replicas"] for one in sets.values()}
        assert desired == {"20"}
        await w.change(**image("fakeimage4", NEVER))
        await w.until(lambda status: status.updated_replicas == 5)
        assert (await w.sizes())["fakeimage3"] == 18
        await w.change(replicas=5, **image("fakeimage5"))
        await w.complete(replicas=5)
        sets = await w.sets()
        for name in ("fakeimage3", "fakeimage4", "fakeimage5"):
            assert sets[name].metadata.annotations[PREFIX + "desired-replicas"] == "5"


@virtual
async def test_sizes_follow_the_spec_and_the_scale_subresource() -> None:
    """TestSpecReplicasChange, TestDeploymentScaleSubresource."""
    async with world() as w:
        await w.create(tree(replicas=2))
        await w.complete(replicas=2)
        for replicas in (4, 0, 2):
            await w.change(replicas=replicas)
            await w.complete(replicas=replicas)
        path = DEPLOYMENTS.path("default", "web", "scale")
        for replicas in (3, 0):
            scale = await w.admin.request("GET", path)
            scale["spec"]["replicas"] = replicas
            await w.admin.request("PUT", path, body=scale)
            await w.complete(replicas=replicas)
        generation = (await w.get()).metadata.generation
        await w.admin.patch(
            DEPLOYMENTS, "web", {"metadata": {"annotations": {"test": "1"}}}, "default"
        )
        await w.until(lambda status: status.observed_generation > generation)


@virtual
async def test_available_condition() -> None:
    async with world() as w:
        await w.create(tree(replicas=10, minReadySeconds=3600, progressDeadlineSeconds=7200))
        found = await w.until(lambda status: status.ready_replicas == 10)
        assert await w.reason("Available") == "MinimumReplicasUnavailable"
        status = found.status
        assert (status.available_replicas, status.unavailable_replicas) == (0, 10)
        assert status.terminating_replicas == 0
        await w.change(minReadySeconds=1)
        await w.complete(replicas=10)
        assert await w.reason("Available") == "MinimumReplicasAvailable"


@virtual
async def test_general_replica_set_adoption() -> None:
    """A ReplicaSet whose owners have no controller any more gets this one."""
    async with world() as w:
        await w.create(tree(replicas=1))
        found = await w.complete(replicas=1)
        name = (await w.sets())["fakeimage"].metadata.name
        path = REPLICASETS.path("default", name)
        other = {"uid": "1", "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}
        own = {**other, "uid": found.metadata.uid, "kind": "Deployment"}
        for reference, expected in ((own, 1), (other, 2)):
            live = await w.admin.request("GET", path)
            live["metadata"]["ownerReferences"] = [{**reference, "controller": False}]
            stored = await w.admin.update(REPLICASETS, live)
            assert len(stored["metadata"]["ownerReferences"]) == 1

            async def adopted() -> bool:
                now = await w.admin.get(REPLICASETS, ReplicaSet, name, "default")
                controller = now.metadata.controller()
                return controller is not None and controller.uid == found.metadata.uid

            await w.sim.until(adopted, within_s=10, step_s=0.001)
            live = await w.admin.request("GET", path)
            assert len(live["metadata"]["ownerReferences"]) == expected


@virtual
async def test_orphaning_and_adoption_when_labels_change() -> None:
    async with world() as w:
        await w.create(tree(replicas=1))
        await w.complete(replicas=1)
        name = (await w.sets())["fakeimage"].metadata.name
        path = REPLICASETS.path("default", name)
        for label, owners in (("changed", 0), ("test", 1)):
            await w.admin.patch(
                REPLICASETS, name, {"metadata": {"labels": {"name": label}}}, "default"
            )

            async def settled(owners: int = owners) -> bool:
                metadata = (await w.admin.request("GET", path))["metadata"]
                return len(metadata.get("ownerReferences") or ()) == owners

            await w.sim.until(settled, within_s=10)


@virtual
async def test_recreate_waits_for_pods_that_are_going() -> None:
    """TestRecreateDeploymentForPodReplacement, TestTerminatingReplicasDeploymentStatus."""
    async with world() as w:
        given = tree(replicas=6, strategy={"type": "Recreate"})
        template = given["spec"]["template"]
        template["metadata"]["annotations"] = STUBBORN
        template["spec"]["terminationGracePeriodSeconds"] = 300
        await w.create(given)
        await w.complete(replicas=6)
        await w.change(**image("fakeimage2", NEVER | STUBBORN))
        await w.until(lambda status: status.terminating_replicas == 6)
        await w.sim.clock.sleep(100)
        assert (await w.get()).status.replicas == 0
        assert await w.sizes() == {"fakeimage": 0}
        await w.sim.clock.sleep(160)
        await w.until(lambda status: status.replicas == 6 and status.terminating_replicas == 0)
        assert await w.sizes() == {"fakeimage": 0, "fakeimage2": 6}
        (pod, *_) = await w.sim.pods()
        await w.admin.delete(PODS, pod.metadata.name, "default")
        await w.until(lambda status: status.replicas == 6 and status.terminating_replicas == 1)
        await w.change(replicas=7)
        await w.until(lambda status: status.replicas == 7 and status.terminating_replicas == 1)
        await w.change(replicas=5)
        await w.until(lambda status: status.replicas == 5 and status.terminating_replicas == 3)


@virtual
async def test_proportional_scaling_does_not_wait_for_pods_that_are_going() -> None:
    """TestRollingUpdateAndProportionalScalingForDeploymentPodReplacement."""
    async with world() as w:
        given = tree(replicas=100, **budget(20, 0))
        given["spec"]["template"]["metadata"]["annotations"] = STUBBORN
        given["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 300
        await w.create(given)
        await w.complete(replicas=100)
        await w.change(**image("fakeimage2", NEVER))
        await w.until(lambda status: status.updated_replicas == 20)
        assert await w.sizes() == {"fakeimage": 100, "fakeimage2": 20}
        await w.change(replicas=120)
        await w.until(lambda status: status.replicas == 140)
        sets = await w.sets()
        assert await w.sizes() == {"fakeimage": 117, "fakeimage2": 23}
        for revision, one in (("1", sets["fakeimage"]), ("2", sets["fakeimage2"])):
            assert one.metadata.annotations == {
                PREFIX + "desired-replicas": "120",
                PREFIX + "max-replicas": "140",
                PREFIX + "revision": revision,
            }
