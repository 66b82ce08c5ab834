"""Carries a plan out: the writes to ReplicaSets and to the Deployment.

Invariants: an object is only written over the version that the plan has seen; the first write that
fails ends the sync; every write that succeeded is noted, so that the next sync waits for it.
"""

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, NotFound, namespace_is_terminating
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DEPLOYMENTS, REPLICASETS
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.deployment import annotations
from kubeherd.controller.deployment.annotations import REVISION, ROLLBACK_TO
from kubeherd.controller.deployment.model import Change, Creation, Reason, Rollback
from kubeherd.controller.deployment.progress import create_failed
from kubeherd.controller.deployment.template import same_template, without_hash
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.apps import Deployment, DeploymentStatus, ReplicaSet
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.events import Event, EventType, Record
from kubeherd.controller.workload.storestatus import status_body
from kubeherd.controller.workload.writer import ObjectWriter


class Execution:
    """Carries out one plan of one Deployment."""

    def __init__(
        self, writer: ObjectWriter, deployment: Deployment, record: Record, now: str
    ) -> None:
        """`now`: RFC 3339, for conditions of what fails."""
        self._writer = writer
        self._deployment = deployment
        self._record = record
        self._now = now

    def record(self, events: Sequence[Event]) -> None:
        """Say something on the Deployment."""
        for event in events:
            self._record(event)

    async def create(self, creation: Creation) -> bool:
        """Make the new ReplicaSet; False: the namespace is going, nothing more is to be done.

        ReconcileError, ApiError or TransportError if it could not be made.
        """
        try:
            await self._writer.create(REPLICASETS, creation.tree)
        except AlreadyExists as error:
            await self._name_is_taken(creation, error)
        except (ApiError, TransportError) as error:
            if namespace_is_terminating(error):
                return False
            await self._create_failed(creation.name, error)
            raise
        self.record(creation.events)
        return True

    async def change(self, change: Change) -> None:
        """Write a ReplicaSet's new size and annotations; ApiError or TransportError."""
        name = change.before.metadata.name
        await self._writer.patch(REPLICASETS, name, patch_of(change), PatchKind.MERGE)
        self.record(change.events)

    async def delete(self, surplus: ReplicaSet) -> None:
        """Delete a ReplicaSet that is no longer kept; ApiError or TransportError."""
        try:
            await self._writer.delete(REPLICASETS, surplus.metadata.name)
        except NotFound:
            return

    async def store_status(self, status: DeploymentStatus, revision: str) -> None:
        """Write the status and the revision; ApiError or TransportError."""
        tree = status_tree(self._deployment, status, revision)
        await self._writer.update(DEPLOYMENTS, tree, subresource="status")

    async def roll_back(self, order: Rollback) -> None:
        """Take the order away, and go back if it says so; ApiError or TransportError."""
        metadata = self._deployment.metadata
        path = DEPLOYMENTS.path(metadata.namespace, metadata.name)
        live = await self._writer.client.request("GET", path)
        noted = live["metadata"].get("annotations") or {}
        asked = metadata.annotations.get(ROLLBACK_TO)
        if live["metadata"].get("uid") != metadata.uid or noted.get(ROLLBACK_TO) != asked:
            raise ReconcileError("the Deployment has changed; will look at it again")
        if order.to is None:
            noted = {key: value for key, value in noted.items() if key != ROLLBACK_TO}
            self.record(order.events)
        else:
            noted = annotations.rolled_back(noted, order.to.metadata.annotations)
            live["spec"]["template"] = without_hash(order.to.spec.template)
        live["metadata"]["annotations"] = noted
        await self._writer.update(DEPLOYMENTS, live)
        if order.to is not None:
            self.record(order.events)

    async def _name_is_taken(self, creation: Creation, error: AlreadyExists) -> NoReturn:
        """Fine if an earlier try made it; else count the collision: the next name is another."""
        metadata = self._deployment.metadata
        live = await self._writer.client.get(
            REPLICASETS, ReplicaSet, creation.name, metadata.namespace
        )
        controller = live.metadata.controller()
        owned = controller is not None and controller.uid == metadata.uid
        if owned and same_template(self._deployment.spec.template, live.spec.template):
            self._writer.note(REPLICASETS, live.metadata.resource_version)
            raise ReconcileError(f"{creation.name} is there already") from error
        status = self._deployment.status
        count = (status.collision_count or 0) + 1
        await self.store_status(
            msgspec.structs.replace(status, collision_count=count), self._revision()
        )
        raise error

    async def _create_failed(self, name: str, error: Exception) -> None:
        text = f'Failed to create new replica set "{name}": {error}'
        status = create_failed(self._deployment, text, self._now)
        self._record(Event(EventType.WARNING, Reason.CREATE_FAILED, text))
        if status == self._deployment.status:
            return
        try:
            await self.store_status(status, self._revision())
        except (ApiError, TransportError):
            return  # the create's own error matters more

    def _revision(self) -> str:
        return self._deployment.metadata.annotations.get(REVISION, "")


def patch_of(change: Change) -> JsonObject:
    """A JSON merge patch with what differs, for the version that was seen."""
    before, after = change.before, change.after
    metadata: JsonObject = {"resourceVersion": before.metadata.resource_version}
    known = before.metadata.annotations
    noted = {
        key: value for key, value in after.metadata.annotations.items() if known.get(key) != value
    }
    if noted:
        metadata["annotations"] = noted
    spec: JsonObject = {}
    if before.spec.replicas != after.spec.replicas:
        spec["replicas"] = after.spec.replicas
    if before.spec.min_ready_seconds != after.spec.min_ready_seconds:
        spec["minReadySeconds"] = after.spec.min_ready_seconds
    return {"metadata": metadata, "spec": spec} if spec else {"metadata": metadata}


def status_tree(deployment: Deployment, status: DeploymentStatus, revision: str) -> JsonObject:
    """What is sent to ``/status``: the server keeps the spec and the labels that it has, and takes
    the annotations."""
    metadata = deployment.metadata
    if revision:
        annotations = {**metadata.annotations, REVISION: revision}
        metadata = msgspec.structs.replace(metadata, annotations=annotations)
    return status_body(Owner(DEPLOYMENTS, metadata), msgspec.to_builtins(status))
