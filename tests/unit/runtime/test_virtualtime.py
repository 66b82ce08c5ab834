"""Virtual time: long waits cost nothing, order is that of the timers, a deadlock is an error."""

import asyncio
import math
import signal
import socket
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


def test_a_rest_shorter_than_the_resolution_of_timers_passes() -> None:
    """A timer that fires early with another one leaves such a rest to wait for. Two that wait for
    it must not wake in turns so that there is always something left to do."""

    async def wait_out_of_step(clock: VirtualClock, number: int) -> None:
        await clock.sleep(1.0)
        deadline_s = math.nextafter(clock.monotonic_s(), math.inf)
        for _ in range(number):
            await asyncio.sleep(0)
        looks = 0
        while (left_s := deadline_s - clock.monotonic_s()) > 0:
            with suppress(TimeoutError):
                await clock.wait_for(asyncio.Event().wait(), left_s)
            looks += 1
            assert looks < 100, "time stands still"

    async def main(clock: VirtualClock) -> None:
        await asyncio.gather(*(wait_out_of_step(clock, number) for number in range(5)))

    virtualtime.run_with_clock(main)


def test_cancelled_timers_hold_nobody_up() -> None:
    """Whether they are swept out, because there are many, or met one by one."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        for number in range(1000):
            loop.call_later(5 + number, pytest.fail, "it was cancelled").cancel()
        fired = loop.call_later(1, lambda: None)
        last = [loop.call_later(5 + number, pytest.fail, "as well") for number in range(3)]
        await CLOCK.sleep(2)
        for timer in (*last, *last, fired):
            timer.cancel()
        with pytest.raises(TimeoutError):
            await CLOCK.wait_for(asyncio.Event().wait(), 30)
        return CLOCK.monotonic_s()

    assert virtualtime.run(main()) == 32.0


def test_a_callback_that_fails_is_reported_and_the_others_go_on() -> None:
    async def main() -> list[str]:
        loop, told = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _loop, context: told.append(str(context["exception"])))
        loop.call_soon(int, "no number")
        loop.call_later(1, told.append, "later")
        await CLOCK.sleep(2)
        return told

    assert virtualtime.run(main()) == [
        "invalid literal for int() with base 10: 'no number'",
        "later",
    ]


def test_the_system_is_heard() -> None:
    """Sockets at once, signals soon."""

    async def main() -> str:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.send(b"news")
            told = await loop.sock_recv(ours, 10)
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        signal.raise_signal(signal.SIGUSR1)
        await CLOCK.wait_for(_ticking_until(heard), 1000)
        loop.remove_signal_handler(signal.SIGUSR1)
        return told.decode()

    async def _ticking_until(heard: asyncio.Event) -> None:
        while not heard.is_set():
            await CLOCK.sleep(1)

    assert virtualtime.run(main()) == "news"
