"""The objects of a snapshot in an etcd that has none yet.

Invariants: an etcd with anything of Kubernetes is left as it is; whatever goes wrong, what was
written is deleted again, and what could not be is told. Revisions are etcd's own: objects get new
ones, in the order of the old, those of a transaction the same. Who watches from before has to list
again: its revision is one that this etcd has not reached yet.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from kubeherd.cluster.apiserver.write.storedform import EVENT_TTL_S
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.sharedengine import Change, Conflict, SharedEngine
from kubeherd.snapshot.model import Entry, Snapshot, SnapshotError

if TYPE_CHECKING:
    from kubeherd.cluster.store.etcd.engine import EtcdEngine

GROUP: Final = 100
"""Objects in one transaction: etcd takes 128 operations by default (--max-txn-ops)."""
GROUP_BYTES: Final = 1024 * 1024
"""And about so many bytes: a request may have 1.5 MiB (--max-request-bytes)."""
_TAKING_BACK_S: Final = 60.0

_Key = tuple[str, str, str]


async def fill(
    engine: "EtcdEngine", snapshot: Snapshot, finish: Callable[[], object] = lambda: None
) -> int:
    """Write all objects, then call `finish`; returns the revision of the last one. If `finish`
    raises, as if writing had failed.

    SnapshotError if etcd has objects already, somebody else writes to it, or what was written
    before a failure could not be deleted again; StoreError.
    """
    begun: dict[_Key, Change] = {}
    try:
        revision = await engine.open()
        if not await engine.is_empty():
            raise SnapshotError(
                "etcd has objects of Kubernetes already (keys below /registry/): name one without"
            )
        for group in _groups(snapshot.entries):
            begun.update((_key(change), change) for change in group)
            made = await engine.transact(group, ())
            if isinstance(made, Conflict):
                raise SnapshotError("somebody else writes to this etcd")
            revision = made.revision
        finish()
    except BaseException as error:
        if begun:
            await _take_back(engine, begun, error)
        raise
    finally:
        await engine.close()
    return revision


async def _take_back(
    engine: SharedEngine, begun: Mapping[_Key, Change], error: BaseException
) -> None:
    """Delete what is ours; SnapshotError if that cannot be done."""
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_TAKING_BACK_S):
            await _delete(engine, begun)
            return
    raise SnapshotError(
        f"{str(error) or 'interrupted'}; and what was written to etcd could not be deleted again:"
        " before another try delete it with `etcdctl del --prefix /registry/`"
    ) from error


async def _delete(engine: SharedEngine, begun: Mapping[_Key, Change]) -> None:
    """Delete the objects that are as we wrote them, whether or not etcd said that it has them."""
    rows = await engine.load(await engine.newest())
    ours = [
        msgspec.structs.replace(change, base=row.revision, value=None)
        for row in rows
        if (change := begun.get((row.resource_key, row.namespace, row.name))) is not None
        and change.value == row.value
    ]
    for at in range(0, len(ours), GROUP):
        await engine.transact(ours[at : at + GROUP], ())


def _groups(entries: Sequence[Entry]) -> Sequence[Sequence[Change]]:
    """The objects in the order of their revisions, so many as etcd takes at a time."""
    groups: list[list[Change]] = []
    size_bytes = GROUP_BYTES
    for entry in sorted(entries, key=lambda entry: entry.revision):
        change = _change(entry)
        size_bytes += len(entry.object)
        if size_bytes > GROUP_BYTES or len(groups[-1]) >= GROUP:
            groups.append([])
            size_bytes = len(entry.object)
        groups[-1].append(change)
    return groups


def _change(entry: Entry) -> Change:
    return Change(
        entry.resource,
        entry.namespace,
        entry.name,
        base=0,
        value=bytes(entry.object),
        ttl_s=EVENT_TTL_S if entry.resource == "events" else 0,
    )


def _key(change: Change) -> _Key:
    return change.resource_key, change.namespace, change.name
