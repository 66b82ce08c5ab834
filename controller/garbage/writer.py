"""The collector's requests: live looks at owners, patches of references, finalizers, deletes.

Invariants: nothing is deleted without preconditions on uid and resourceVersion; an object that is
gone, or is another one under the same name, counts as done.
"""

from collections.abc import Sequence

from kubeherd.cluster.api.errors import BadRequest, Conflict, NotFound, UnsupportedMediaType
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import ObjectMeta, PartialObject
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.controller.garbage import plan
from kubeherd.controller.garbage.graph import Item

CONFLICT_TRIES = 5


class GarbageWriter:
    """Reads and writes any kind by its metadata."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def look(self, resource: Resource, namespace: str, name: str) -> ObjectMeta | None:
        """The live metadata of an object, or None if there is none."""
        try:
            found = await self._client.get(resource, PartialObject, name, namespace)
        except NotFound:
            return None
        return found.metadata

    async def delete(self, item: Item, known: ObjectMeta, how: plan.Propagation) -> bool:
        """Delete an object as ``known``; False if its owners are others by now: decide again."""
        meta: ObjectMeta | None = known
        for _ in range(CONFLICT_TRIES):
            if meta is None or meta.uid != item.uid:
                return True
            if tuple(meta.owner_references) != item.owners:
                return False
            try:
                await self._client.delete(
                    item.resource,
                    item.name,
                    item.namespace,
                    uid=item.uid,
                    resource_version=meta.resource_version,
                    propagation=how.value,
                )
            except NotFound:
                return True
            except Conflict:
                meta = await self.look(item.resource, item.namespace, item.name)
            else:
                return True
        return False

    async def drop_owners(self, item: Item, owners: Sequence[str]) -> None:
        """Take owner references off an object."""
        try:
            try:
                patch = plan.drop_references_patch(item.uid, owners)
                await self._client.patch(item.resource, item.name, patch, item.namespace)
            except (UnsupportedMediaType, BadRequest):
                await self._drop_owners_by_merge(item, owners)
        except NotFound:
            return
        except Conflict:
            meta = await self.look(item.resource, item.namespace, item.name)
            if meta is not None and meta.uid == item.uid:
                raise

    async def _drop_owners_by_merge(self, item: Item, owners: Sequence[str]) -> None:
        tree = await self._client.request("GET", item.resource.path(item.namespace, item.name))
        if tree["metadata"].get("uid") != item.uid:
            return
        patch = plan.drop_references_merge_patch(tree["metadata"], owners)
        await self._client.patch(
            item.resource, item.name, patch, item.namespace, kind=PatchKind.MERGE
        )

    async def unblock(self, item: Item) -> None:
        """Make an object block none of its owners."""
        await self._client.patch(item.resource, item.name, plan.unblock_patch(item), item.namespace)

    async def remove_finalizer(self, item: Item, finalizer: str) -> None:
        """Take a finalizer off an object; the last Conflict of `CONFLICT_TRIES` is raised."""
        for attempt in range(1, CONFLICT_TRIES + 1):
            meta = await self.look(item.resource, item.namespace, item.name)
            if meta is None or meta.uid != item.uid or finalizer not in meta.finalizers:
                return
            patch = {
                "metadata": {
                    "resourceVersion": meta.resource_version,
                    "finalizers": [name for name in meta.finalizers if name != finalizer],
                }
            }
            try:
                await self._client.patch(
                    item.resource, item.name, patch, item.namespace, kind=PatchKind.MERGE
                )
                return
            except NotFound:
                return
            except Conflict:
                if attempt == CONFLICT_TRIES:
                    raise
