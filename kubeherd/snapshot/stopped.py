"""The state of a stopped cluster, read from its store without changing it."""

import msgspec

from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.settings import Settings, StoreKind
from kubeherd.cluster.store.engine import Row, StoreError
from kubeherd.cluster.store.sqlite import seeded
from kubeherd.snapshot.model import Entry, Origin, Snapshot, SnapshotError, entry_of


def take(rundir: RunDir, settings: Settings) -> Snapshot:
    """All objects at the last revision. The caller holds the lock of the directory.

    SnapshotError if the store is damaged, in use, or of a kind that only a running cluster reads.
    """
    if settings.store is not StoreKind.SQLITE:
        raise SnapshotError(
            f"the cluster in {rundir.root} is stopped, and its {settings.store} store can be read"
            " only while it runs: `kubeherd up` first"
        )
    path = rundir.root / "store.db"
    if not path.exists():
        raise SnapshotError(f"the cluster in {rundir.root} has no objects yet")
    try:
        found = seeded.contents(path)
    except StoreError as error:
        raise SnapshotError(str(error)) from error
    return Snapshot(origin=Origin.KUBEHERD, revision=found.revision, entries=_latest(found.rows))


def _latest(rows: list[Row]) -> list[Entry]:
    """The objects that there are after all these writes."""
    latest: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row.resource_key, row.namespace, row.name)
        if row.deleted:
            latest.pop(key, None)
        else:
            latest[key] = row
    return [_entry(latest[key]) for key in sorted(latest)]


def _entry(row: Row) -> Entry:
    tree = msgspec.json.decode(row.value)
    return entry_of(row.resource_key, tree, created=row.create_revision, revision=row.revision)
