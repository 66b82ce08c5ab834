"""Creates and deletes the pods of one workload, and says so (pkg/controller/controller_utils.go).

Invariants: creates go in batches of 1, 2, 4, ... and stop after the first batch with an error; a
create that is tried again makes no second pod; a namespace that is being deleted is no error.
"""

import itertools
from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api.errors import (
    AlreadyExists,
    ApiError,
    InternalError,
    NotFound,
    ServiceUnavailable,
    Timeout,
    namespace_is_terminating,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.events import Event, EventType, PodReason, Record
from kubeherd.controller.workload.pods.podnames import PodNames
from kubeherd.controller.workload.pods.slowstart import batches
from kubeherd.controller.workload.writer import ObjectWriter

TOGETHER = 256
"""So many creates or deletes are sent at once: some requests full (`cluster.client.batching`)."""
_NAME_TRIES = 8


class NewPod(msgspec.Struct, frozen=True):
    """A pod to create. `identity`: what it is for (a node, an index, a place in the number of
    replicas): of two creates for one identity, of which the first got no answer, one is made.
    `tree` has a generateName and no name."""

    identity: str
    tree: JsonObject


class Created(msgspec.Struct, frozen=True):
    """How many pods of those wanted were made, and what went wrong with others."""

    count: int
    errors: list[Exception]


class PodControl:
    """The pods of one workload, in one sync."""

    def __init__(
        self,
        writer: ObjectWriter,
        owner: Owner,
        record: Record,
        names: PodNames,
    ) -> None:
        """`names` lives as long as the workload does."""
        self._writer = writer
        self._owner = owner
        self._record = record
        self._names = names

    async def create_many(self, pods: Sequence[NewPod]) -> Created:
        """Create in slow-start batches; none of the batches after one that had an error."""
        start = count = 0
        for size in batches(len(pods)):
            errors: list[Exception] = []
            for first in range(start, start + size, TOGETHER):
                part = pods[first : min(first + TOGETHER, start + size)]
                results = await self._create_all(part)
                errors += [result for result in results if isinstance(result, Exception)]
                count += sum(isinstance(result, str) for result in results)
            if errors:
                return Created(count, errors)
            start += size
        return Created(count, [])

    async def _create_all(self, pods: Sequence[NewPod]) -> list[str | Exception | None]:
        """The name of each pod that was made, or what went wrong; None if its namespace is being
        deleted. Either is recorded as an event."""
        names = [self._name(pod) for pod in pods]
        trees = map(_named, pods, names)
        outcomes = await self._writer.create_all(PODS, trees)
        return [
            await self._create(pod, name, outcome)
            for pod, name, outcome in zip(pods, names, outcomes, strict=True)
        ]

    async def _create(
        self, pod: NewPod, name: str, outcome: PartialObject | Exception
    ) -> str | Exception | None:
        """`_create_all` of one pod, whose first try had this outcome."""
        try:
            name = await self._make(pod, name, outcome)
        except (ReconcileError, ApiError, TransportError) as error:
            if namespace_is_terminating(error):
                return None
            self._warn(PodReason.FAILED_CREATE, f"Error creating: {error}")
            return error
        self._say(PodReason.SUCCESSFUL_CREATE, f"Created pod: {name}")
        return name

    async def delete_many(self, pods: Sequence[Pod]) -> list[Exception]:
        """Delete all at once; what went wrong. One that is gone already is no error."""
        errors: list[Exception] = []
        for start in range(0, len(pods), TOGETHER):
            part = pods[start : start + TOGETHER]
            names = [pod.metadata.name for pod in part]
            outcomes = await self._writer.delete_all(PODS, names)
            results = map(self._deleted, names, outcomes)
            errors += [error for error in results if error is not None]
        return errors

    async def delete(self, pod: Pod) -> Exception | None:
        """Delete one pod; what went wrong. Recorded as an event."""
        errors = await self.delete_many([pod])
        return errors[0] if errors else None

    def _deleted(self, name: str, error: Exception | None) -> Exception | None:
        """What went wrong with a delete, and says what became of it."""
        if isinstance(error, NotFound):
            return None
        if error is not None:
            self._warn(PodReason.FAILED_DELETE, f"Error deleting: {error}")
            return error
        self._say(PodReason.SUCCESSFUL_DELETE, f"Deleted pod: {name}")
        return None

    def _name(self, pod: NewPod) -> str:
        open_name = self._names.open_name(pod.identity)
        return open_name or self._names.fresh(pod.tree["metadata"]["generateName"])

    async def _make(self, pod: NewPod, name: str, outcome: PartialObject | Exception) -> str:
        """See that a pod is made, or find the one that an earlier try made; returns its name."""
        identity = pod.identity
        for tries in itertools.count(1):
            if isinstance(outcome, (TransportError, InternalError, Timeout, ServiceUnavailable)):
                self._names.unanswered(identity, name)
                raise outcome
            if not isinstance(outcome, Exception):
                break
            if not isinstance(outcome, AlreadyExists):
                raise outcome
            if name == self._names.open_name(identity) and await self._is_own(name):
                break
            self._names.answered(identity)
            if tries == _NAME_TRIES:
                generate_name = pod.tree["metadata"]["generateName"]
                raise ReconcileError(f"no free name for a pod found ({generate_name})")
            name = self._name(pod)
            (outcome,) = await self._writer.create_all(PODS, [_named(pod, name)])
        self._names.answered(identity)
        return name

    async def _is_own(self, name: str) -> bool:
        """Whether the pod of this name is this workload's; the next sync waits to see it.

        It is listed, not read: the roles of controllers let them list pods, and not read one.
        """
        client, namespace = self._writer.client, self._writer.namespace
        found = await client.list(
            PODS, PartialObject, namespace, field_selector=f"metadata.name={name}"
        )
        for pod in found.items:
            controller = pod.metadata.controller()
            if controller is not None and controller.uid == self._owner.metadata.uid:
                self._writer.note(PODS, pod.metadata.resource_version)
                return True
        return False

    def _say(self, reason: PodReason, message: str) -> None:
        self._record(Event(EventType.NORMAL, reason, message))

    def _warn(self, reason: PodReason, message: str) -> None:
        self._record(Event(EventType.WARNING, reason, message))


def _named(pod: NewPod, name: str) -> JsonObject:
    return {**pod.tree, "metadata": {**pod.tree["metadata"], "name": name}}
