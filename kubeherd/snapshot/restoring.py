"""A cluster made of a snapshot: its directory, built beside its place and moved there whole.

Invariants: a directory that is not empty is never touched; on any failure nothing is left. The
revisions of the new cluster begin far above the snapshot's, and what was before is forgotten, so no
watcher sees them go back: who watches from before is told to list again (410), as after
`etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted`. Certificates and keys are
made when it is brought up; a snapshot has none.

How objects get into a local store is `fill`, which knows it by the interface of engines alone; into
an etcd, `etcdrestoring`. There revisions are etcd's own.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from kubeherd.cluster.api.serializer.codecs import dumps_json_to_keep
from kubeherd.cluster.apiserver.write.storedform import with_version_slot
from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.interrupts import deferred
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Settings, StoreKind
from kubeherd.cluster.runtime.files import sync_directory
from kubeherd.cluster.store.engine import FIRST_REVISION, Engine, Row, StoreError
from kubeherd.cluster.store.sqlite.engine import SKIPPED_AFTER_LOSS, SqliteEngine
from kubeherd.snapshot.model import Entry, Snapshot, SnapshotError

SKIPPED: Final = SKIPPED_AFTER_LOSS
"""So many revisions are left out between the snapshot and the first new one."""
_GROUP: Final = 500


def check_free(target: RunDir) -> None:
    """SnapshotError unless a cluster may be made here: there is nothing, or an empty directory."""
    root = target.root
    try:
        if any(root.iterdir()):
            what = "has a cluster" if target.is_ours() else "is not empty"
            raise SnapshotError(f"{root} {what}: choose another directory with --dir")
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise SnapshotError(f"{root} is not a directory") from None
    except OSError as error:
        raise SnapshotError(f"cannot read {root}: {error.strerror}") from error


def restore(snapshot: Snapshot, target: RunDir, settings: Settings) -> int:
    """Make the directory of a cluster with these objects; returns its first revision.

    LauncherError if that cannot be done; then nothing was.
    """
    check_free(target)
    beside = RunDir(target.root.with_name(f".{target.root.name}.restoring.{os.getpid()}"))
    try:
        _prepare(beside, settings, made=not target.root.exists())
        revision = _filled(snapshot, beside, settings, lambda: beside.root.rename(target.root))
    except OSError as error:
        raise SnapshotError(f"cannot restore into {target.root}: {error.strerror}") from error
    except (LauncherError, StoreError) as error:
        why = str(error).replace(str(beside.root), str(target.root))
        raise SnapshotError(f"cannot restore into {target.root}: {why}") from error
    finally:
        with deferred():
            shutil.rmtree(beside.root, ignore_errors=True)
    with suppress(OSError):
        sync_directory(target.root.parent)
    return revision


def _prepare(beside: RunDir, settings: Settings, *, made: bool) -> None:
    if not made:
        beside.root.mkdir(0o700)  # then it is not marked as made by kubeherd: the place was there
    beside.prepare()
    beside.save_settings(settings)


def _filled(
    snapshot: Snapshot, beside: RunDir, settings: Settings, move: Callable[[], object]
) -> int:
    """Put the objects where the settings say, then move the directory to its place (which is never
    over anything but an empty directory); returns the revision."""
    if settings.store is StoreKind.ETCD:
        from kubeherd.snapshot import etcdrestoring  # noqa: PLC0415 - few clusters have one

        if not settings.has_own_etcd:  # it must not keep objects of a directory that is not there
            return run(lambda: etcdrestoring.fill_given(snapshot, settings, move))
        revision = run(lambda: etcdrestoring.fill_own(snapshot, beside, settings))
    else:
        revision = run(lambda: fill(SqliteEngine(beside.root / "store.db"), snapshot))
    sync_directory(beside.root)
    move()
    return revision


async def fill(engine: Engine, snapshot: Snapshot) -> int:
    """Put the objects of a snapshot into an empty store; returns its revision. StoreError."""
    rows, revision = rows_of(snapshot)
    engine.open()
    try:
        for at in range(0, max(len(rows), 1), _GROUP):
            await engine.commit(rows[at : at + _GROUP], (), revision + SKIPPED)
    finally:
        await engine.close()
    return revision + SKIPPED


def rows_of(snapshot: Snapshot) -> tuple[Sequence[Row], int]:
    """The rows of a store, in the order of their revisions, and the last revision of the past.

    Objects without a revision of their own come last.
    """
    used: set[int] = set()
    numbered: list[tuple[int, Entry]] = []
    rest: list[Entry] = []
    for entry in snapshot.entries:
        if entry.revision > FIRST_REVISION and entry.revision not in used:
            used.add(entry.revision)
            numbered.append((entry.revision, entry))
        else:
            rest.append(entry)
    revision = max(FIRST_REVISION, snapshot.revision, *used)
    numbered += enumerate(rest, revision + 1)
    numbered.sort(key=lambda pair: pair[0])
    return [_row(entry, number) for number, entry in numbered], revision + len(rest)


def _row(entry: Entry, revision: int) -> Row:
    tree = entry.tree()
    tree["metadata"] = with_version_slot(tree["metadata"])
    tree["metadata"]["resourceVersion"] = str(revision)
    return Row(
        revision=revision,
        create_revision=min(entry.created or revision, revision),
        deleted=False,
        resource_key=entry.resource,
        namespace=entry.namespace,
        name=entry.name,
        value=dumps_json_to_keep(tree),
    )
