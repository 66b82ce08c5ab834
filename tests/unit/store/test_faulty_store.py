"""Store faults: what is refused is not kept, what is slow is kept, and all is well afterwards."""

import asyncio

import pytest

from kubeherd.cluster.api.errors import ServiceUnavailable
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.store.engine import MemoryEngine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import Attrs
from kubeherd.cluster.store.store import PROBE_JITTER, PROBE_S, Store, running
from kubeherd.faults import Component, Effect, Fault, effects
from kubeherd.simulation import virtualtime


def hurt(store: Store, effect: Effect) -> None:
    fault = Fault(id="f1", target=Component("apiserver"), effect=effect)
    store.hurt([fault], Rng(1))


def put(store: Store, name: str) -> Staged:
    return store.put("pods", "ns", name, lambda rv: b'{"rv":%d}' % rv, Attrs())


def store() -> Store:
    return LocalStore(MemoryEngine(), lambda _key, _json: Attrs(), rng=Rng(1))


@pytest.mark.parametrize("effect", [effects.StoreFull(), effects.StoreFail()])
def test_a_commit_that_fails_keeps_nothing(effect: Effect) -> None:
    async def main() -> None:
        async with running(store()) as hurt_store:
            hurt(hurt_store, effect)
            with pytest.raises(ServiceUnavailable, match="the fault f1"):
                await hurt_store.committed(put(hurt_store, "a"))
            assert hurt_store.get("pods", "ns", "a") is None
            await asyncio.sleep(10 * PROBE_S)
            assert not hurt_store.writable
            hurt_store.hurt([], Rng(1))
            await asyncio.sleep(PROBE_S * (1 + PROBE_JITTER))
            assert hurt_store.writable
            await hurt_store.committed(put(hurt_store, "a"))
            assert hurt_store.get("pods", "ns", "a") is not None

    virtualtime.run(main())


def test_some_commits_fail() -> None:
    async def main() -> None:
        async with running(store()) as hurt_store:
            hurt(hurt_store, effects.StoreFail(probability=0.5))
            kept = 0
            for n in range(100):
                try:
                    await hurt_store.committed(put(hurt_store, f"p{n}"))
                    kept += 1
                except ServiceUnavailable:
                    pass
            assert 30 < kept < 70
            assert len(hurt_store.list("pods")) == kept

    virtualtime.run(main())


def test_a_slow_commit_takes_its_time_and_no_longer_than_its_fault() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with running(store()) as hurt_store:
            hurt(hurt_store, effects.StoreSlow(delay_s=7))
            await hurt_store.committed(put(hurt_store, "a"))
            assert loop.time() == pytest.approx(7)
            committing = asyncio.ensure_future(hurt_store.committed(put(hurt_store, "b")))
            await asyncio.sleep(3)
            assert not hurt_store.writable  # as a slow answer of etcd: unready
            hurt_store.hurt([], Rng(1))
            await committing
            assert loop.time() == pytest.approx(10)

    virtualtime.run(main())


def test_before_is_the_revision_after_which_so_many_events_lie() -> None:
    async def main() -> None:
        async with running(store()) as kept:
            for n in range(3):
                await kept.committed(put(kept, f"p{n}"))
                await kept.committed(kept.put("nodes", "", f"n{n}", lambda _: b"{}", Attrs()))
            assert [kept.before("pods", 7, events) for events in (0, 1, 2, 3, 9)] == [6, 4, 2, 0, 0]
            assert kept.before("pods", 4, 1) == 2
            assert kept.before("secrets", 5, 1) == 0

    virtualtime.run(main())
