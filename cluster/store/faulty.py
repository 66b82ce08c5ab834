"""An engine whose commits go wrong as faults say; in place of the store's own while there are any.

Invariant: what fails here has reached nothing, so the store may say that it was not kept.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Engine, Row, StoreError
from kubeherd.faults import Fault
from kubeherd.faults.effects import StoreFail, StoreFull, StoreSlow


class FaultyEngine:
    """See `cluster.store.engine.Engine`. Does everything by `inner`, which is open."""

    def __init__(self, inner: Engine, faults: Sequence[Fault], rng: Rng) -> None:
        self._inner = inner
        self._faults = faults
        self._chances = {fault.id: rng.child(fault.id) for fault in faults}
        self._over = asyncio.Event()

    def undo(self) -> None:
        """The faults are over: who waits for a slow disk goes on."""
        self._over.set()

    def open(self) -> int:
        """As `Engine.open`."""
        return self._inner.open()

    def replay(self) -> Iterator[Row]:
        """As `Engine.replay`."""
        return self._inner.replay()

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        """As `Engine.commit`; slow, or a StoreError."""
        for fault in self._faults:
            if not self._over.is_set():
                await self._suffer(fault)
        await self._inner.commit(rows, drop, compacted)

    async def _suffer(self, fault: Fault) -> None:
        effect = fault.effect
        if isinstance(effect, StoreSlow):
            with suppress(TimeoutError):
                async with asyncio.timeout(effect.delay_s):
                    await self._over.wait()
        elif isinstance(effect, StoreFull):
            raise StoreError(f"cannot write to the store: no space left (the fault {fault.id})")
        elif isinstance(effect, StoreFail) and (
            effect.probability >= 1 or self._chances[fault.id].random() < effect.probability
        ):
            raise StoreError(
                f"cannot write to the store: input/output error (the fault {fault.id})"
            )

    async def close(self) -> None:
        """As `Engine.close`."""
        await self._inner.close()
