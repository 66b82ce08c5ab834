"""Carries a plan out: the writes to pods and claims (spec sections 4, 6 and 9).

Invariants: an ordered StatefulSet has one write under way; in a parallel one, works go in batches
of 1, 2, 4, ... that stop after the first with an error; a pod is created after its claims, and
only if these could be had.
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PERSISTENTVOLUMECLAIMS, PODS
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.statefulset.model import ClaimChange, Plan, PodWork, Verb
from kubeherd.controller.statefulset.podtemplate import put_right
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.apps import StatefulSet
from kubeherd.controller.workload.events import Event, EventType, Record
from kubeherd.controller.workload.pods.slowstart import batches
from kubeherd.controller.workload.writer import ObjectWriter

WriteError = ReconcileError | ApiError | TransportError


class _OwnersNotWritten(ReconcileError):
    """A claim could not be given its owners."""


class Execution:
    """Carries out one plan of one StatefulSet."""

    def __init__(self, writer: ObjectWriter, statefulset: StatefulSet, record: Record) -> None:
        self._writer = writer
        self._statefulset = statefulset
        self._name = statefulset.metadata.name
        self._record = record

    async def run(self, plan: Plan) -> list[Exception]:
        """Phase after phase up to the first error; what went wrong."""
        for works in plan.phases:
            errors = await self._phase(works, is_ordered=plan.is_ordered)
            if errors:
                return errors
        return []

    async def _phase(self, works: Sequence[PodWork], *, is_ordered: bool) -> list[Exception]:
        start = 0
        sizes = [1] * len(works) if is_ordered else batches(len(works))
        for size in sizes:
            batch = works[start : start + size]
            start += size
            results = await self._writer.together(batch, self._work)
            errors: list[Exception] = [result for result in results if result is not None]
            if errors:
                return errors
        return []

    async def _work(self, work: PodWork) -> WriteError | None:
        """What went wrong; said as an event, unless that says nothing new (9)."""
        try:
            await self._carry_out(work)
        except (Conflict, AlreadyExists) as error:
            return error
        except _OwnersNotWritten as error:
            self._say(Verb.UPDATE, work.name, error)
            return error
        except (ReconcileError, ApiError, TransportError) as error:
            self._say(work.verb, work.name, error)
            return error
        self._say(work.verb, work.name)
        return None

    async def _carry_out(self, work: PodWork) -> None:
        await self._create_claims(work)
        if work.tree is not None:
            await self._writer.create(PODS, work.tree)
        for change in work.own_claims:
            await self._own(change)
        if work.fixes_pod and work.pod is not None:
            await self._fix(work.name, work.pod.metadata.uid)
        if work.verb is Verb.DELETE and work.pod is not None:
            await self._delete(work.name, work.pod.metadata.uid)

    async def _create_claims(self, work: PodWork) -> None:
        """All that can be created; ReconcileError with what could not be had."""
        problems = []
        for tree in work.create_claims:
            name = tree["metadata"]["name"]
            try:
                await self._writer.create(PERSISTENTVOLUMECLAIMS, tree)
            except AlreadyExists as error:
                problems.append(f"failed to create PVC {name}: {error}")
            except (ApiError, TransportError) as error:
                problems.append(f"failed to create PVC {name}: {error}")
                text = f"{Verb.CREATE} Claim {name} for Pod {work.name} in StatefulSet {self._name}"
                self._event(EventType.WARNING, "FailedCreate", f"{text} failed error: {error}")
            else:
                text = f"{Verb.CREATE} Claim {name} Pod {work.name} in StatefulSet {self._name}"
                self._event(EventType.NORMAL, "SuccessfulCreate", f"{text} success")
        if work.failure:
            problems.append(work.failure)
        if problems:
            text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
            raise ReconcileError(text)

    async def _own(self, change: ClaimChange) -> None:
        """Give a claim its owners, unless it has changed since it was looked at."""
        name = change.name
        if change.conflicting:
            self._event(
                EventType.WARNING,
                "ConflictingController",
                f"PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a "
                "manging controller, the retention policy is ignored for this claim",
            )
        tree = await self._get(PERSISTENTVOLUMECLAIMS.path(self._writer.namespace, name))
        tree["metadata"]["resourceVersion"] = change.resource_version
        tree["metadata"]["ownerReferences"] = msgspec.to_builtins(change.references)
        try:
            await self._writer.update(PERSISTENTVOLUMECLAIMS, tree)
        except Conflict:
            raise
        except ApiError as error:
            text = f"could not update claim {name} for delete policy ownerRefs: {error}"
            raise _OwnersNotWritten(text) from error

    async def _fix(self, name: str, uid: str) -> None:
        """Write labels and volumes of a pod, if it is still the same."""
        tree = await self._get(PODS.path(self._writer.namespace, name))
        if tree["metadata"]["uid"] == uid:
            await self._writer.update(PODS, put_right(self._statefulset, tree))

    async def _delete(self, name: str, uid: str) -> None:
        """Delete this pod, not one that was made anew; one that is gone is no error."""
        with suppress(NotFound):
            await self._writer.delete(PODS, name, uid=uid)

    async def _get(self, path: str) -> JsonObject:
        return await self._writer.client.request("GET", path)

    def _say(self, verb: Verb, pod_name: str, error: Exception | None = None) -> None:
        if verb is Verb.NOTHING:
            return
        text = f"{verb} Pod {pod_name} in StatefulSet {self._name}"
        if error is None:
            self._event(EventType.NORMAL, f"Successful{verb}", f"{text} successful")
        else:
            self._event(EventType.WARNING, f"Failed{verb}", f"{text} failed error: {error}")

    def _event(self, type_: EventType, reason: str, message: str) -> None:
        self._record(Event(type_, reason, message))
