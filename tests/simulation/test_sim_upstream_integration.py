"""The rows of upstream's integration tests (spec daemonset-controller 14.4), on the whole cluster.

As there: a real API server, scheduler and DaemonSet controller, and no kubelets: nodes are objects
that the test makes, and pods run when the test says so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Pod
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.client.client import PatchKind
from kubeherd.controller.daemonset.history import new_revision
from kubeherd.controller.daemonset.template import Template
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import (
    SimulatedCluster,
    daemonset_tree,
    rolled_out,
)
from kubeherd.simulation.edges import Network

HASH = "controller-revision-hash"
STRATEGIES = pytest.mark.parametrize("strategy", ["OnDelete", "RollingUpdate"])
CONTROLLERS = "*,-node-lifecycle-controller,-taint-eviction-controller"


class Cluster:
    """The simulated cluster and what these tests do with it."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.sim = cluster
        self.admin = cluster.admin

    async def node(
        self,
        name: str,
        *,
        ready: bool = True,
        cpu: str = "8",
        taints: list[JsonObject] | None = None,
        unschedulable: bool = False,
        labels: dict[str, str] | None = None,
    ) -> None:
        """Make a node; its taints are exactly these."""
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        amounts = {"cpu": cpu, "memory": "32Gi", "pods": "110"}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [condition]}
        tree: JsonObject = {"metadata": {"name": name, "labels": labels or {}}, "status": status}
        await self.admin.create(NODES, {"apiVersion": "v1", "kind": "Node", **tree})
        spec = {"taints": taints or None, "unschedulable": unschedulable or None}
        await self.admin.patch(NODES, name, {"spec": spec}, kind=PatchKind.MERGE)

    async def daemonset(self, strategy: str = "RollingUpdate", **fields: Any) -> None:
        pod_spec = {"terminationGracePeriodSeconds": 0, **fields.pop("pod_spec", {})}
        tree = daemonset_tree(
            updateStrategy=fields.pop("update", {"type": strategy}), pod_spec=pod_spec
        )
        if cpu := fields.pop("cpu", ""):
            [container] = tree["spec"]["template"]["spec"]["containers"]
            container["resources"] = {"requests": {"cpu": cpu}}
        await self.admin.create(DAEMONSETS, tree, "default")

    async def pods(self) -> list[Pod]:
        """Pods that are neither over nor terminating."""
        return [
            pod
            for pod in await self.sim.pods()
            if pod.metadata.deletion_timestamp is None and not pod.terminal
        ]

    async def bound(self) -> list[Pod]:
        return [pod for pod in await self.pods() if pod.spec.node_name]

    async def until_bound(self, count: int) -> list[Pod]:
        async def right() -> bool:
            return len(await self.bound()) == count

        await self.sim.until(right, within_s=60, what=f"{count} bound pods")
        await self.sim.clock.sleep(2)
        pods = await self.bound()
        assert len(pods) == count
        return pods

    async def set_phase(self, pod: Pod, phase: str) -> None:
        status: JsonObject = {"phase": phase}
        if phase == "Running":
            status["conditions"] = [{"type": "Ready", "status": "True"}]
        await self.admin.patch(
            PODS, pod.metadata.name, {"status": status}, "default", subresource="status"
        )

    async def run_all(self) -> None:
        for pod in await self.bound():
            if not pod.ready:
                await self.set_phase(pod, "Running")

    async def until_ready(self, count: int) -> None:
        async def right() -> bool:
            return (await self.sim.daemonset("agent")).status.number_ready == count

        await self.sim.until(right, within_s=30, what=f"{count} ready in the status")

    async def revisions(self) -> list[ControllerRevision]:
        listed = await self.admin.list(CONTROLLERREVISIONS, ControllerRevision, "default")
        return list(listed.items)


@asynccontextmanager
async def without_kubelets(
    *, portable: bool = False, network: Network | None = None
) -> AsyncIterator[Cluster]:
    cluster = SimulatedCluster(1, portable=portable, network=network or Network())
    cluster.start_apiserver()
    cluster.start_manager(CONTROLLERS)
    await cluster.clock.sleep(5)
    try:
        yield Cluster(cluster)
    finally:
        for name in reversed(list(cluster.processes)):
            await cluster.kill(name)


