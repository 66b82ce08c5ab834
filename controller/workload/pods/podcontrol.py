"""Creates and deletes the pods of one workload, and says so (pkg/controller/controller_utils.go).

Invariants: creates go in batches of 1, 2, 4, ... and stop after the first batch with an error; a
create that is tried again makes no second pod; a namespace that is being deleted is no error.
"""

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
            batch = pods[start : start + size]
            start += size
            results = await self._writer.together(batch, self.create)
            errors = [result for result in results if isinstance(result, Exception)]
            count += sum(isinstance(result, str) for result in results)
            if errors:
                return Created(count, errors)
        return Created(count, [])

    async def create(self, pod: NewPod) -> str | Exception | None:
        """The name of the pod that was made, or what went wrong; None if its namespace is being
        deleted. Either is recorded as an event."""
        try:
            name = await self._make(pod)
        except (ReconcileError, ApiError, TransportError) as error:
            if namespace_is_terminating(error):
                return None
            self._warn(PodReason.FAILED_CREATE, f"Error creating: {error}")
            return error
        self._say(PodReason.SUCCESSFUL_CREATE, f"Created pod: {name}")
        return name

    async def delete_many(self, pods: Sequence[Pod]) -> list[Exception]:
        """Delete all at once; what went wrong. One that is gone already is no error."""
        results = await self._writer.together(pods, self.delete)
        return [error for error in results if error is not None]

    async def delete(self, pod: Pod) -> Exception | None:
        """Delete one pod; what went wrong. Recorded as an event."""
        try:
            await self._writer.delete(PODS, pod.metadata.name)
        except NotFound:
            return None
        except (ApiError, TransportError) as error:
            self._warn(PodReason.FAILED_DELETE, f"Error deleting: {error}")
            return error
        self._say(PodReason.SUCCESSFUL_DELETE, f"Deleted pod: {pod.metadata.name}")
        return None

    async def _make(self, pod: NewPod) -> str:
        """Create a pod, or find the one that an earlier try made; returns its name."""
        tree, identity = pod.tree, pod.identity
        generate_name = tree["metadata"]["generateName"]
        name = self._names.open_name(identity)
        for _ in range(_NAME_TRIES):
            name = name or self._names.fresh(generate_name)
            try:
                named = {**tree, "metadata": {**tree["metadata"], "name": name}}
                await self._writer.create(PODS, named)
            except AlreadyExists:
                if name == self._names.open_name(identity) and await self._is_own(name):
                    break
                self._names.answered(identity)
                name = ""
            except (TransportError, InternalError, Timeout, ServiceUnavailable):
                self._names.unanswered(identity, name)
                raise
            else:
                break
        else:
            raise ReconcileError(f"no free name for a pod found ({generate_name})")
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
