"""Carries out one sync of one Job (spec job-controller 3): pods, then counting.

Invariants: a pod's finalizer goes only after the status that notes the pod was stored, unless the
pod is not to be counted; the status is written even when pods could not be created or deleted.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api.errors import ApiError, NotFound
from kubeherd.cluster.api.helpers.podutil import is_ready
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import JOBS, PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.controller.job import tracking
from kubeherd.controller.job.assess import assess
from kubeherd.controller.job.manage import manage
from kubeherd.controller.job.memory import Memory
from kubeherd.controller.job.model import (
    FINALIZER,
    Actions,
    Assessment,
    Now,
    Observed,
    Outcome,
)
from kubeherd.controller.job.model import NewPod as Wanted
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.events import Record
from kubeherd.controller.workload.jobs import Job, JobStatus
from kubeherd.controller.workload.pods.podcontrol import NewPod, PodControl
from kubeherd.controller.workload.writer import ObjectWriter

UNTRACK: JsonObject = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
"""Strategic merge patch; the finalizers of others stay."""


class Sync:
    """One look at one Job."""

    def __init__(
        self,
        memory: Memory,
        writer: ObjectWriter,
        control: PodControl,
        record: Record,
        clock: Clock,
    ) -> None:
        self._memory = memory
        self._writer = writer
        self._control = control
        self._record = record
        self._clock = clock

    async def run(self, job: Job, pods: Sequence[Pod]) -> float | None:
        """Do what has to be done for a Job with these pods; seconds until the next look.

        ReconcileError if pods could not be written, ApiError or TransportError if the status could
        not be.
        """
        now = self._now()
        memory = self._memory
        observed = Observed(job, pods, memory.backoff, memory.started_ago_s(job))
        standing = assess(observed, now)
        actions = manage(standing, now)
        outcome, errors = await self._act(standing.job, actions)
        await self._count(standing, actions, outcome)
        if errors:
            raise ReconcileError("; ".join(dict.fromkeys(str(error) for error in errors)))
        return actions.look_again_s

    def _now(self) -> Now:
        return Now(timestamp=format_time(self._clock.now()), age_s=self._clock.age_s)

    # --- pods ---

    async def _act(self, job: Job, actions: Actions) -> tuple[Outcome, list[Exception]]:
        if actions.creates:
            created = await self._control.create_many(self._new_pods(job, actions.creates))
            return Outcome(created=created.count), created.errors
        delete = self._drop if actions.untrack else self._control.delete
        results = await self._writer.together(actions.deletes, delete)
        gone = [pod for pod, error in zip(actions.deletes, results, strict=True) if error is None]
        outcome = Outcome(deleted=len(gone), deleted_ready=sum(map(is_ready, gone)))
        return outcome, [error for error in results if error is not None]

    def _new_pods(self, job: Job, creates: Sequence[Wanted]) -> list[NewPod]:
        """Pods to create: those with an index are known by it, the others are all alike."""
        template = self._memory.template(job)
        if job.indexed:
            return [NewPod(str(new.index), template.pod(new)) for new in creates]
        identities = self._memory.names.identities(len(creates))
        return [NewPod(identity, template.pod(Wanted())) for identity in identities]

    async def _drop(self, pod: Pod) -> Exception | None:
        """Delete a pod that is not to be counted."""
        error = await self._untrack(pod)
        return error or await self._control.delete(pod)

    async def _untrack(self, pod: Pod) -> Exception | None:
        if FINALIZER not in pod.metadata.finalizers:
            return None
        try:
            await self._writer.patch(PODS, pod.metadata.name, UNTRACK, PatchKind.STRATEGIC)
        except NotFound:
            return None
        except (ApiError, TransportError) as error:
            return error
        return None

    # --- counting ---

    async def _count(self, standing: Assessment, actions: Actions, outcome: Outcome) -> None:
        now = self._now()
        tracked = tracking.track(standing, actions, outcome, now)
        job = standing.job
        if tracked.changed:
            job = await self._store(job, tracked.status)
            self._memory.backoff = standing.backoff
            if tracked.status.start_time != standing.stored.start_time:
                self._memory.started(tracked.status.start_time)
            for event in tracked.events:
                self._record(event)
        results = await self._writer.together(tracked.untrack, self._untrack)
        removed = {
            pod.metadata.uid
            for pod, error in zip(tracked.untrack, results, strict=True)
            if error is None
        }
        status = tracking.settled(tracked.status, tracked.uids - removed)
        errors = [error for error in results if error is not None]
        if errors:
            if status != tracked.status:
                await self._store(job, status)
            raise errors[0]
        tracked = msgspec.structs.replace(tracked, status=status)
        final, events = tracking.finish(job, tracked, now)
        if final != job.status:
            await self._store(job, final)
            for event in events:
                self._record(event)

    async def _store(self, job: Job, status: JobStatus) -> Job:
        """Write the status, against the version that was seen; the Job as it is stored now."""
        tree: JsonObject = {
            **msgspec.to_builtins(job),
            "apiVersion": JOBS.api_version,
            "kind": JOBS.kind,
            "status": msgspec.to_builtins(status),
        }
        stored = await self._writer.update(JOBS, tree, subresource="status")
        version = str(stored["metadata"].get("resourceVersion") or "")
        metadata = msgspec.structs.replace(job.metadata, resource_version=version)
        return msgspec.structs.replace(job, metadata=metadata, status=status)
