"""Properties of the plan of a Job over random lives of its pods (hypothesis).

Syncs are cut off between any two of their writes, pods end, are deleted and vanish as they like,
the Job is suspended and scaled. Whatever happens: never more pods than wanted and never two for an
index, each ended pod counted once, counters that only grow, and an end that is a fixed point.
"""

from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_world import at, job, now, pod

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.job import intervals, tracking
from kubeherd.controller.job.assess import assess
from kubeherd.controller.job.indexes import in_range
from kubeherd.controller.job.manage import manage
from kubeherd.controller.job.model import MAX_WRITES, Backoff, NewPod, Observed, Outcome
from kubeherd.controller.job.pods import see
from kubeherd.controller.workload.jobs import (
    JobStatus,
    PodFailurePolicy,
    UncountedTerminatedPods,
    finished,
)

EXAMPLES = 150
IGNORE = msgspec.convert(
    {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]},
    PodFailurePolicy,
)
SPECS: list[dict[str, Any]] = [
    {"completions": 4, "parallelism": 2},
    {"completions": 4, "parallelism": 3, "backoff_limit": 1},
    {"completions": None, "parallelism": 2},
    {"completions": 4, "parallelism": 2, "completion_mode": "Indexed"},
    {"completions": 3, "parallelism": 3, "completion_mode": "Indexed", "backoff_limit": 1},
    {
        "completions": 4, "parallelism": 2, "completion_mode": "Indexed",
        "backoff_limit": 1000, "backoff_limit_per_index": 1, "max_failed_indexes": 1,
    },
    {"completions": 4, "parallelism": 2, "pod_replacement_policy": "Failed"},
    {"completions": 4, "parallelism": 2, "pod_failure_policy": IGNORE},
]  # fmt: skip


