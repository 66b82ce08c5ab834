"""The simulated cluster keeps every promise that its writes speak of, seen from inside and out."""

import asyncio
from pathlib import Path
from typing import Any

from recording import RecordingDisk

from kubeherd.chaos.checking import live, usercheckers
from kubeherd.checks.checker import Verdict, Watcher, check
from kubeherd.checks.registry import Kind, of_kind
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import (
    CONFIGMAPS,
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    SERVICES,
    STATEFULSETS,
)
from kubeherd.history import Began, Step, files
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import ADMIN, SimulatedCluster, daemonset_tree, simulated
from kubeherd.simulation.edges import InProcessTransport

NODES = ("node-0", "node-1")
SPOKEN_OF = {
    "names-and-uids-never-come-back", "revisions-and-generations-grow", "immutable-fields-stay",
    "finalizers-respected", "one-owner-controls", "namespaces-are-empty-when-they-go",
    "pods-bound-where-they-may-run", "daemonset-one-pod-per-node", "daemonset-budget",
    "replicaset-deletes-only-surplus", "deployment-budget", "statefulset-one-pod-per-identity",
    "statefulset-in-order",
    "job-counts-once", "service-addresses-are-given-once", "nodes-recover", "daemonsets-settle",
    "replicasets-settle", "deployments-settle", "statefulsets-settle", "jobs-finish",
    "what-is-deleted-goes", "orphans-are-collected", "controllers-stop-writing",
}  # fmt: skip


def workload(kind: str, name: str, **spec: Any) -> JsonObject:
    labels = {"app": name}
    pod: JsonObject = {"containers": [{"name": "main", "image": "a:1"}]}
    if kind == "Job":
        pod["restartPolicy"] = "Never"
    else:
        spec["selector"] = {"matchLabels": labels}
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": pod}, **spec},
    }


async def day(cluster: SimulatedCluster) -> None:
    """All workloads come, roll and shrink while a node dies and returns."""
    admin = cluster.admin
    roll = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "a:2"}]}}}}
    await admin.create(NAMESPACES, {"metadata": {"name": "shop"}})
    service = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}
    await admin.create(SERVICES, service)
    await admin.create(DAEMONSETS, daemonset_tree())
    await admin.create(DEPLOYMENTS, workload("Deployment", "web", replicas=4))
    await admin.create(STATEFULSETS, workload("StatefulSet", "db", replicas=2, serviceName="db"))
    job = workload("Job", "sum", completions=3)
    job["spec"]["template"]["metadata"]["annotations"] = {"kubeherd.io/run-for-seconds": "1"}
    await admin.create(JOBS, job)
    await cluster.clock.sleep(60)
    for resource, name in ((DAEMONSETS, "agent"), (DEPLOYMENTS, "web"), (STATEFULSETS, "db")):
        await admin.patch(resource, name, roll, "default")
    await cluster.clock.sleep(3)
    await cluster.kill("node-1")
    await cluster.clock.sleep(70)
    await admin.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 2}}, "default")
    await admin.delete(NAMESPACES, "shop")
    await admin.delete(PODS, "db-0", "default")
    cluster.start("node-1")
    await cluster.clock.sleep(60)


def looked_at(verdict: Verdict) -> set[str]:
    assert not verdict.violations
    return {one.name for one in verdict.checked if one.looked_at}


def test_from_inside() -> None:
    watcher = Watcher(of_kind(Kind.SAFETY, Kind.LIVENESS))

    async def scenario() -> None:
        disk = RecordingDisk(watcher.see)
        watcher.see(Began(at=0.0, source="simulation"))
        cluster = SimulatedCluster(3, disk=disk)
        cluster.start_apiserver()
        cluster.start_manager()
        for name in NODES:
            cluster.start_node(name)
        await cluster.until_ready(*NODES)
        await day(cluster)
        for step in ("heal", "quiet", "settled"):
            watcher.see(Step(at=disk.now(), name=step))
            await cluster.clock.sleep(20)
        for name in reversed(list(cluster.processes)):
            await cluster.kill(name)

    virtualtime.run(scenario())
    assert looked_at(watcher.verdict) >= SPOKEN_OF


def test_from_outside() -> None:
    """By lists and watches that any Kubernetes has."""

    async def scenario() -> live.Found:
        async with simulated(4, NODES) as cluster:
            plan = live.Plan(
                checkers=of_kind(Kind.SAFETY, Kind.LIVENESS), speed=1.0, for_s=240, settled=True
            )
            transport = InProcessTransport(cluster.network, "check", ADMIN)
            seen: list[int] = []
            watching = asyncio.create_task(live.watch(plan, transport, cluster.clock, seen.append))
            while not seen:
                await cluster.clock.sleep(0.1)
            await day(cluster)
            return await watching

    found = virtualtime.run(scenario())
    assert not found.notes
    assert looked_at(found.verdict) >= SPOKEN_OF - {"controllers-stop-writing"}


def test_a_violation_ends_the_watching_and_is_in_the_record(tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    expression = usercheckers.from_cel("object.data.value != 'bad'", "configmaps")

    async def scenario() -> live.Found:
        async with simulated(5) as cluster:
            plan = live.Plan(checkers=[expression], record=record)
            transport = InProcessTransport(cluster.network, "check", ADMIN)
            seen: list[int] = []
            watching = asyncio.create_task(live.watch(plan, transport, cluster.clock, seen.append))
            while not seen:
                await cluster.clock.sleep(0.1)
            for value in ("good", "bad", "late"):
                tree = {"metadata": {"name": value}, "data": {"value": value}}
                await cluster.admin.create(CONFIGMAPS, tree, "default")
            return await watching

    found = virtualtime.run(scenario())
    told = list(found.surroundings.lines())
    assert "configmaps default/bad: is false" in told[0]
    assert [one.split()[-2:] for one in told[-3:]] == [
        ["configmaps", f"default/{name}"] for name in ("good", "bad", "late")
    ]
    assert check(files.read(record), [expression]).violations == found.verdict.violations
    assert record.stat().st_mode & 0o777 == 0o600
