"""Carries a plan out: the writes to pods and revisions (spec sections 6, 7, 9).

Invariants: creates go in batches of 1, 2, 4, ... and stop after the first batch with an error; at
most `CONCURRENCY` requests are under way; a create that is tried again makes no second pod; an
adoption is preceded by a live look at the DaemonSet; every write that succeeded is noted, so that
the next sync waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from kubeherd.cluster.api.errors import (
    AlreadyExists,
    ApiError,
    InternalError,
    Invalid,
    NotFound,
    ServiceUnavailable,
    Timeout,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, DAEMONSETS, PODS, Resource
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, PartialObject, Pod
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.daemonset.collision import revision_exists
from kubeherd.controller.daemonset.model import (
    HASH_LABEL,
    Event,
    EventType,
    Plan,
    Reason,
    RevisionPatch,
)
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.claim import adopt_patch, release_patch
from kubeherd.controller.workload.podnames import PodNames
from kubeherd.controller.workload.slowstart import batches
from kubeherd.controller.workload.written import Written

CONCURRENCY = 64
_NAME_TRIES = 8

Record = Callable[[Event], None]
T = TypeVar("T")


class Caches:
    """The reflectors whose resources a plan writes to."""

    def __init__(
        self,
        daemonsets: Reflector[DaemonSet],
        revisions: Reflector[ControllerRevision],
        pods: Reflector[Pod],
    ) -> None:
        self.daemonsets = daemonsets
        self.revisions = revisions
        self.pods = pods


class Execution:
    """Carries out one plan of one DaemonSet."""

    def __init__(
        self,
        client: ApiClient,
        caches: Caches,
        written: Written,
        daemonset: DaemonSet,
        record: Record,
        names: PodNames,
    ) -> None:
        self._client = client
        self._caches = caches
        self._written = written
        self._daemonset = daemonset
        self._record = record
        self._names = names
        self._namespace = daemonset.metadata.namespace
        self._name = daemonset.metadata.name
        self._slots = asyncio.Semaphore(CONCURRENCY)

    # --- history: an error here fails the sync at once ---

    async def history(self, plan: Plan) -> None:
        """Claim, patch, de-duplicate and create revisions (sections 7 and 9)."""
        await self._claim(CONTROLLERREVISIONS, plan.adopt_revisions, plan.release_revisions)
        for patch in plan.patch_revisions:
            await self._patch_revision(patch)
        for relabel in plan.relabel_pods:
            labels = {"metadata": {"labels": {HASH_LABEL: relabel.hash}}}
            await self._patch(PODS, relabel.pod.metadata.name, labels, PatchKind.MERGE)
        await self.delete_revisions(plan.delete_duplicates)
        if plan.create_revision is not None:
            await self._create_revision(plan.create_revision, plan.hash)

    async def claim_pods(self, plan: Plan) -> None:
        """Adopt and release pods (section 7)."""
        try:
            await self._claim(PODS, plan.adopt_pods, plan.release_pods)
        except ReconcileError as error:
            prefix = f'couldn\'t get node to daemon pod mapping for daemon set "{self._name}"'
            raise ReconcileError(f"{prefix}: {error}") from error

    async def delete_revisions(self, revisions: Sequence[ControllerRevision]) -> None:
        """Delete revisions, one after the other."""
        for revision in revisions:
            try:
                await self._delete(CONTROLLERREVISIONS, revision.metadata.name)
            except NotFound:
                continue

    async def _claim(
        self,
        resource: Resource,
        adopt: Sequence[Pod | ControllerRevision],
        release: Sequence[Pod | ControllerRevision],
    ) -> None:
        refusal = await self._adoption_refusal() if adopt else ""
        if refusal:
            metadata = adopt[0].metadata
            what = f"{resource.kind} {metadata.namespace}/{metadata.name} ({metadata.uid})"
            raise ReconcileError(f"can't adopt {what}: {refusal}")
        for target in adopt:
            patch = adopt_patch(owner(self._daemonset), target.metadata.uid)
            try:
                await self._patch(resource, target.metadata.name, patch, PatchKind.STRATEGIC)
            except NotFound:
                continue
        for target in release:
            patch = release_patch(owner(self._daemonset), target.metadata.uid)
            try:
                await self._patch(resource, target.metadata.name, patch, PatchKind.STRATEGIC)
            except (NotFound, Invalid):
                continue

    async def _adoption_refusal(self) -> str:
        """Why the live DaemonSet must not adopt anything, "" if it may."""
        prefix = "can't recheck DeletionTimestamp: "
        try:
            live = await self._client.get(DAEMONSETS, DaemonSet, self._name, self._namespace)
        except (ApiError, TransportError) as error:
            return f"{prefix}{error}"
        wanted, got = self._daemonset.metadata.uid, live.metadata.uid
        what = f"{self._namespace}/{self._name}"
        if got != wanted:
            return f"{prefix}original DaemonSet {what} is gone: got uid {got}, wanted {wanted}"
        if live.metadata.deletion_timestamp is not None:
            return f"{what} has just been deleted at {live.metadata.deletion_timestamp}"
        return ""

    async def _patch_revision(self, patch: RevisionPatch) -> None:
        metadata = patch.revision.metadata
        tree: JsonObject = {"metadata": {"resourceVersion": metadata.resource_version}}
        if patch.hash:
            tree["metadata"]["labels"] = {HASH_LABEL: patch.hash}
        if patch.number is not None:
            tree["revision"] = patch.number
        await self._patch(CONTROLLERREVISIONS, metadata.name, tree, PatchKind.MERGE)

    async def _create_revision(self, tree: JsonObject, hash_: str) -> None:
        try:
            await self._create(CONTROLLERREVISIONS, tree)
        except AlreadyExists as error:
            hash_there = await revision_exists(self._client, self._daemonset, tree, error)
            if hash_there != hash_:
                raise ReconcileError(
                    f"revision {tree['metadata']['name']} has another hash"
                ) from error

    # --- pods: errors are collected, the status is written nevertheless ---

    async def create_pods(
        self, node_names: Sequence[str], hash_: str, template: Template
    ) -> list[Exception]:
        """Create in slow-start batches; returns what went wrong."""
        start = 0
        for size in batches(len(node_names)):
            batch = node_names[start : start + size]
            start += size
            errors = await self._together(
                batch, lambda node: self._create_pod(template, hash_, node)
            )
            if errors:
                return errors
        return []

    async def delete_pods(self, pods: Sequence[Pod]) -> list[Exception]:
        """Delete all at once; returns what went wrong."""
        return await self._together(pods, self._delete_pod)

    async def _together(
        self, items: Sequence[T], act: Callable[[T], Awaitable[Exception | None]]
    ) -> list[Exception]:
        async def one(item: T) -> Exception | None:
            async with self._slots:
                return await act(item)

        if len(items) == 1:
            results = [await act(items[0])]
        else:
            async with asyncio.TaskGroup() as tasks:
                started = [tasks.create_task(one(item)) for item in items]
            results = [task.result() for task in started]
        return [error for error in results if error is not None]

    async def _create_pod(self, template: Template, hash_: str, node_name: str) -> Exception | None:
        try:
            name = await self._make_pod(template.pod(self._daemonset, hash_, node_name), node_name)
        except (ReconcileError, ApiError, TransportError) as error:
            causes = error.causes if isinstance(error, ApiError) else []
            if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
                return None
            self._record(Event(EventType.WARNING, Reason.FAILED_CREATE, f"Error creating: {error}"))
            return error
        self._record(Event(EventType.NORMAL, Reason.SUCCESSFUL_CREATE, f"Created pod: {name}"))
        return None

    async def _make_pod(self, tree: JsonObject, node_name: str) -> str:
        """Create a pod, or find the one that an earlier try made; returns its name."""
        generate_name = tree["metadata"]["generateName"]
        name = self._names.open_name(node_name)
        if name and self._caches.pods.cache.get(self._namespace, name) is not None:
            name = ""  # made and seen, and yet the plan wants another one
        for _ in range(_NAME_TRIES):
            name = name or self._names.fresh(generate_name)
            try:
                await self._create(PODS, {**tree, "metadata": {**tree["metadata"], "name": name}})
            except AlreadyExists:
                if name == self._names.open_name(node_name) and await self._is_own_pod(name):
                    break
                self._names.answered(node_name)
                name = ""
            except (TransportError, InternalError, Timeout, ServiceUnavailable):
                self._names.unanswered(node_name, name)
                raise
            else:
                break
        else:
            raise ReconcileError(f"no free name for a pod found ({generate_name})")
        self._names.answered(node_name)
        return name

    async def _is_own_pod(self, name: str) -> bool:
        """Whether the pod of this name is this DaemonSet's; the next sync waits to see it."""
        try:
            pod = await self._client.get(PODS, PartialObject, name, self._namespace)
        except NotFound:
            return False
        owner = pod.metadata.controller()
        if owner is None or owner.uid != self._daemonset.metadata.uid:
            return False
        self._note(PODS, pod.metadata.resource_version)
        return True

    async def _delete_pod(self, pod: Pod) -> Exception | None:
        try:
            await self._delete(PODS, pod.metadata.name)
        except NotFound:
            return None
        except (ApiError, TransportError) as error:
            self._record(Event(EventType.WARNING, Reason.FAILED_DELETE, f"Error deleting: {error}"))
            return error
        message = f"Deleted pod: {pod.metadata.name}"
        self._record(Event(EventType.NORMAL, Reason.SUCCESSFUL_DELETE, message))
        return None

    # --- requests; answers are decoded no further than their metadata ---

    async def _create(self, resource: Resource, tree: JsonObject) -> PartialObject:
        body, content_type = self._client.encode(tree)
        path = resource.path(self._namespace)
        answer = await self._client.send("POST", path, body=body, content_type=content_type)
        created = self._client.decode(answer, PartialObject)
        self._note(resource, created.metadata.resource_version)
        return created

    async def _delete(self, resource: Resource, name: str) -> None:
        answer = await self._client.send("DELETE", resource.path(self._namespace, name))
        deleted = self._client.decode(answer, PartialObject)
        if deleted.kind == resource.kind:
            self._note(resource, deleted.metadata.resource_version)

    async def _patch(
        self, resource: Resource, name: str, patch: JsonObject, kind: PatchKind
    ) -> None:
        tree = await self._client.patch(resource, name, patch, self._namespace, kind=kind)
        self._note(resource, str(tree["metadata"].get("resourceVersion") or ""))

    def _note(self, resource: Resource, resource_version: str) -> None:
        reflector = self._caches.pods if resource is PODS else self._caches.revisions
        self._written.note(reflector, resource_version)
