"""Heartbeats: one at a time, a timer in between; those of a fleet at common moments, never sooner
than asked."""

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from kubeherd.agents.kubelet.timers import Timers
from kubeherd.agents.node.beat import Beat, on_tick
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

EVERY_S = 10.0
seconds = st.floats(0, 1e6, allow_nan=False)


@given(seconds, st.floats(0, 100, allow_nan=False))
def test_a_wait_ends_on_a_tick_and_is_less_than_one_longer(now_s: float, wait_s: float) -> None:
    longer_s = on_tick(now_s, wait_s, 0.5)
    assert wait_s <= longer_s < wait_s + 0.5 + 1e-6
    ticks = (now_s + longer_s) / 0.5
    assert abs(ticks - round(ticks)) < 1e-6


def test_without_ticks_a_wait_stays_as_it_is() -> None:
    assert on_tick(3.3, 9.7, 0.0) == 9.7


class Counted:
    """A heart whose beats take as long as is said."""

    def __init__(self, clock: VirtualClock) -> None:
        self.began_s: list[float] = []
        self.takes_s = 0.0
        self.resting = False
        self._clock = clock

    async def beat(self) -> None:
        self.began_s.append(self._clock.monotonic_s())
        await self._clock.sleep(self.takes_s)

    def rests(self) -> bool:
        return self.resting

    def interval_s(self) -> float:
        return EVERY_S


def beating(test: Callable[[VirtualClock, Counted, Beat], Awaitable[None]]) -> None:
    async def main(clock: VirtualClock) -> None:
        timers, heart = Timers(clock), Counted(clock)
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(timers.run())
            beat = Beat("heart", heart, timers=timers, tasks=tasks, clock=clock, tick_s=0.0)
            await test(clock, heart, beat)
            beat.stop()
            ticking.cancel()

    virtualtime.run_with_clock(main)


def test_the_next_beat_follows_after_the_interval() -> None:
    async def scenario(clock: VirtualClock, heart: Counted, beat: Beat) -> None:
        begin_s = clock.monotonic_s()
        heart.takes_s = 1.0
        beat.now()
        await clock.sleep(24)
        assert [began_s - begin_s for began_s in heart.began_s] == [0, 11, 22]

    beating(scenario)


def test_who_asks_during_a_beat_gets_another_one_after_it() -> None:
    async def scenario(clock: VirtualClock, heart: Counted, beat: Beat) -> None:
        begin_s = clock.monotonic_s()
        heart.takes_s = 2.0
        beat.now()
        await clock.sleep(1)
        beat.now()
        beat.now()
        await clock.sleep(7)
        assert [began_s - begin_s for began_s in heart.began_s] == [0, 2]

    beating(scenario)


def test_a_heart_that_rests_is_asked_again_after_the_interval() -> None:
    async def scenario(clock: VirtualClock, heart: Counted, beat: Beat) -> None:
        begin_s = clock.monotonic_s()
        beat.now()
        await clock.sleep(1)
        heart.resting = True
        await clock.sleep(20)
        heart.resting = False
        await clock.sleep(10)
        assert [began_s - begin_s for began_s in heart.began_s] == [0, 30]

    beating(scenario)


def test_after_a_stop_none_begins() -> None:
    async def scenario(clock: VirtualClock, heart: Counted, beat: Beat) -> None:
        heart.takes_s = 2.0
        beat.now()
        await clock.sleep(1)
        beat.now()
        beat.stop()
        await clock.sleep(100)
        assert len(heart.began_s) == 1

    beating(scenario)