@STRATEGIES
def test_one_node(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            await c.node("n")
            await c.daemonset(strategy)
            await c.until_bound(1)
            assert (await c.sim.daemonset("agent")).status.number_ready == 0
            await c.run_all()
            await c.until_ready(1)

    virtualtime.run(test())


@STRATEGIES
def test_five_nodes(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            for index in range(5):
                await c.node(f"n{index}")
            await c.daemonset(strategy)
            pods = await c.until_bound(5)
            assert len({pod.spec.node_name for pod in pods}) == 5
            uid = (await c.sim.daemonset("agent")).metadata.uid
            controllers = [pod.metadata.controller() for pod in pods]
            assert {(r.kind, r.uid) for r in controllers if r is not None} == {("DaemonSet", uid)}

    virtualtime.run(test())


@STRATEGIES
@pytest.mark.parametrize(
    ("phase", "finalizer"), [("Succeeded", False), ("Failed", False), ("Succeeded", True)]
)
def test_pods_that_ended_are_replaced(strategy: str, phase: str, finalizer: bool) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            for index in range(3):
                await c.node(f"n{index}")
            await c.daemonset(strategy)
            ended = (await c.until_bound(3))[0]
            name = ended.metadata.name
            await c.run_all()
            if finalizer:
                held = {"metadata": {"finalizers": ["test.example/hold"]}}
                await c.admin.patch(PODS, name, held, "default", kind=PatchKind.MERGE)
            await c.set_phase(ended, phase)
            await c.sim.clock.sleep(1)
            pods = await c.until_bound(3)
            assert name not in {pod.metadata.name for pod in pods}
            assert ended.spec.node_name in {pod.spec.node_name for pod in pods}
            old = [pod for pod in await c.sim.pods() if pod.metadata.name == name]
            assert len(old) == int(finalizer)
            assert all(pod.metadata.deletion_timestamp is not None for pod in old)

    virtualtime.run(test())


@STRATEGIES
def test_affinity_terms_are_ored(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            for index in range(5):
                await c.node(f"n{index}", labels={"zone": "test"} if index in (0, 1) else {})
            terms = [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["test"]}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n4"]}]},
            ]
            required = {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
            }
            await c.daemonset(strategy, pod_spec={"affinity": {"nodeAffinity": required}})
            pods = await c.until_bound(3)
            assert {pod.spec.node_name for pod in pods} == {"n0", "n1", "n4"}
            await c.run_all()
            await c.until_ready(3)

    virtualtime.run(test())


@STRATEGIES
def test_a_node_that_is_not_ready(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            await c.node("n", ready=False)
            await c.daemonset(strategy)
            await c.until_bound(1)

    virtualtime.run(test())


@STRATEGIES
def test_a_node_that_is_too_small(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            await c.node("small", cpu="100m")
            await c.daemonset(strategy, cpu="200m")
            await c.sim.clock.sleep(5)
            [pod] = await c.pods()
            assert pod.spec.node_name == ""
            condition = pod.status.condition("PodScheduled")
            assert condition is not None
            assert (condition.status, condition.reason) == ("False", "Unschedulable")
            await c.node("large", cpu="300m")
            await c.until_bound(1)
            assert len(await c.pods()) == 2
            await c.run_all()
            await c.until_ready(1)

    virtualtime.run(test())


def test_a_hash_collision() -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            await c.node("n")
            await c.daemonset()
            await c.until_bound(1)
            await c.run_all()
            tree = await c.sim.tree(DAEMONSETS, "agent", "default")
            tree["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2"
            future = msgspec.convert(tree, DaemonSet)
            colliding = new_revision(future, Template(future).data, 2)
            [first] = await c.revisions()
            colliding["data"] = first.data
            colliding["metadata"].pop("ownerReferences")
            colliding["metadata"]["labels"] = {"unrelated": "yes"}
            await c.admin.create(CONTROLLERREVISIONS, colliding, "default")
            containers = [{"name": "main", "image": "agent:2"}]
            change = {"spec": {"template": {"spec": {"containers": containers}}}}
            await c.admin.patch(DAEMONSETS, "agent", change, "default")

            async def rolled() -> bool:
                await c.run_all()
                pods = await c.bound()
                return [pod.spec.containers[0].image for pod in pods] == ["agent:2"]

            await c.sim.until(rolled, within_s=60, what="the new image")
            daemonset = await c.sim.daemonset("agent")
            assert daemonset.status.collision_count == 1
            names = {revision.metadata.name for revision in await c.revisions()}
            assert len(names - {colliding["metadata"]["name"], first.metadata.name}) == 1

    virtualtime.run(test())


def test_duplicate_histories_are_reduced_and_pods_relabelled() -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            await c.node("n")
            await c.daemonset()
            [pod] = await c.until_bound(1)
            [first] = await c.revisions()
            assert pod.metadata.labels[HASH] == first.metadata.labels[HASH]
            tree = await c.sim.tree(CONTROLLERREVISIONS, first.metadata.name, "default")
            metadata = {
                "name": "agent-copy",
                "labels": {**tree["metadata"]["labels"], HASH: "copy"},
                "ownerReferences": tree["metadata"]["ownerReferences"],
            }
            await c.admin.create(
                CONTROLLERREVISIONS, {**tree, "metadata": metadata, "revision": 2}, "default"
            )
            await c.run_all()  # a pod that changes wakes the controller

            async def reduced() -> bool:
                return [r.metadata.name for r in await c.revisions()] == ["agent-copy"]

            await c.sim.until(reduced, within_s=30, what="one revision")
            [same] = await c.pods()
            assert same.metadata.uid == pod.metadata.uid
            assert same.metadata.labels[HASH] == "copy"

    virtualtime.run(test())


@STRATEGIES
def test_a_tainted_node(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            await c.node("tainted", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
            await c.node("free")
            await c.daemonset(strategy)
            [pod] = await c.until_bound(1)
            assert pod.spec.node_name == "free"
            no_taints = {"spec": {"taints": None}}
            await c.admin.patch(NODES, "tainted", no_taints, kind=PatchKind.MERGE)
            await c.until_bound(2)

    virtualtime.run(test())


@STRATEGIES
def test_unschedulable_and_networkless_nodes_with_host_network(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            prefix = "node.kubernetes.io/"
            cordoned = {"key": prefix + "unschedulable", "effect": "NoSchedule"}
            await c.node("cordoned", unschedulable=True, taints=[cordoned])
            cut_off = {"key": prefix + "network-unavailable", "effect": "NoSchedule"}
            await c.node("cut-off", taints=[cut_off])
            await c.daemonset(strategy, pod_spec={"hostNetwork": True})
            pods = await c.until_bound(2)
            assert {pod.spec.node_name for pod in pods} == {"cordoned", "cut-off"}

    virtualtime.run(test())


class Quota(Network):
    """Refuses pods of the controllers beyond a number."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.left = limit

    async def call(self, client: str, request: ApiRequest, timeout_s: float) -> Any:
        if request.method == "POST" and request.path.endswith("/pods"):
            if self.left == 0:
                status = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}
                return ApiResponse(403, msgspec.json.encode({**status, "message": "quota"}))
            self.left -= 1
        return await super().call(client, request, timeout_s)


@STRATEGIES
def test_the_status_tells_the_truth_when_pods_cannot_be_created(strategy: str) -> None:
    async def test() -> None:
        async with without_kubelets(portable=True, network=Quota(2)) as c:
            for index in range(5):
                await c.node(f"n{index}")
            await c.daemonset(strategy)
            await c.until_bound(2)
            await c.run_all()
            await c.until_ready(2)
            status = (await c.sim.daemonset("agent")).status
            assert (status.desired_number_scheduled, status.current_number_scheduled) == (5, 2)
            assert status.number_unavailable == 3
            assert await c.sim.events("FailedCreate")

    virtualtime.run(test())


def test_a_surging_rollout_over_nodes_that_are_tolerated_or_not() -> None:
    async def test() -> None:
        async with without_kubelets() as c:
            for zone in ("y", "z", "common"):
                for index in range(2):
                    taint = {"key": f"zone-{zone}", "effect": "NoSchedule"}
                    await c.node(f"{zone}{index}", taints=[taint])

            def tolerating(*zones: str) -> JsonObject:
                return {
                    "tolerations": [{"key": f"zone-{zone}", "operator": "Exists"} for zone in zones]
                }

            async def switch(*zones: str) -> None:
                change = {"spec": {"template": {"spec": tolerating(*zones)}}}
                await c.admin.patch(DAEMONSETS, "agent", change, "default", kind=PatchKind.MERGE)

            async def finish(count: int) -> None:
                async def done() -> bool:
                    # Between two replacements there are as many, and all are ready.
                    await c.run_all()
                    return len(await c.bound()) == count and rolled_out(
                        await c.sim.daemonset("agent")
                    )

                await c.sim.until(done, within_s=120, what=f"{count} ready pods")
                await c.sim.clock.sleep(5)
                assert len(await c.pods()) == count

            surge = {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            }
            await c.daemonset(update=surge, pod_spec=tolerating("y", "common"))
            await c.until_bound(4)
            await finish(4)
            await switch("z", "common")
            await c.until_bound(7)
            await finish(4)
            await switch("y", "z", "common")
            await c.until_bound(7)
            await finish(6)
            await switch()
            await finish(0)

    virtualtime.run(test())
