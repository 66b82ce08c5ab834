"""What every cluster has from its first moment, made once for all simulated clusters of a process.

Namespaces, roles and the like are the same whatever the seed. They are made on a loop of their own,
at the moment at which virtual time begins, so that no cluster can tell whether it was the first.
"""

import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.engine import Row
from kubeherd.cluster.store.local import LocalStore
from kubeherd.simulation import virtualtime
from kubeherd.simulation.edges import Disk
from kubeherd.simulation.virtualtime import VirtualClock


class _TimelessDisk(Disk):
    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        self.keep(rows, drop, compacted)


@cache
def founded() -> tuple[Row, ...]:
    """What a new API server writes before it serves. The first call takes some 30 ms."""
    with ThreadPoolExecutor(1) as thread:  # a loop cannot run within another
        return thread.submit(virtualtime.run, _found()).result()


async def _found() -> tuple[Row, ...]:
    disk = _TimelessDisk()
    turns = Turns()
    store = LocalStore(disk, attrs_of, turns=turns)
    store.open()
    clock = VirtualClock(virtualtime.EPOCH)
    rng, heavy = Rng(0).child("founding"), HeavyWork(sys.maxsize)
    api = ApiServer(store, clock, rng, heavy=heavy, turns=turns)
    writing = asyncio.create_task(store.run())
    await api.bootstrap()
    writing.cancel()
    return tuple(disk.replay())