class World:
    """One Job and its pods; time goes on by a minute with each step."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.job = job(**{"backoff_limit": 50, **spec})
        self.pods: dict[str, Pod] = {}
        self.backoff = Backoff()
        self.noted: dict[str, set[str]] = {"succeeded": set(), "failed": set()}
        self.minutes = 0
        self._names = count()

    # --- what pods do ---

    def end(self, uid: str, phase: str, code: int) -> None:
        if self.pods[uid].status.phase in ("Succeeded", "Failed"):
            return
        ended = {"terminated": {"exitCode": code, "finishedAt": at(60 * self.minutes)}}
        self._change(uid, phase=phase, container_statuses=[{"name": "main", "state": ended}])

    def delete(self, uid: str) -> None:
        known = self.pods[uid]
        if known.metadata.deletion_timestamp is None:
            moment = at(60 * self.minutes)
            metadata = msgspec.structs.replace(known.metadata, deletion_timestamp=moment)
            self.pods[uid] = msgspec.structs.replace(known, metadata=metadata)
        self._collect(uid)

    def stop(self, uid: str) -> None:
        """A pod that is being deleted has come to its end."""
        if self.pods[uid].metadata.deletion_timestamp is not None:
            self.end(uid, "Failed", 137)
            self._collect(uid)

    def untrack(self, uid: str) -> None:
        known = self.pods.get(uid)
        if known is not None:
            self._judge(known)
            metadata = msgspec.structs.replace(known.metadata, finalizers=[])
            self.pods[uid] = msgspec.structs.replace(known, metadata=metadata)
            self._collect(uid)

    def _change(self, uid: str, **status: Any) -> None:
        known = self.pods[uid]
        changed = msgspec.structs.replace(known.status, **status)
        self.pods[uid] = msgspec.structs.replace(known, status=changed)

    def _collect(self, uid: str) -> None:
        known = self.pods[uid]
        ended = known.status.phase in ("Succeeded", "Failed")
        deleting = known.metadata.deletion_timestamp is not None
        if ended and deleting and not known.metadata.finalizers:
            del self.pods[uid]

    # --- a sync, cut off after so many writes ---

    def sync(self, writes: int = 10_000) -> bool:
        """Whether there was anything to do."""
        if finished(self.job) is not None:
            return False
        self.minutes += 1
        left = iter(range(writes))
        moment = now(60 * self.minutes)
        standing = assess(Observed(self.job, list(self.pods.values()), self.backoff), moment)
        actions = manage(standing, moment)
        assert not (actions.creates and actions.deletes)
        assert max(len(actions.creates), len(actions.deletes)) <= MAX_WRITES
        for new in actions.creates:
            if next(left, None) is None:
                return True
            self._create(new)
        for gone in actions.deletes:
            if next(left, None) is None:
                return True
            if actions.untrack:
                self.untrack(gone.metadata.uid)
            self.delete(gone.metadata.uid)
        outcome = Outcome(created=len(actions.creates), deleted=len(actions.deletes))
        tracked = tracking.track(standing, actions, outcome, moment)
        if tracked.changed:
            if next(left, None) is None:
                return True
            self._store(tracked.status)
            self.backoff = standing.backoff
        for gone in tracked.untrack:
            if next(left, None) is None:
                return True
            self.untrack(gone.metadata.uid)
        uids = tracked.uids - {gone.metadata.uid for gone in tracked.untrack}
        status = tracking.settled(tracked.status, uids)
        final, _ = tracking.finish(
            self.job, msgspec.structs.replace(tracked, status=status), moment
        )
        if final != tracked.status and next(left, None) is not None:
            self._store(final)
        return bool(
            actions.creates or actions.deletes or tracked.changed or final != tracked.status
        )

    def _create(self, new: NewPod) -> None:
        uid = f"pod-{next(self._names)}"
        self.pods[uid] = pod(
            uid, index=new.index, failures=new.failures, ignored=new.ignored_failures or None
        )
        active = [seen for seen in see(self.job, self.pods.values()) if seen.active]
        assert len(active) <= self.job.spec.parallelism
        if self.job.indexed:
            assert len({seen.index for seen in active}) == len(active), "two for one index"
            assert all(in_range(self.job, seen) for seen in active)

    def _store(self, status: JobStatus) -> None:
        before = self.job.status
        notes = status.uncounted_terminated_pods or UncountedTerminatedPods()
        for kind, uids in (("succeeded", notes.succeeded), ("failed", notes.failed)):
            assert len(set(uids)) == len(uids)
            self.noted[kind] |= set(uids)
        assert not self.noted["succeeded"] & self.noted["failed"]
        assert status.failed >= before.failed
        assert status.succeeded >= before.succeeded
        assert status.failed + len(notes.failed) == len(self.noted["failed"])
        if self.job.indexed:
            completed = intervals.parse(status.completed_indexes, 1000)
            assert status.succeeded == intervals.total(completed)
            assert not intervals.overlap(completed, intervals.parse(status.failed_indexes or "", 9))
        else:
            assert status.succeeded + len(notes.succeeded) == len(self.noted["succeeded"])
        assert status.active >= 0
        assert (status.terminating or 0) >= 0
        self.job = msgspec.structs.replace(self.job, status=status)

    def _judge(self, known: Pod) -> None:
        """A pod that has ended loses its finalizer only if it is noted, or counts for nothing."""
        (seen,) = see(self.job, [known])
        if not seen.tracked or not in_range(self.job, seen):
            return
        if seen.succeeded and self.job.indexed:
            status = self.job.status
            for indexes in (status.completed_indexes, status.failed_indexes or ""):
                if intervals.contains(intervals.parse(indexes, 1000), seen.index):
                    return
            assert seen.uid in self.noted["failed"]
        elif seen.succeeded:
            assert seen.uid in self.noted["succeeded"] | self.noted["failed"]
        elif known.status.phase == "Failed" and self.job.spec.pod_failure_policy is None:
            assert seen.uid in self.noted["failed"]


def live(data: st.DataObject, world: World) -> None:
    """One thing happens."""
    what = data.draw(st.sampled_from(["sync", "sync", "end", "fail", "delete", "stop", "spec"]))
    if what == "sync":
        world.sync(data.draw(st.integers(0, 9)))
    elif what == "spec":
        spec = world.job.spec
        changes: dict[str, Any] = {"suspend": data.draw(st.booleans())}
        if not world.job.indexed:
            changes["parallelism"] = data.draw(st.integers(0, 3))
            alive = sum(seen.active for seen in see(world.job, world.pods.values()))
            changes["parallelism"] = max(changes["parallelism"], alive)
        world.job = msgspec.structs.replace(
            world.job, spec=msgspec.structs.replace(spec, **changes)
        )
    elif world.pods:
        uid = data.draw(st.sampled_from(sorted(world.pods)))
        if what == "end":
            world.end(uid, "Succeeded", 0)
        elif what == "fail":
            world.end(uid, "Failed", data.draw(st.sampled_from([1, 42])))
        elif what == "delete":
            world.delete(uid)
        else:
            world.stop(uid)


def settle(world: World) -> None:
    """All is well from now on: the Job ends."""
    spec = msgspec.structs.replace(world.job.spec, suspend=False, parallelism=3)
    world.job = msgspec.structs.replace(world.job, spec=spec)
    for _ in range(60):
        if finished(world.job) is not None:
            return
        for uid in sorted(world.pods):
            world.stop(uid)
        for uid in sorted(world.pods):
            world.end(uid, "Succeeded", 0)
        world.minutes += 20
        world.sync()
    raise AssertionError(f"does not end: {world.job.status}")


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_whatever_happens_each_pod_is_counted_once_and_the_job_ends(data: st.DataObject) -> None:
    world = World(data.draw(st.sampled_from(SPECS)))
    for _ in range(data.draw(st.integers(1, 25))):
        live(data, world)
    settle(world)
    status = world.job.status
    assert status.uncounted_terminated_pods == UncountedTerminatedPods()
    assert not status.active
    assert not status.terminating
    assert not any(known.metadata.finalizers for known in world.pods.values())


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_a_sync_leaves_nothing_to_do(data: st.DataObject) -> None:
    world = World(data.draw(st.sampled_from(SPECS)))
    for _ in range(data.draw(st.integers(1, 12))):
        live(data, world)
    for _ in range(12):
        if not world.sync():
            break
        for uid in sorted(world.pods):
            world.stop(uid)
    else:
        raise AssertionError("no fixed point")
    assert not world.sync()


real_settled = tracking.settled
MUTANTS: dict[str, Any] = {
    "counts at once": lambda status, _: real_settled(status, frozenset()),
    "never counts": lambda status, _: status,
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_properties_fail_for_a_plan_that_miscounts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks themselves."""
    monkeypatch.setattr(tracking, "settled", MUTANTS[name])
    with pytest.raises(AssertionError):
        succeed(World(SPECS[0]))


def succeed(world: World) -> None:
    """Pods end well, syncs are cut off."""
    world.sync()
    for _ in range(5):
        for uid in sorted(world.pods):
            world.end(uid, "Succeeded", 0)
        world.sync(2)
    settle(world)


def test_the_properties_hold_where_the_mutants_fail() -> None:
    succeed(World(SPECS[0]))
