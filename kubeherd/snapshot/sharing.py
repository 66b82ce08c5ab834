"""The objects of a snapshot in an etcd that has none yet, through the interface of shared engines.

Invariants: an etcd with objects of Kubernetes is left as it is; whatever goes wrong, what was
written is deleted again as far as etcd can be asked. Revisions are etcd's own: objects get new
ones, in the order of the old, those of a transaction the same. Who watches from before has to list
again: its revision is one that this etcd has not reached yet.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from kubeherd.cluster.apiserver.write.storedform import EVENT_TTL_S
from kubeherd.cluster.store.engine import StoreError
from kubeherd.cluster.store.sharedengine import Change, Conflict, SharedEngine
from kubeherd.snapshot.model import Entry, Snapshot, SnapshotError

GROUP: Final = 100
"""Objects in one transaction: etcd takes 128 operations by default (--max-txn-ops)."""
GROUP_BYTES: Final = 1024 * 1024
"""And about so many bytes: a request may have 1.5 MiB (--max-request-bytes)."""


async def fill(engine: SharedEngine, snapshot: Snapshot) -> int:
    """Write all objects; returns the revision of the last one. SnapshotError if etcd has objects
    already, or somebody else writes to it; StoreError."""
    written: list[tuple[int, Sequence[Change]]] = []
    revision = await engine.open()
    try:
        if await engine.load(revision):
            raise SnapshotError("etcd has objects of Kubernetes already")
        for group in _groups(snapshot.entries):
            made = await engine.transact(group, ())
            if isinstance(made, Conflict):
                raise SnapshotError("somebody else writes to this etcd")
            revision = made.revision
            written.append((revision, group))
    except BaseException:
        await _take_back(engine, written)
        raise
    finally:
        await engine.close()
    return revision


async def _take_back(engine: SharedEngine, written: Sequence[tuple[int, Sequence[Change]]]) -> None:
    for revision, group in written:
        gone = [
            Change(one.resource_key, one.namespace, one.name, base=revision, value=None)
            for one in group
        ]
        with suppress(StoreError):
            await engine.transact(gone, ())


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
