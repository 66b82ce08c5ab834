"""Writes the slices of one controller, and tells its own changes from those of others.

Source: spec endpoints-controllers 4; upstream k8s.io/endpointslice (finalize) and its
endpointslice_tracker.go. Invariants: slices are created before others are updated, and deleted
last; a slice that was deleted is never taken for one that is there.
"""

import msgspec

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import ApiError, NotFound, namespace_is_terminating
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import ENDPOINTSLICES
from kubeherd.cluster.client.cache import Key, key_of
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.endpoints.objects import EndpointSlice
from kubeherd.controller.endpoints.packing import Changes
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import ReconcileError
from kubeherd.controller.workload.writer import ObjectWriter
from kubeherd.controller.workload.written import Written

_INDEX = "service"


class Target(msgspec.Struct, frozen=True):
    """Whose slices are written: ``Service ns/name``, as errors call it, and what was noted."""

    namespace: str
    name: str
    title: str
    written: Written
    may_create: bool = True
    """False while it is being deleted: the garbage collector takes its slices meanwhile."""


class SliceWriter:
    """The slices that bear one manager's name."""

    def __init__(self, context: Context, manager: str) -> None:
        self._client: ApiClient = context.client
        self._rng: Rng = context.rng.child(manager)
        self._manager = manager
        self._slices = context.informers.get(ENDPOINTSLICES, EndpointSlice)
        self._slices.cache.add_index(_INDEX, lambda one: f"{one.metadata.namespace}/{one.service}")
        self._versions: dict[Key, str] = {}
        """Of each slice written here, the version that the last write made."""
        self._deleted: set[str] = set()
        """Uids of slices deleted here that the cache still shows."""

    def existing(self, key: Key) -> list[EndpointSlice]:
        """Our slices of a Service, without those that are going."""
        return [
            one
            for one in self._slices.cache.by_index(_INDEX, f"{key[0]}/{key[1]}")
            if one.manager == self._manager
            and one.metadata.deletion_timestamp is None
            and one.metadata.uid not in self._deleted
        ]

    async def carry_out(self, target: Target, changes: Changes) -> None:
        """Write the changes; ReconcileError with what the first failure was, TransportError."""
        writer = ObjectWriter(
            self._client, target.namespace, target.written, {ENDPOINTSLICES: self._slices}
        )
        doing = "create EndpointSlice"
        try:
            for one in changes.create if target.may_create else ():
                await self._create(writer, one)
            for one in changes.update:
                doing = f"update {one.metadata.name} EndpointSlice"
                await self._update(writer, one)
            for one in changes.delete:
                doing = f"delete {one.metadata.name} EndpointSlice"
                await self._delete(writer, one)
        except ApiError as error:
            if not namespace_is_terminating(error):
                raise ReconcileError(f"failed to {doing} for {target.title}: {error}") from error

    async def _create(self, writer: ObjectWriter, one: EndpointSlice) -> None:
        name = names.generate(one.metadata.generate_name, self._rng.choice)
        named = msgspec.structs.replace(
            one, metadata=msgspec.structs.replace(one.metadata, name=name)
        )
        created = await writer.create(ENDPOINTSLICES, _tree(named))
        self._versions[one.metadata.namespace, name] = created.metadata.resource_version

    async def _update(self, writer: ObjectWriter, one: EndpointSlice) -> None:
        stored = await writer.update(ENDPOINTSLICES, _tree(one))
        self._versions[key_of(one)] = stored["metadata"]["resourceVersion"]

    async def _delete(self, writer: ObjectWriter, one: EndpointSlice) -> None:
        uid = one.metadata.uid
        seen = self._slices.cache.get(*key_of(one))
        if seen is None or seen.metadata.uid != uid:
            return
        self._deleted.add(uid)
        try:
            await writer.delete(ENDPOINTSLICES, one.metadata.name, uid=uid)
        except NotFound:
            return
        except (ApiError, TransportError):
            self._deleted.discard(uid)
            raise

    def concerned(self, old: EndpointSlice | None, new: EndpointSlice | None) -> set[Key]:
        """The Services to look at because somebody else changed a slice; called for each change."""
        if new is None:
            return set() if old is None else self._gone(old)
        if old is not None and old.service != new.service:
            return {_service_of(one) for one in (old, new)}
        mine = new.manager == self._manager
        if old is not None and (old.manager == self._manager) != mine:
            return {_service_of(new)}
        expected = self._versions.get(key_of(new)) == new.metadata.resource_version
        return {_service_of(new)} if mine and not expected else set()

    def _gone(self, old: EndpointSlice) -> set[Key]:
        self._versions.pop(key_of(old), None)
        if old.metadata.uid in self._deleted:
            self._deleted.discard(old.metadata.uid)
            return set()
        return {_service_of(old)} if old.manager == self._manager else set()


def _service_of(one: EndpointSlice) -> Key:
    return one.metadata.namespace, one.service


def _tree(one: EndpointSlice) -> JsonObject:
    return {
        "apiVersion": ENDPOINTSLICES.api_version,
        "kind": ENDPOINTSLICES.kind,
        **msgspec.to_builtins(one),
    }
