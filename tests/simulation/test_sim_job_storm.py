"""A Job in bad weather: crashes between any two steps of a sync, lost answers, slow watches, nodes
and API server that come and go. It runs to its end, and every pod is counted once."""

import asyncio
import os
from typing import Any

import msgspec
import orjson
import pytest
from sim_jobs import CRASH_AFTER, EXIT_CODE, FINALIZER, RUN_FOR, get, job_tree, until_finished
from weather import FragileDisk, Weather

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import JOBS, PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Row
from kubeherd.controller.job import intervals
from kubeherd.controller.workload.jobs import (
    ConditionType,
    Job,
    JobStatus,
    UncountedTerminatedPods,
    finished,
)
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster

NAMES = ["node-0", "node-1"]
MANAGER = "controller-manager"
STEPS = 20
FAULTS = (
    "die", "die", "kill", "cut", "commit", "loss", "loss", "slow", "slow", "freeze", "delete",
    "repair",
)  # fmt: skip
PAUSES_S = (0.0, 0.0007, 0.003, 0.01, 0.3, 1.0, 2.0, 9.0)
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
"""A longer search: ``KUBEHERD_SIM_SEEDS=200 pytest tests/simulation/test_sim_job_storm.py``."""

INDEX = "batch.kubernetes.io/job-completion-index"


