"""CronJobs through crashes, partitions and changes; then everything heals and must be on time."""

import os
from datetime import timedelta

import pytest
from chaosworld import repair, told

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CRONJOBS, JOBS
from kubeherd.cluster.api.timestamps import format_time, parse_time
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, simulated

STEPS = 25
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
CONTROLLERS = "cronjob-controller,garbage-collector-controller,namespace-controller"
"""Without the controller of Jobs: here they end when the test says so."""
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
LIMITS = {"Complete": 2, "Failed": 1}


def cronjob(policy: str) -> JsonObject:
    containers = [{"name": "c", "image": "i"}]
    pods = {"spec": {"restartPolicy": "Never", "containers": containers}}
    return {
        "metadata": {"name": "tick"},
        "spec": {
            "schedule": "* * * * *",
            "concurrencyPolicy": policy,
            "successfulJobsHistoryLimit": LIMITS["Complete"],
            "failedJobsHistoryLimit": LIMITS["Failed"],
            "jobTemplate": {"spec": {"template": pods}},
        },
    }


def ended(job: JsonObject) -> str:
    """The condition with which a Job has ended, or ""."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((one["type"] for one in conditions if one["type"] in LIMITS), "")


async def jobs(cluster: SimulatedCluster) -> list[JsonObject]:
    listed = await cluster.admin.request("GET", JOBS.path("default"))
    return [job for job in listed["items"] if "deletionTimestamp" not in job["metadata"]]


async def end(cluster: SimulatedCluster, job: JsonObject, how: str) -> None:
    """What the Job controller writes when a Job has ended."""
    now = format_time(cluster.clock.now())
    before = "SuccessCriteriaMet" if how == "Complete" else "FailureTarget"
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
        for kind in (before, how)
    ]
    status: JsonObject = {"startTime": now, "conditions": conditions}
    if how == "Complete":
        status.update(completionTime=now, succeeded=1)
    name = job["metadata"]["name"]
    await cluster.admin.patch(
        JOBS, name, {"status": status}, "default", kind=PatchKind.MERGE, subresource="status"
    )


async def set_spec(cluster: SimulatedCluster, **spec: object) -> None:
    patch = {"spec": spec}
    await cluster.admin.patch(CRONJOBS, "tick", patch, "default", kind=PatchKind.MERGE)


async def strike(cluster: SimulatedCluster, chance: Rng) -> str:
    """One random fault, repair or change; returns what it was."""
    name = chance.choice(["apiserver", "controller-manager"])
    if not cluster.processes[name].alive:
        start(cluster, name)
        return f"start {name}"
    what = chance.choice(["kill", "cut", "heal", "end", "end", "end", "delete", "spec", "wait"])
    if what == "kill":
        await cluster.kill(name)
    elif what == "cut":
        cluster.partition("controller-manager")
    elif what == "heal":
        cluster.heal()
    else:
        try:
            await change(cluster, chance, what)
        except (ApiError, TransportError):
            return f"{what} got no answer"
    return f"{what} {name}"


async def change(cluster: SimulatedCluster, chance: Rng, what: str) -> None:
    going = [job for job in await jobs(cluster) if not ended(job)]
    if what == "spec":
        schedule = chance.choice(["* * * * *", "*/2 * * * *", "@every 90s"])
        await set_spec(cluster, suspend=chance.choice([True, False]), schedule=schedule)
    elif going and what == "end":
        await end(cluster, chance.choice(going), chance.choice(list(LIMITS)))
    elif going and what == "delete":
        name = chance.choice(going)["metadata"]["name"]
        await cluster.admin.delete(JOBS, name, "default", propagation="Background")


def start(cluster: SimulatedCluster, name: str) -> None:
    if name == "apiserver":
        cluster.start_apiserver()
    else:
        cluster.start_manager(CONTROLLERS)


async def is_on_time(cluster: SimulatedCluster, policy: str) -> bool:
    """The newest minute has its Job, the status says what there is, and the history is cut."""
    tree = await cluster.tree(CRONJOBS, "tick", "default")
    found = await jobs(cluster)
    if "lastScheduleTime" not in tree["status"]:
        return False
    last = parse_time(tree["status"]["lastScheduleTime"])
    going = {job["metadata"]["uid"] for job in found if not ended(job)}
    active = [reference["uid"] for reference in tree["status"].get("active") or ()]
    times = [job["metadata"]["annotations"][SCHEDULED_AT] for job in found]
    return (
        cluster.clock.now() - last < timedelta(seconds=62)
        and set(active) <= going
        and len(active) == len(set(active)) > 0
        and (policy == "Allow" or len(active) == 1)
        and len(times) == len(set(times))
        and all(sum(ended(job) == how for job in found) <= most for how, most in LIMITS.items())
    )


async def experiment(seed: int) -> None:
    chance = Rng(seed).child("chaos")
    policy = chance.choice(["Allow", "Forbid", "Replace"])
    story: list[str] = [policy]
    async with simulated(seed, accounts=True) as cluster:
        await cluster.kill("controller-manager")
        start(cluster, "controller-manager")
        await cluster.admin.create(CRONJOBS, cronjob(policy), "default")
        for _ in range(STEPS):
            story.append(f"{cluster.now_s:.3f} {await strike(cluster, chance)}")
            await cluster.clock.sleep(chance.choice([0.0, 0.0007, 0.01, 0.3, 20.0, 61.0, 150.0]))
        repair(cluster, start)
        await cluster.clock.sleep(60)
        await set_spec(cluster, suspend=False, schedule="* * * * *")
        for job in await jobs(cluster):
            if not ended(job):
                await end(cluster, job, "Complete")
        with told(seed, story):
            await cluster.until(lambda: is_on_time(cluster, policy), within_s=130)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_schedules_go_on(seed: int) -> None:
    virtualtime.run(experiment(seed))


def test_the_check_fails_when_nobody_makes_jobs() -> None:
    """The checker itself: a CronJob whose controller is away is not on time."""

    async def broken() -> bool:
        async with simulated(1) as cluster:
            await cluster.admin.create(CRONJOBS, cronjob("Allow"), "default")
            await cluster.until(lambda: is_on_time(cluster, "Allow"), within_s=130)
            await cluster.kill("controller-manager")
            await cluster.clock.sleep(120)
            return await is_on_time(cluster, "Allow")

    assert not virtualtime.run(broken())
