"""Virtual time: long waits cost nothing, order is that of the timers, a deadlock is an error."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

CLOCK = VirtualClock(virtualtime.EPOCH)


def test_a_day_passes_and_moves_the_clock() -> None:
    async def main() -> tuple[datetime, float]:
        await CLOCK.sleep(86_400)
        return CLOCK.now(), CLOCK.age_s("2026-01-01T12:00:00Z")

    assert virtualtime.run(main()) == (datetime(2026, 1, 2, tzinfo=UTC), 43_200.0)


def test_timers_fire_in_order_and_at_their_time() -> None:
    async def main() -> list[tuple[str, float]]:
        fired = []

        async def fire(name: str, after_s: float) -> None:
            await CLOCK.sleep(after_s)
            fired.append((name, CLOCK.monotonic_s()))

        await asyncio.gather(fire("c", 30), fire("a", 0.5), fire("b", 7))
        return fired

    assert virtualtime.run(main()) == [("a", 0.5), ("b", 7.0), ("c", 30.0)]


def test_a_timeout_is_virtual_too() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await CLOCK.wait_for(asyncio.Event().wait(), 300)
        return CLOCK.monotonic_s()

    assert virtualtime.run(main()) == 300.0


def test_waiting_for_nothing_is_reported_and_not_endless() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        virtualtime.run(main())


def test_waits_for_less_than_the_loops_resolution_pass_time() -> None:
    """Several wait in turn, so that one is always ready and no time passes by waiting."""

    async def main(clock: VirtualClock) -> int:
        due_s, looks = 100.0 + 1e-13, 0

        async def wait(turns: int) -> None:
            nonlocal looks
            await clock.sleep(100.0)
            for _ in range(turns):
                await asyncio.sleep(0)
            while clock.monotonic_s() < due_s and looks < 100:
                looks += 1
                with suppress(TimeoutError):
                    await clock.wait_for(asyncio.Event().wait(), due_s - clock.monotonic_s())

        await asyncio.gather(*map(wait, range(5)))
        return looks

    assert virtualtime.run_with_clock(main) <= 5
