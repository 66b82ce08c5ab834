"""Jobs in a simulated cluster: how they look, and how they are asked for."""

from typing import Any

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import JOBS
from kubeherd.controller.workload.jobs import Job, finished
from kubeherd.simulation.cluster import SimulatedCluster

FINALIZER = "batch.kubernetes.io/job-tracking"
RUN_FOR, EXIT_CODE = "kubeherd.io/run-for-seconds", "kubeherd.io/exit-code"
CRASH_AFTER = "kubeherd.io/crash-after-seconds"


def job_tree(name: str = "job", *, annotations: dict[str, str], **spec: Any) -> JsonObject:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "app:1"}]}
    template = {"metadata": {"annotations": annotations}, "spec": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def get(cluster: SimulatedCluster, name: str = "job") -> Job:
    return await cluster.admin.get(JOBS, Job, name, "default")


async def gone(cluster: SimulatedCluster, name: str = "job") -> bool:
    listed = await cluster.admin.list(JOBS, Job, "default")
    return all(job.metadata.name != name for job in listed.items)


async def until_finished(cluster: SimulatedCluster, within_s: float = 120.0) -> Job:
    async def ended() -> bool:
        return finished(await get(cluster)) is not None

    await cluster.until(ended, within_s=within_s)
    return await get(cluster)
