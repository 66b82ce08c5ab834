"""Carries a plan out: the writes to pods and revisions (spec sections 6, 7, 9).

Invariants: creates go in batches of 1, 2, 4, ... and stop after the first batch with an error; at
most `CONCURRENCY` requests are under way; a create that is tried again makes no second pod; an
adoption is preceded by a live look at the DaemonSet; every write that succeeded is noted, so that
the next sync waits for it.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.errors import AlreadyExists, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import CONTROLLERREVISIONS, PODS
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, Pod
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.controller.daemonset.collision import revision_exists
from kubeherd.controller.daemonset.model import HASH_LABEL, Plan, RevisionPatch
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload import claiming
from kubeherd.controller.workload.events import Record
from kubeherd.controller.workload.pods.podcontrol import NewPod, PodControl
from kubeherd.controller.workload.pods.podnames import PodNames
from kubeherd.controller.workload.writer import ObjectWriter
from kubeherd.controller.workload.written import Written


class Caches:
    """The reflectors whose resources a plan writes to."""

    def __init__(
        self,
        revisions: Reflector[ControllerRevision],
        pods: Reflector[Pod],
    ) -> None:
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
        self._daemonset = daemonset
        self._owner = owner(daemonset)
        self._writer = ObjectWriter(
            client,
            daemonset.metadata.namespace,
            written,
            {PODS: caches.pods, CONTROLLERREVISIONS: caches.revisions},
        )
        self._control = PodControl(self._writer, self._owner, record, names)

    # --- history: an error here fails the sync at once ---

    async def history(self, plan: Plan) -> None:
        """Claim, patch, de-duplicate and create revisions (sections 7 and 9)."""
        await claiming.carry_out(
            self._writer,
            self._owner,
            CONTROLLERREVISIONS,
            plan.adopt_revisions,
            plan.release_revisions,
        )
        for patch in plan.patch_revisions:
            await self._patch_revision(patch)
        for relabel in plan.relabel_pods:
            labels = {"metadata": {"labels": {HASH_LABEL: relabel.hash}}}
            await self._writer.patch(PODS, relabel.pod.metadata.name, labels, PatchKind.MERGE)
        await self.delete_revisions(plan.delete_duplicates)
        if plan.create_revision is not None:
            await self._create_revision(plan.create_revision, plan.hash)

    async def claim_pods(self, plan: Plan) -> None:
        """Adopt and release pods (section 7)."""
        try:
            await claiming.carry_out(
                self._writer, self._owner, PODS, plan.adopt_pods, plan.release_pods
            )
        except ReconcileError as error:
            name = self._daemonset.metadata.name
            prefix = f'couldn\'t get node to daemon pod mapping for daemon set "{name}"'
            raise ReconcileError(f"{prefix}: {error}") from error

    async def delete_revisions(self, revisions: Sequence[ControllerRevision]) -> None:
        """Delete revisions, one after the other."""
        for revision in revisions:
            try:
                await self._writer.delete(CONTROLLERREVISIONS, revision.metadata.name)
            except NotFound:
                continue

    async def _patch_revision(self, patch: RevisionPatch) -> None:
        metadata = patch.revision.metadata
        tree: JsonObject = {"metadata": {"resourceVersion": metadata.resource_version}}
        if patch.hash:
            tree["metadata"]["labels"] = {HASH_LABEL: patch.hash}
        if patch.number is not None:
            tree["revision"] = patch.number
        await self._writer.patch(CONTROLLERREVISIONS, metadata.name, tree, PatchKind.MERGE)

    async def _create_revision(self, tree: JsonObject, hash_: str) -> None:
        try:
            await self._writer.create(CONTROLLERREVISIONS, tree)
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
        created = await self._control.create_many(
            [NewPod(node, template.pod(self._daemonset, hash_, node)) for node in node_names]
        )
        return created.errors

    async def delete_pods(self, pods: Sequence[Pod]) -> list[Exception]:
        """Delete all at once; returns what went wrong."""
        return await self._control.delete_many(pods)
