"""A wrong wall clock: timestamps and ages are off, waits and monotonic time are not."""

from datetime import UTC, datetime, timedelta

from kubeherd.cluster.runtime.clock import LoopClock, OffsetClock
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock


def test_it_is_right_until_it_is_set_and_again_afterwards() -> None:
    async def main(true: VirtualClock) -> None:
        wrong = OffsetClock(true)
        assert wrong.now() == true.now()
        wrong.set(-90)
        assert wrong.now() == true.now() - timedelta(seconds=90)
        assert wrong.age_s(true.now()) == -90
        assert wrong.age_s("2026-01-01T00:00:00Z") == -90
        wrong.set(0)
        assert wrong.now() == true.now()

    virtualtime.run_with_clock(main)


def test_it_drifts_from_the_moment_at_which_it_is_set() -> None:
    async def main(true: VirtualClock) -> None:
        wrong = OffsetClock(true)
        await true.sleep(1000)
        wrong.set(5, drift=0.1)
        await true.sleep(100)
        assert wrong.offset() == timedelta(seconds=15)

    virtualtime.run_with_clock(main)


def test_a_moment_is_shown_and_time_passes_from_there_or_stands() -> None:
    then = datetime(2020, 1, 2, tzinfo=UTC)

    async def main(true: VirtualClock) -> None:
        wrong = OffsetClock(true)
        await true.sleep(1000)
        for speed in (0.0, 1.0, 5.0):
            wrong.show(then, speed)
            await true.sleep(100)
            assert wrong.now() == then + timedelta(seconds=100 * speed)

    virtualtime.run_with_clock(main)


def test_waits_and_monotonic_time_are_not_touched() -> None:
    async def main(true: VirtualClock) -> None:
        wrong = OffsetClock(true)
        wrong.set(3600, drift=1.0)
        await wrong.sleep(10)
        assert wrong.monotonic_s() == true.monotonic_s() == 10

    virtualtime.run_with_clock(main)


def test_ages_are_nominal_as_those_of_the_clock_it_wraps() -> None:
    """An hour ahead at speed 10: what happened now is ten nominal hours old."""
    true = LoopClock(speed=10)
    wrong = OffsetClock(true)
    wrong.set(3600)
    assert 36_000 <= wrong.age_s(true.now()) < 36_010


class Slow(LoopClock):
    """Time passes between any two readings."""

    readings = 0

    def now(self) -> datetime:
        self.readings += 1
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.readings)


async def test_it_stands_however_long_its_reading_takes() -> None:
    then = datetime(2020, 1, 2, tzinfo=UTC)
    wrong = OffsetClock(Slow())
    wrong.show(then, 0.0)
    assert [wrong.now() for _ in range(3)] == [then] * 3
