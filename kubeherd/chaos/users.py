"""What the users of a cluster do during an experiment: apply, patch, roll, delete, add and remove.

A request that fails is sent again, as people and their tools do, until `TRY_S` have passed.
"""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from kubeherd.chaos.arena import Arena
from kubeherd.chaos.experiment import DEFAULT_NAMESPACE, Do, Patch, Those
from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import AlreadyExists, ApiError, Conflict, NotFound, TooManyRequests
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.transport import TransportError
from kubeherd.faults.targets import ZONE

T = TypeVar("T")

TRY_S = 30.0
AGAIN_S = 0.5


class Users:
    """Everybody who works with the cluster and is not hurt."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._images = itertools.count(1)
        self._added = itertools.count(1)

    async def deal_zones(self, nodes: Sequence[str], zones: int) -> None:
        """Give the nodes a zone each, in turn."""
        for index, name in enumerate(nodes if zones else ()):
            labels = {ZONE: "abcdefghijklmnopqrstuvwxyz"[index % zones]}
            await self._patch(Those(kind="Node", name=name), {"metadata": {"labels": labels}})

    async def do(self, step: Do, free: Sequence[str]) -> str:
        """Do one step; what was done, in words. `free`: nodes that are not hurt, by name.

        ApiError, TransportError when it was refused, or did not succeed in time.
        """
        if step.apply:
            for tree in step.apply:
                await self.apply(tree)
            return "applied " + ", ".join(_named(tree) for tree in step.apply)
        if step.patch is not None:
            await self._patch(step.patch, step.patch.patch)
            return f"patched {step.patch.kind} {step.patch.name}"
        if step.roll is not None:
            return await self._roll(step.roll)
        if step.delete is not None:
            await self._delete(step.delete)
            return f"deleted {step.delete.kind} {step.delete.name}"
        if step.add_nodes:
            names = [f"added-{next(self._added)}" for _ in range(step.add_nodes)]
            await self._arena.add_nodes(names)
            return f"added {', '.join(names)}"
        return await self._remove_node(free)

    async def apply(self, tree: JsonObject) -> None:
        """Create an object, or bring it to this form."""
        resource = resource_of(tree["kind"], tree["apiVersion"])
        name = tree["metadata"]["name"]
        namespace = _namespace(resource, tree["metadata"].get("namespace", DEFAULT_NAMESPACE))
        client = self._arena.client

        async def once() -> None:
            try:
                await client.create(resource, tree, namespace)
            except AlreadyExists:
                await client.patch(resource, name, tree, namespace)

        await self._persist(once)

    async def _roll(self, those: Those) -> str:
        image = f"app:{next(self._images)}"
        resource = resource_of(those.kind)

        async def once() -> None:
            path = resource.path(those.namespace, those.name)
            tree = await self._arena.client.request("GET", path)
            name = tree["spec"]["template"]["spec"]["containers"][0]["name"]
            containers = [{"name": name, "image": image}]
            patch: JsonObject = {"spec": {"template": {"spec": {"containers": containers}}}}
            await self._arena.client.patch(resource, those.name, patch, those.namespace)

        await self._persist(once)
        return f"rolled {those.kind} {those.name} to {image}"

    async def _patch(self, those: Those | Patch, patch: JsonObject) -> None:
        resource = resource_of(those.kind)
        namespace = _namespace(resource, those.namespace)
        await self._persist(
            lambda: self._arena.client.patch(resource, those.name, patch, namespace)
        )

    async def _delete(self, those: Those) -> None:
        resource = resource_of(those.kind)
        namespace = _namespace(resource, those.namespace)

        async def once() -> None:
            with suppress(NotFound):
                await self._arena.client.delete(resource, those.name, namespace)

        await self._persist(once)

    async def _remove_node(self, free: Sequence[str]) -> str:
        if not free:
            return "removed no node: all are hurt"
        await self._arena.remove_node(free[-1])
        return f"removed {free[-1]}"

    async def _persist(self, act: Callable[[], Awaitable[T]]) -> T:
        deadline_s = self._arena.now_s() + TRY_S
        while True:
            try:
                return await act()
            except (ApiError, TransportError) as error:
                if _lasting(error) or self._arena.now_s() >= deadline_s:
                    raise
            await self._arena.sleep(AGAIN_S)


def _lasting(error: ApiError | TransportError) -> bool:
    """Whether the same request would be refused again."""
    if isinstance(error, (TransportError, Conflict, TooManyRequests)):
        return False
    return error.status_code < 500


def _named(tree: JsonObject) -> str:
    return f"{tree['kind']} {tree['metadata']['name']}"


def _namespace(resource: Resource, namespace: str) -> str:
    return namespace if resource.namespaced else ""


def resource_of(kind: str, api_version: str = "") -> Resource:
    """The built-in resource of a kind. LookupError if there is none."""
    for resource in kinds.ALL:
        if resource.kind == kind and api_version in ("", resource.api_version):
            return resource
    raise LookupError(f"no kind {kind} in {api_version or 'Kubernetes'}")
