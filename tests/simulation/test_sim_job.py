"""Jobs in a whole cluster, one feature after the other."""

from itertools import pairwise

import pytest
from sim_jobs import CRASH_AFTER, FINALIZER, RUN_FOR, get, gone, job_tree, until_finished

from kubeherd.cluster.api.kinds import JOBS, PODS
from kubeherd.controller.workload.jobs import ConditionType, condition
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import simulated


def test_an_indexed_job_completes_and_its_pods_are_free() -> None:
    async def story() -> None:
        async with simulated(1, nodes=2, accounts=True) as cluster:
            tree = job_tree(
                annotations={RUN_FOR: "3"}, completions=5, parallelism=2, completionMode="Indexed"
            )
            await cluster.admin.create(JOBS, tree, "default")
            job = await until_finished(cluster)
            pods = await cluster.pods()
            assert (job.status.succeeded, job.status.completed_indexes) == (5, "0-4")
            assert (job.status.active, job.status.ready, job.status.terminating) == (0, 0, 0)
            assert sorted(p.metadata.name.rpartition("-")[0] for p in pods) == [
                f"job-{n}" for n in range(5)
            ]
            assert not any(p.metadata.finalizers for p in pods)
            assert len(await cluster.events("Completed")) == 1
            assert len(await cluster.events("SuccessfulCreate")) == 5

    virtualtime.run(story())


def test_failures_are_repeated_with_growing_pauses_until_the_limit() -> None:
    async def story() -> None:
        async with simulated(1, nodes=2) as cluster:
            tree = job_tree(annotations={CRASH_AFTER: "1"}, backoffLimit=3)
            await cluster.admin.create(JOBS, tree, "default")
            job = await until_finished(cluster, within_s=300)
            assert job.status.failed == 4
            assert [(c.type, c.reason) for c in job.status.conditions] == [
                ("FailureTarget", "BackoffLimitExceeded"),
                ("Failed", "BackoffLimitExceeded"),
            ]
            pods = await cluster.pods()
            times = sorted(p.metadata.creation_timestamp for p in pods)
            starts = [int(t[14:16]) * 60 + int(t[17:19]) for t in times]
            pauses = [after - before for before, after in pairwise(starts)]
            assert [pause // 10 for pause in pauses] == [1, 2, 4]

    virtualtime.run(story())


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_deleted_job_takes_its_pods_along(propagation: str) -> None:
    async def story() -> None:
        async with simulated(1, nodes=2) as cluster:
            tree = job_tree(annotations={}, completions=4, parallelism=4)
            await cluster.admin.create(JOBS, tree, "default")

            async def running() -> bool:
                return (await get(cluster)).status.ready == 4

            await cluster.until(running, within_s=30)
            await cluster.admin.delete(JOBS, "job", "default", propagation=propagation)

            async def nothing_left() -> bool:
                return await gone(cluster) and not await cluster.pods()

            await cluster.until(nothing_left, within_s=90)

    virtualtime.run(story())


def test_orphaned_pods_keep_no_finalizer() -> None:
    async def story() -> None:
        async with simulated(1, nodes=2, portable=True) as cluster:
            tree = job_tree(annotations={}, completions=3, parallelism=3)
            await cluster.admin.create(JOBS, tree, "default")

            async def running() -> bool:
                return (await get(cluster)).status.ready == 3

            await cluster.until(running, within_s=30)
            await cluster.admin.delete(JOBS, "job", "default", propagation="Orphan")

            async def free() -> bool:
                pods = await cluster.pods()
                free = not any(p.metadata.finalizers or p.metadata.owner_references for p in pods)
                return await gone(cluster) and len(pods) == 3 and free

            await cluster.until(free, within_s=60)

    virtualtime.run(story())


def test_a_pod_is_freed_though_no_job_is_left_to_wake_the_controller() -> None:
    async def story() -> None:
        async with simulated(1, nodes=1) as cluster:
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "left", "namespace": "default", "finalizers": [FINALIZER]},
                "spec": {"containers": [{"name": "main", "image": "app:1"}]},
            }
            await cluster.admin.create(PODS, pod, "default")

            async def free() -> bool:
                return not (await cluster.pods())[0].metadata.finalizers

            await cluster.until(free, within_s=60)

    virtualtime.run(story())


def test_a_job_is_suspended_resumed_and_deleted_after_its_time() -> None:
    async def story() -> None:
        async with simulated(1, nodes=2, accounts=True) as cluster:
            tree = job_tree(
                annotations={RUN_FOR: "20"}, parallelism=2, completions=2,
                ttlSecondsAfterFinished=100,
            )  # fmt: skip
            await cluster.admin.create(JOBS, tree, "default")

            async def running() -> bool:
                return (await get(cluster)).status.ready == 2

            async def suspended() -> bool:
                job = await get(cluster)
                found = condition(job, ConditionType.SUSPENDED)
                is_so = found is not None and found.status == "True"
                return is_so and not job.status.active and not await cluster.pods()

            await cluster.until(running, within_s=30)
            await cluster.admin.patch(JOBS, "job", {"spec": {"suspend": True}}, "default")
            await cluster.until(suspended, within_s=60)
            assert (await get(cluster)).status.start_time is None
            await cluster.admin.patch(JOBS, "job", {"spec": {"suspend": False}}, "default")
            job = await until_finished(cluster)
            assert (job.status.succeeded, job.status.failed) == (2, 0)
            ended_s = cluster.now_s

            async def nothing_left() -> bool:
                return await gone(cluster) and not await cluster.pods()

            assert await cluster.until(nothing_left, within_s=140) - ended_s > 95

    virtualtime.run(story())


def test_a_job_that_is_managed_elsewhere_is_left_alone() -> None:
    async def story() -> None:
        async with simulated(1, nodes=1) as cluster:
            tree = job_tree(annotations={}, managedBy="example.com/other")
            await cluster.admin.create(JOBS, tree, "default")
            await cluster.clock.sleep(30)
            assert await cluster.pods() == []

    virtualtime.run(story())
