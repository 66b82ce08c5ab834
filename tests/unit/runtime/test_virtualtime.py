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


def test_the_shortest_wait_moves_time_on() -> None:
    """Else who waits for what is left until a moment would wait in a circle."""

    async def main(clock: VirtualClock) -> float:
        until_s = clock.monotonic_s() + 1e-12
        with suppress(TimeoutError):
            await clock.wait_for(asyncio.Event().wait(), until_s - clock.monotonic_s())
        assert clock.monotonic_s() >= until_s
        await clock.sleep(0)
        return clock.monotonic_s()

    assert virtualtime.run_with_clock(main) == virtualtime.TICK_S
