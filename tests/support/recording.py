"""The history of a simulated cluster: what its disk is given, as records."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import orjson

from kubeherd.cluster.store.engine import Row
from kubeherd.history import Record, Verb, Write
from kubeherd.simulation.edges import Disk
from kubeherd.simulation.virtualtime import EPOCH


class RecordingDisk(Disk):
    """Tells `tell` of every write when it is durable."""

    def __init__(self, tell: Callable[[Record], object]) -> None:
        super().__init__()
        self._tell = tell

    def keep(self, rows: Iterable[Row], drop: Sequence[int] = (), compacted: int = 0) -> None:
        rows = list(rows)
        super().keep(rows, drop, compacted)
        for row in rows:
            self._tell(written(row))

    def now(self) -> float:
        """The time of the next record."""
        return EPOCH.timestamp() + asyncio.get_running_loop().time()


def written(row: Row) -> Write:
    """A committed row as a record; nobody knows who wrote it."""
    tree = orjson.loads(row.value)
    verb = Verb.UPDATE
    if row.deleted:
        verb = Verb.DELETE
    elif row.create_revision == row.revision:
        verb = Verb.CREATE
    return Write(
        at=EPOCH.timestamp() + asyncio.get_running_loop().time(),
        revision=row.revision,
        verb=verb,
        resource=row.resource_key,
        namespace=row.namespace,
        name=row.name,
        uid=tree["metadata"].get("uid", ""),
        object=tree,
    )
