"""Who is woken by what: TestAddPod, TestUpdatePod, TestDeletePod, TestUpdateJobRequeue,
TestSyncOrphanPod and their neighbours of job_controller_test.go."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from job_world import job, owner, pod

from kubeherd.cluster.api.objects import Condition, OwnerReference, Pod
from kubeherd.controller.job.model import BATCH_S
from kubeherd.controller.job.wakeups import is_orphan, job_changed, pod_changed
from kubeherd.controller.workload.jobs import Job, JobStatus


class World:
    """Jobs by name; each selects what it is told to."""

    def __init__(self, *jobs: Job, selecting: str = "") -> None:
        self._jobs = {each.metadata.name: each for each in jobs}
        self._selecting = selecting

    def get(self, _namespace: str, name: str) -> Job | None:
        return self._jobs.get(name)

    def in_namespace(self, _namespace: str) -> Iterable[Job]:
        return self._jobs.values()

    def woken(self, old: Pod | None, new: Pod | None) -> tuple[list[str], bool]:
        wakes = pod_changed(old, new, self, lambda of, _: of.metadata.name == self._selecting)
        assert all(wake.after_s == BATCH_S for wake in wakes.jobs)
        return [wake.key[1] for wake in wakes.jobs], wakes.orphan


def named(name: str, *, ended: bool = False, **fields: Any) -> Job:
    of = job(name, **fields)
    metadata = msgspec.structs.replace(of.metadata, uid=f"uid-{name}")
    complete = Condition(type="Complete", status="True")
    status = JobStatus(conditions=[complete] if ended else [])
    return msgspec.structs.replace(of, metadata=metadata, status=status)


def of_job(name: str) -> OwnerReference:
    return owner(f"uid-{name}", name)


def later(old: Pod, **fields: object) -> Pod:
    """A newer version with other metadata."""
    changes = {"resource_version": "2", **fields}
    return msgspec.structs.replace(old, metadata=msgspec.structs.replace(old.metadata, **changes))


ONE, TWO, DONE = named("one"), named("two"), named("done", ended=True)
POD = pod(owned=of_job("one"))
GOING = pod(owned=of_job("one"), deleting_s=0)
ORPHAN = pod(owned=None)
UNTRACKED = pod(owned=None, tracked=False)
STRANGER = pod(owned=owner("uid-other", "one"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, POD, (["one"], False)),
        (POD, later(POD), (["one"], False)),
        (POD, POD, ([], False)),
        (POD, None, (["one"], False)),
        (None, GOING, (["one"], False)),
        (None, pod(owned=of_job("done"), deleting_s=0), ([], True)),
        (None, pod(owned=of_job("gone"), deleting_s=0), ([], True)),
        (pod(owned=of_job("done")), None, ([], False)),
        (None, pod(owned=of_job("gone")), ([], False)),
        (None, STRANGER, ([], False)),
        (None, ORPHAN, (["two"], True)),
        (None, UNTRACKED, (["two"], False)),
        (ORPHAN, later(ORPHAN), ([], True)),
        (ORPHAN, later(ORPHAN, labels={"other": "label"}), (["two"], True)),
        (POD, later(POD, owner_references=[]), (["one", "two"], True)),
        (POD, later(POD, owner_references=[of_job("two")]), (["one", "two"], False)),
        (None, pod(owned=None, deleting_s=0), ([], True)),
    ],
)
def test_pods_wake_their_jobs(
    old: Pod | None, new: Pod | None, expected: tuple[list[str], bool]
) -> None:
    assert World(ONE, TWO, DONE, selecting="two").woken(old, new) == expected


def test_a_job_is_looked_at_at_once_unless_only_its_status_changed() -> None:
    changed = msgspec.structs.replace(
        ONE, metadata=msgspec.structs.replace(ONE.metadata, generation=2)
    )
    delays = [
        [wake.after_s for wake in job_changed(old, new)]
        for old, new in ((None, ONE), (ONE, ONE), (ONE, changed), (ONE, None), (ONE, DONE))
    ]
    assert delays == [[0.0], [BATCH_S], [0.0], [0.0], []]


FOREIGN = OwnerReference(
    api_version="apps/v1", kind="ReplicaSet", name="one", uid="u", controller=True
)
ELSEWHERE = named("elsewhere", ended=True, managed_by="example.com/other")


@pytest.mark.parametrize(
    ("its_pod", "expected"),
    [
        (ORPHAN, True),
        (UNTRACKED, False),
        (POD, False),
        (pod(owned=of_job("done")), True),
        (pod(owned=of_job("gone")), True),
        (pod(owned=FOREIGN), False),
        (pod(owned=of_job("elsewhere")), False),
        (STRANGER, True),
    ],
)
def test_who_is_an_orphan(its_pod: Pod, expected: bool) -> None:
    assert is_orphan(its_pod, World(ONE, DONE, ELSEWHERE)) is expected
