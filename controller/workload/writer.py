"""The writes of one sync to the objects of one workload.

Invariants: every write that succeeded is noted in `Written`, so that the next sync waits for it;
answers are decoded no further than their metadata; at most `CONCURRENCY` writes are under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.client.sending import Outcome, Write
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.controller.workload.written import Written

CONCURRENCY = 64

T = TypeVar("T")
R = TypeVar("R")


class ObjectWriter:
    """Creates, patches and deletes in one namespace."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        written: Written,
        reflectors: Mapping[Resource, Reflector[Any]],
    ) -> None:
        """`reflectors`: the cache of each resource that is written; a resource without one is not
        waited for."""
        self.client = client
        self.namespace = namespace
        self._written = written
        self._reflectors = reflectors
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def create(self, resource: Resource, tree: JsonObject) -> PartialObject:
        """Create an object; ApiError or TransportError."""
        (created,) = await self.create_all(resource, [tree])
        if isinstance(created, PartialObject):
            return created
        raise created

    async def create_all(
        self, resource: Resource, trees: Iterable[JsonObject]
    ) -> list[PartialObject | ApiError | TransportError]:
        """Create objects, and what became of each."""
        path = resource.path(self.namespace)
        writes = [Write("POST", path, *self.client.encode(tree)) for tree in trees]
        created = await self._sent(writes)
        for one in created:
            if isinstance(one, PartialObject):
                self.note(resource, one.metadata.resource_version)
        return created

    async def delete(self, resource: Resource, name: str, *, uid: str = "") -> None:
        """Delete an object, `uid`: only this one; ApiError (NotFound too) or TransportError."""
        (failed,) = await self.delete_all(resource, [name], uid=uid)
        if failed is not None:
            raise failed

    async def delete_all(
        self, resource: Resource, names: Sequence[str], *, uid: str = ""
    ) -> list[ApiError | TransportError | None]:
        """Delete objects, `uid`: only one that has it; what went wrong with each."""
        writes = [self.client.deletion(resource, name, self.namespace, uid=uid) for name in names]
        deleted = await self._sent(writes)
        for one in deleted:
            if isinstance(one, PartialObject) and one.kind == resource.kind:
                self.note(resource, one.metadata.resource_version)
        return [None if isinstance(one, PartialObject) else one for one in deleted]

    async def _sent(
        self, writes: Sequence[Write]
    ) -> list[PartialObject | ApiError | TransportError]:
        """What was answered to each, an object or a Status, as far as its metadata goes."""
        outcomes = await self.client.send_all(writes, parallel=CONCURRENCY)
        return [self._decoded(one) for one in outcomes]

    def _decoded(self, outcome: Outcome) -> PartialObject | ApiError | TransportError:
        if not isinstance(outcome, TransportResponse):
            return outcome
        try:
            return self.client.decode(outcome, PartialObject)
        except (ApiError, TransportError) as error:
            return error

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: JsonObject,
        kind: PatchKind,
        *,
        subresource: str = "",
    ) -> None:
        """Patch an object; ApiError or TransportError."""
        tree = await self.client.patch(
            resource, name, patch, self.namespace, kind=kind, subresource=subresource
        )
        self._note_tree(resource, tree)

    async def update(
        self, resource: Resource, tree: JsonObject, *, subresource: str = ""
    ) -> JsonObject:
        """Replace an object or its `subresource`, against the resourceVersion that is in it; the
        stored object. ApiError or TransportError."""
        stored = await self.client.update(resource, tree, subresource=subresource)
        self._note_tree(resource, stored)
        return stored

    def note(self, resource: Resource, resource_version: str) -> None:
        """The next sync waits until the cache of `resource` shows this version."""
        reflector = self._reflectors.get(resource)
        if reflector is not None:
            self._written.note(reflector, resource_version)

    def _note_tree(self, resource: Resource, tree: JsonObject) -> None:
        self.note(resource, str(tree["metadata"].get("resourceVersion") or ""))

    async def together(self, items: Sequence[T], act: Callable[[T], Awaitable[R]]) -> list[R]:
        """What `act` gives for each item, in their order; it must not raise."""

        async def one(item: T) -> R:
            async with self._slots:
                return await act(item)

        if len(items) == 1:
            return [await act(items[0])]
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(one(item)) for item in items]
        return [task.result() for task in started]
