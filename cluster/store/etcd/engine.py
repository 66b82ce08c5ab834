"""etcd as a `SharedEngine`: many servers share it, and a real API server may be one of them.

Invariants: an object's revision is its key's `mod_revision`; a transaction compares the revisions
of all that it rests on and is sent once, unless it is certain that it was not made.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from kubeherd.cluster.api.etcd import keys
from kubeherd.cluster.api.etcd.keys import REGISTRY, ObjectKey
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import OutcomeUnknown, Row
from kubeherd.cluster.store.etcd import messages, watch
from kubeherd.cluster.store.etcd.client import EtcdClient, LeaseGone, NoSpace
from kubeherd.cluster.store.etcd.compaction import Compactor
from kubeherd.cluster.store.etcd.leases import Leases
from kubeherd.cluster.store.etcd.member import Call
from kubeherd.cluster.store.etcd.messages import rpc
from kubeherd.cluster.store.etcd.rows import RowReader
from kubeherd.cluster.store.etcd.target import EtcdTarget
from kubeherd.cluster.store.etcd.watch import EVERYTHING, Following
from kubeherd.cluster.store.sharedengine import (
    Change,
    Compacted,
    Conflict,
    Guard,
    Made,
    Progress,
)

PAGE_ROWS = 1000
"""So many objects are read at a time: 1.5 GB if each is as large as etcd allows."""

_START = REGISTRY.encode()


class EtcdEngine:
    """See `cluster.store.sharedengine.SharedEngine`."""

    def __init__(self, target: EtcdTarget, rng: Rng) -> None:
        self._client = EtcdClient(target, rng)
        self._reader = RowReader()
        self._leases = Leases(self._client)
        self._compactor = Compactor(self._client)
        self._following = Following(self._client, rng, self._reader.event, self.newest)

    async def open(self) -> int:
        """As `SharedEngine.open`; StoreError also if not all keys may be read."""
        request = rpc.RangeRequest(key=EVERYTHING, range_end=EVERYTHING, limit=1, keys_only=True)
        answer = await self._client.ask(Call.RANGE, request)
        return int(answer.header.revision)

    async def newest(self) -> int:
        """As `SharedEngine.newest`: a read of one key, which etcd's leader confirms."""
        request = rpc.RangeRequest(key=_START, keys_only=True)
        answer = await self._client.ask(Call.RANGE, request)
        return int(answer.header.revision)

    async def load(self, revision: int) -> Sequence[Row]:
        """As `SharedEngine.load`."""
        rows: list[Row] = []
        request = rpc.RangeRequest(
            key=_START, range_end=_end_of(_START), revision=revision, limit=PAGE_ROWS
        )
        while True:
            try:
                answer = await self._client.ask(Call.RANGE, request)
            except Compacted as error:
                raise Compacted(str(error), await watch.oldest(self._client)) from None
            rows.extend(row for row in map(self._reader.row, answer.kvs) if row is not None)
            if not answer.more:
                return rows
            request.key = answer.kvs[-1].key + b"\0"

    async def is_empty(self) -> bool:
        """Whether there is no key of Kubernetes, be it readable or not. StoreError."""
        request = rpc.RangeRequest(key=_START, range_end=_end_of(_START), count_only=True)
        answer = await self._client.ask(Call.RANGE, request)
        return not answer.count

    def follow(self, after: int) -> AsyncIterator[Progress]:
        """As `SharedEngine.follow`."""
        return self._following.events(after)

    async def ask_progress(self) -> None:
        """As `SharedEngine.ask_progress`."""
        self._following.ask()

    async def transact(self, changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        """As `SharedEngine.transact`."""
        try:
            return await self._try(changes, guards)
        except LeaseGone:
            self._leases.forget()
            return await self._try(changes, guards)

    async def _try(self, changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        names = [_key(change) for change in changes]
        compare = [
            rpc.Compare(key=name, target=messages.MOD, mod_revision=change.base)
            for name, change in zip(names, changes, strict=True)
        ]
        operations = []
        for name, change in zip(names, changes, strict=True):
            lease_id = await self._leases.lease(change.ttl_s) if change.ttl_s else 0
            operations.append(_operation(name, change.value, lease_id))
        compare.extend(_guard(guard) for guard in guards)
        request = rpc.TxnRequest(compare=compare, success=operations)
        try:
            answer = await self._client.ask(Call.TXN, request, once=True)
        except NoSpace as error:
            await self._must_be_untouched(names, changes, error)
            raise
        revision = answer.header.revision
        return Made(revision) if answer.succeeded else Conflict(revision)

    async def _must_be_untouched(
        self, names: Sequence[bytes], changes: Sequence[Change], error: NoSpace
    ) -> None:
        """OutcomeUnknown unless every object is still the one that was to be changed."""
        for name, change in zip(names, changes, strict=True):
            request = rpc.RangeRequest(key=name, keys_only=True)
            found = (await self._client.ask(Call.RANGE, request)).kvs
            if (found[0].mod_revision if found else 0) != change.base:
                raise OutcomeUnknown(str(error)) from error

    async def compact(self, revision: int) -> None:
        """As `SharedEngine.compact`."""
        await self._compactor.compact(revision)

    async def close(self) -> None:
        """As `SharedEngine.close`."""
        await self._client.close()


def _key(named: Change | Guard) -> bytes:
    return keys.encode(ObjectKey(named.resource_key, named.namespace, named.name))


def _end_of(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with a prefix."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def _guard(guard: Guard) -> Any:
    if guard.name:
        return rpc.Compare(key=_key(guard), target=messages.MOD, mod_revision=guard.revision)
    start = keys.prefix(guard.resource_key).encode()
    return rpc.Compare(
        key=start,
        range_end=_end_of(start),
        target=messages.MOD,
        result=messages.LESS,
        mod_revision=guard.revision + 1,
    )


def _operation(name: bytes, value: bytes | None, lease_id: int) -> Any:
    if value is None:
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=name))
    put = rpc.PutRequest(key=name, value=value, lease=lease_id)
    return rpc.RequestOp(request_put=put)
