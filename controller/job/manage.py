"""How many pods a Job should have now: what to create or to delete (spec job-controller 5).

Invariants: never more pods than `parallelism`, nor than completions are missing; creates wait for
the back-off; either creates or deletes in one sync.
"""

import msgspec

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.job import backoff, indexes
from kubeherd.controller.job.model import (
    BATCH_S,
    MAX_WRITES,
    Actions,
    Assessment,
    NewPod,
    Now,
)
from kubeherd.controller.job.pods import replaces_only_failed
from kubeherd.controller.workload.pods.ranking import deletion_order


def manage(standing: Assessment, now: Now) -> Actions:
    """The writes to pods for a Job as it stands."""
    job, active = standing.job, standing.active
    if standing.ending is not None:
        return Actions(deletes=[seen.pod for seen in active])
    if job.metadata.deletion_timestamp is not None:
        return Actions(look_again_s=standing.look_again_s)
    wanted = 0 if job.suspended else _wanted(standing)
    deletes = _removals(standing, max(0, len(active) - wanted))
    if not job.suspended:
        deletes = deletes[:MAX_WRITES]
    actions = Actions(managed=True, look_again_s=standing.look_again_s)
    if deletes:
        return msgspec.structs.replace(actions, deletes=deletes, untrack=True)
    missing = wanted - len(active)
    if replaces_only_failed(job):
        missing -= standing.terminating
    return _with_creates(actions, standing, missing, now) if missing > 0 else actions


def _wanted(standing: Assessment) -> int:
    spec = standing.job.spec
    if spec.completions is None:
        return len(standing.active) if standing.succeeded > 0 else spec.parallelism
    return max(0, min(spec.parallelism, spec.completions - standing.succeeded))


def _removals(standing: Assessment, at_least: int) -> list[Pod]:
    """At least so many active pods, those first that serve least; of an indexed Job also those
    whose index is taken twice or is none."""
    if standing.job.indexed:
        gone, left = indexes.surplus(standing.job, standing.active)
    else:
        gone, left = [], [seen.pod for seen in standing.active]
    missing = at_least - len(gone)
    return gone + deletion_order(left)[:missing] if missing > 0 else gone


def _with_creates(actions: Actions, standing: Assessment, missing: int, now: Now) -> Actions:
    job = standing.job
    by_index = job.spec.backoff_limit_per_index is not None
    wait_s = 0.0 if by_index else backoff.remaining_s(standing.backoff, now.age_s)
    if wait_s > 0:
        return _later(actions, wait_s)
    missing = min(missing, MAX_WRITES)
    if not job.indexed:
        return msgspec.structs.replace(actions, creates=[NewPod()] * missing)
    pending = indexes.first_pending(standing, missing)
    waits_s = {
        index: backoff.remaining_of_index_s(standing.awaiting.get(index), now.age_s)
        for index in pending
    }
    ready = [index for index in pending if waits_s[index] == 0]
    if pending and not ready:
        return _later(actions, min(waits_s.values()))
    new = [indexes.replacement(job, index, standing.awaiting.get(index)) for index in ready]
    return msgspec.structs.replace(actions, creates=new)


def _later(actions: Actions, wait_s: float) -> Actions:
    known_s = actions.look_again_s
    wait_s = max(wait_s, BATCH_S)
    return msgspec.structs.replace(
        actions, look_again_s=wait_s if known_s is None else min(known_s, wait_s)
    )