class Witness:
    """Sees every committed write to pods and to the one Job; `seen` is what must never be.

    A pod that ended is noted in the status before its finalizer goes, never twice, and counters
    follow the notes; of pods that have not ended there are never more than wanted, and never two
    for one index.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.seen: list[str] = []
        self.noted: dict[str, set[str]] = {"succeeded": set(), "failed": set()}
        self._spec = spec
        self._pods: dict[str, JsonObject] = {}
        self._status = JobStatus()
        self._ended: dict[str, str] = {}

    def watch(self, row: Row) -> None:
        """One committed write."""
        tree: JsonObject = orjson.loads(row.value)
        if row.resource_key == "jobs.batch" and not row.deleted:
            self._job(msgspec.convert(tree, Job))
        elif row.resource_key == "pods":
            self._pod(tree, deleted=row.deleted)

    def _job(self, job: Job) -> None:
        before, status = self._status, job.status
        self._status = status
        notes = status.uncounted_terminated_pods or UncountedTerminatedPods()
        for kind, uids in (("succeeded", notes.succeeded), ("failed", notes.failed)):
            self.noted[kind] |= set(uids)
            if len(set(uids)) != len(uids):
                self.seen.append(f"{kind}: {uids} are noted twice")
        if self.noted["succeeded"] & self.noted["failed"]:
            self.seen.append("a pod is noted as succeeded and as failed")
        counted = {
            "succeeded": status.succeeded + len(notes.succeeded),
            "failed": status.failed + len(notes.failed),
        }
        for kind, count in counted.items():
            if (kind == "failed" or not job.indexed) and count != len(self.noted[kind]):
                self.seen.append(f"{kind}: counted {count}, noted {len(self.noted[kind])}")
        if (status.succeeded, status.failed) < (before.succeeded, before.failed):
            self.seen.append("a counter shrank")

    def _pod(self, tree: JsonObject, *, deleted: bool) -> None:
        uid = tree["metadata"]["uid"]
        before = self._pods.get(uid)
        if deleted:
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = tree
        if before is None:
            self._budget()
        elif _tracked(before) and (deleted or not _tracked(tree)):
            self._untracked(before)

    def _untracked(self, pod: JsonObject) -> None:
        phase, uid = pod["status"]["phase"], pod["metadata"]["uid"]
        if phase == "Succeeded" and self._spec.get("completionMode") == "Indexed":
            index = int(pod["metadata"]["annotations"][INDEX])
            completed = intervals.parse(self._status.completed_indexes, 1000)
            if not intervals.contains(completed, index):
                self.seen.append(f"index {index} is lost")
        elif phase in ("Succeeded", "Failed") and uid not in self.noted[phase.lower()]:
            # one that was being deleted counts as failed, even if it ends well after that
            self.seen += [f"{uid} {phase} is lost"] * (uid not in self.noted["failed"])

    def _budget(self) -> None:
        active = [pod for pod in self._pods.values() if _active(pod)]
        if len(active) > self._spec["parallelism"]:
            self.seen.append(f"{len(active)} pods are active")
        indexes = [pod["metadata"].get("annotations", {}).get(INDEX) for pod in active]
        if self._spec.get("completionMode") == "Indexed" and len(set(indexes)) < len(indexes):
            self.seen.append(f"two pods for one index: {sorted(indexes)}")


def _tracked(pod: JsonObject) -> bool:
    return FINALIZER in pod["metadata"].get("finalizers", ())


def _active(pod: JsonObject) -> bool:
    ended = pod["status"].get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


WELL, BADLY = {RUN_FOR: "7"}, {CRASH_AFTER: "3", EXIT_CODE: "3"}
IGNORE_4 = {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [4]}}
INDEXED = {"completionMode": "Indexed"}
KINDS: list[tuple[dict[str, str], dict[str, Any]]] = [
    (WELL, {"completions": 6, "parallelism": 3, "backoffLimit": 1000}),
    (WELL, {"completions": 6, "parallelism": 3, "backoffLimit": 1000, **INDEXED}),
    (WELL, {"completions": 4, "parallelism": 2, "backoffLimitPerIndex": 99, **INDEXED}),
    (
        WELL,
        {
            "completions": 4, "parallelism": 2, "backoffLimit": 1000,
            "podFailurePolicy": {"rules": [IGNORE_4]},
        },
    ),
    (BADLY, {"completions": 3, "parallelism": 2, "backoffLimit": 2}),
    (BADLY, {"completions": 3, "parallelism": 2, "backoffLimitPerIndex": 1, **INDEXED}),
]  # fmt: skip
"""What the pods do, and the Job."""


class Storm:
    """One Job in bad weather; the seed decides everything."""

    def __init__(self, seed: int) -> None:
        chance = Rng(seed)
        self.chance = chance.child("job-storm")
        self.annotations, self.spec = self.chance.choice(KINDS)
        self.disk = FragileDisk(chance.child("disk"))
        self.weather = Weather(chance.child("weather"), calm="admin")
        self.cluster = SimulatedCluster(seed, disk=self.disk, network=self.weather)
        self.witness = Witness(self.spec)
        self.disk.on_commit = self._committed
        self.disk.on_crash = lambda: self._kill("apiserver")
        self.dying: list[asyncio.Task[None]] = []
        self.commits_until_kill = 0
        """Of pods and the Job: the manager dies between two steps of a sync. 0: it lives."""
        self.story: list[str] = [str(self.spec)]

    def _committed(self, row: Row) -> None:
        self.witness.watch(row)
        if row.resource_key in ("pods", "jobs.batch") and self.commits_until_kill:
            self.commits_until_kill -= 1
            if not self.commits_until_kill:
                self._kill(MANAGER)

    def _kill(self, name: str) -> None:
        self.say(f"{name} dies at a commit")
        self.dying.append(asyncio.ensure_future(self.cluster.kill(name)))

    def say(self, what: str) -> None:
        self.story.append(f"{self.cluster.now_s:.3f} {what}")

    async def begin(self) -> None:
        self.cluster.start_apiserver()
        self.cluster.start_manager(name=MANAGER)
        for name in NAMES:
            self.cluster.start_node(name)
        await self.cluster.until_ready(*NAMES)
        tree = job_tree(annotations=self.annotations, **self.spec)
        await self.cluster.admin.create(JOBS, tree, "default")

    async def strike(self) -> str:
        """One random fault, repair or change; returns what it was."""
        cluster, chance = self.cluster, self.chance
        name = chance.choice([MANAGER, MANAGER, "apiserver", *NAMES])
        if not cluster.processes[name].alive:
            cluster.start(name)
            return f"start {name}"
        match chance.choice(FAULTS):
            case "die":
                self.commits_until_kill = chance.randrange(1, 8)
                return f"the manager dies at commit {self.commits_until_kill}"
            case "kill":
                await cluster.kill(name)
                return f"kill {name}"
            case "cut":
                cluster.partition(name)
                return f"cut {name}"
            case "commit":
                self.disk.commits_until_crash = chance.randrange(1, 12)
                return f"crash at commit {self.disk.commits_until_crash}"
            case "loss":
                self.weather.loss = chance.choice([0.02, 0.1, 0.3])
                return f"loss {self.weather.loss}"
            case "slow":
                self.weather.slowness = chance.choice([10.0, 100.0])
                return f"slow {self.weather.slowness}"
            case "freeze":
                self.weather.frozen_until_s = cluster.now_s + chance.choice([1, 5, 20])
                return f"frozen until {self.weather.frozen_until_s:.1f}"
            case "delete":
                return await self.delete_a_pod()
            case _:
                cluster.heal()
                self.weather.clear()
                return "repair"

    async def delete_a_pod(self) -> str:
        try:
            pods = [pod for pod in await self.cluster.pods() if not pod.terminal]
            if pods:
                name = self.chance.choice(pods).metadata.name
                await self.cluster.admin.delete(PODS, name, "default")
                return f"delete {name}"
        except (ApiError, TransportError) as error:
            return f"delete a pod: {error}"
        return "no pod to delete"

    async def clear(self) -> None:
        """The weather is fine, and everything runs."""
        self.cluster.heal()
        self.weather.clear()
        self.disk.commits_until_crash = self.commits_until_kill = 0
        await self.cluster.clock.sleep(0.1)  # a crash at a commit that has begun still comes
        for name, process in list(self.cluster.processes.items()):
            if not process.alive:
                self.cluster.start(name)
        self.say("clear")

    async def run(self) -> None:
        cluster = self.cluster
        try:
            await self.begin()
            for _ in range(STEPS):
                self.say(await self.strike())
                await cluster.clock.sleep(self.chance.choice(PAUSES_S))
            await self.clear()
            job = await until_finished(cluster, within_s=4000)
            await cluster.clock.sleep(60)
            self.check(await get(cluster), await cluster.pods())
            assert (await get(cluster)).status == job.status, "an ended Job changes no more"
        finally:
            for name in reversed(list(cluster.processes)):
                await cluster.kill(name)

    def check(self, job: Job, pods: list[Pod]) -> None:
        """What holds of a Job that has ended."""
        status, ended = job.status, finished(job)
        assert ended is not None
        assert (status.active, status.ready, status.terminating) == (0, 0, 0)
        assert status.uncounted_terminated_pods == UncountedTerminatedPods()
        assert not any(FINALIZER in pod.metadata.finalizers for pod in pods)
        assert status.failed == len(self.witness.noted["failed"])
        if ended.type == ConditionType.COMPLETE:
            assert status.succeeded >= (job.spec.completions or 0)
        elif job.spec.backoff_limit_per_index is None:
            assert status.failed > job.spec.backoff_limit


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_each_pod_is_counted_once(seed: int) -> None:
    storm = Storm(seed)
    try:
        virtualtime.run(storm.run())
        assert not storm.witness.seen
    except AssertionError as error:
        error.add_note("\n".join([f"seed {seed}:", *storm.story, *storm.witness.seen]))
        raise


def test_the_witness_sees_what_must_never_be() -> None:
    """The checker itself."""

    def pod(uid: str, phase: str, *, tracked: bool) -> bytes:
        metadata = {"name": uid, "uid": uid, "finalizers": [FINALIZER] if tracked else []}
        return orjson.dumps({"metadata": metadata, "status": {"phase": phase}})

    def job(**status: Any) -> bytes:
        return orjson.dumps({"metadata": {"name": "job"}, "status": status})

    def seen(*writes: tuple[str, bytes]) -> list[str]:
        witness = Witness({"parallelism": 1})
        for revision, (resource, value) in enumerate(writes, 1):
            witness.watch(
                Row(
                    revision=revision, resource_key=resource, namespace="default", name="x",
                    value=value, deleted=False, create_revision=revision,
                )
            )  # fmt: skip
        return witness.seen

    pods, jobs = "pods", "jobs.batch"
    running, ended = pod("a", "Running", tracked=True), pod("a", "Succeeded", tracked=True)
    free = pod("a", "Succeeded", tracked=False)
    note = job(uncountedTerminatedPods={"succeeded": ["a"]})
    counted = job(succeeded=1)
    good = [(pods, running), (pods, ended), (jobs, note), (pods, free), (jobs, counted)]
    assert not seen(*good)
    assert seen((pods, running), (pods, ended), (pods, free)) == ["a Succeeded is lost"]
    assert seen(*good, (jobs, note)), "counted and noted again"
    assert seen((jobs, counted)), "counted without a note"
    assert seen((pods, running), (pods, pod("b", "Pending", tracked=True)))
