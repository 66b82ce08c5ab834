"""Engines whose commits go wrong as faults say, in place of a store's own while there are any.

Invariant: what fails here has reached nothing, so the store may say that it was not kept.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import Engine, Row, StoreError
from kubeherd.cluster.store.sharedengine import Change, Conflict, Guard, Made, SharedEngine
from kubeherd.faults import Fault
from kubeherd.faults.effects import StoreFail, StoreFull, StoreSlow


class _Faults:
    """What goes wrong before each commit, until it is over."""

    def __init__(self, faults: Sequence[Fault], rng: Rng) -> None:
        self._faults = faults
        self._chances = {fault.id: rng.child(fault.id) for fault in faults}
        self._over = asyncio.Event()

    def undo(self) -> None:
        """The faults are over: who waits for a slow disk goes on."""
        self._over.set()

    async def suffer(self) -> None:
        """Be slow, or a StoreError."""
        for fault in self._faults:
            if not self._over.is_set():
                await self._suffer(fault)

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


class FaultyEngine(_Faults):
    """Commits of a local engine that go wrong."""

    def __init__(self, inner: Engine, faults: Sequence[Fault], rng: Rng) -> None:
        super().__init__(faults, rng)
        self._inner = inner

    async def commit(self, rows: Sequence[Row], drop: Sequence[int], compacted: int) -> None:
        """As `Engine.commit`; slow, or a StoreError."""
        await self.suffer()
        await self._inner.commit(rows, drop, compacted)


class FaultySharedEngine(_Faults):
    """Transactions of a shared engine that go wrong."""

    def __init__(self, inner: SharedEngine, faults: Sequence[Fault], rng: Rng) -> None:
        super().__init__(faults, rng)
        self._inner = inner

    async def transact(self, changes: Sequence[Change], guards: Sequence[Guard]) -> Made | Conflict:
        """As `SharedEngine.transact`; slow, or a StoreError."""
        await self.suffer()
        return await self._inner.transact(changes, guards)
