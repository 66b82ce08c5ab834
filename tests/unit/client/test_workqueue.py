"""The work queue keeps the promises of client-go's."""

import asyncio
from datetime import UTC, datetime

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.client.metrics import of_queues
from kubeherd.cluster.client.workqueue import QueueClosed, WorkQueue
from kubeherd.cluster.runtime.metrics import Histogram
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.virtualtime import VirtualClock

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


def make_queue() -> WorkQueue[str]:
    return WorkQueue(CLOCK, Rng(1))


async def test_a_key_waits_once_however_often_it_is_added() -> None:
    queue = make_queue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_processed_comes_back_when_done_and_not_before() -> None:
    queue = make_queue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


def test_delayed_keys_come_in_order_of_time_and_the_earliest_delay_counts() -> None:
    async def main() -> list[tuple[str, float]]:
        queue = make_queue()
        queue.add_after("late", 30)
        queue.add_after("early", 10)
        queue.add_after("late", 20)
        queue.add_after("late", 40)
        got = []
        for _ in range(2):
            got.append((await queue.get(), CLOCK.monotonic_s()))
            queue.done(got[-1][0])
        await asyncio.sleep(100)
        assert len(queue) == 0
        return got

    assert virtualtime.run(main()) == [("early", 10.0), ("late", 20.0)]


def test_a_shorter_delay_wakes_a_reader_that_waits_for_a_longer_one() -> None:
    async def main() -> float:
        queue = make_queue()
        queue.add_after("slow", 100)
        reader = asyncio.ensure_future(queue.get())
        await asyncio.sleep(1)
        queue.add_after("quick", 2)
        assert await reader == "quick"
        return CLOCK.monotonic_s()

    assert virtualtime.run(main()) == 3.0


def test_a_reader_woken_a_tick_early_takes_the_key() -> None:
    """A loop's timers fire up to a nanosecond early. While others are busy virtual time stands
    still: a reader that waited for the rest of its time would spin for ever."""

    async def main(clock: VirtualClock) -> None:
        queue: WorkQueue[str] = WorkQueue(clock, Rng(1))
        queue.add_after("key", 1.0)
        await clock.sleep(1.0 - 5e-10)
        reading = asyncio.create_task(queue.get())
        for _ in range(10):
            await asyncio.sleep(0)
        assert reading.done()

    virtualtime.run_with_clock(main)


def test_failures_back_off_exponentially_until_forgotten() -> None:
    async def main() -> list[float]:
        queue = make_queue()
        waits = []
        for attempt in range(8):
            if attempt == 6:
                queue.forget("a")
            before = CLOCK.monotonic_s()
            queue.add_rate_limited("a")
            await queue.get()
            queue.done("a")
            waits.append(CLOCK.monotonic_s() - before)
        return waits

    waits = virtualtime.run(main())
    nominal = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.005, 0.01]
    for wait, expected in zip(waits, nominal, strict=True):
        assert expected <= wait <= expected * 1.1 + 1e-6


def test_all_keys_share_a_bucket() -> None:
    async def main() -> float:
        queue = make_queue()
        for index in range(150):
            queue.add_rate_limited(f"k{index}")
        for _ in range(150):
            queue.done(await queue.get())
        return CLOCK.monotonic_s()

    assert 5.0 <= virtualtime.run(main()) <= 5.5  # 100 at once, 50 at 10 a second


async def test_closing_lets_the_rest_be_done_and_then_ends_all_readers() -> None:
    queue = make_queue()
    queue.add("a")
    queue.add_after("never", 5)
    queue.close()
    queue.add("b")
    assert await queue.get() == "a"
    with pytest.raises(QueueClosed):
        await queue.get()


async def test_closing_wakes_a_waiting_reader() -> None:
    queue = make_queue()
    reader = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(QueueClosed):
        await reader


async def test_a_cancelled_reader_passes_its_wake_up_on() -> None:
    queue = make_queue()
    first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, PATIENCE_S) == "a"


async def test_a_queue_counts_what_kubernetes_counts() -> None:
    queue = make_queue()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    queue.add_rate_limited("c")
    families = {family.name: family for family in of_queues({"q": queue})}
    assert list(families["workqueue_depth"].samples) == [(("q",), 2)]
    assert await queue.get() == "a"
    families = {family.name: family for family in of_queues({"q": queue})}
    assert list(families["workqueue_adds_total"].samples) == [(("q",), 2)]
    assert list(families["workqueue_retries_total"].samples) == [(("q",), 1)]
    ((_, unfinished),) = families["workqueue_unfinished_work_seconds"].samples
    ((_, longest),) = families["workqueue_longest_running_processor_seconds"].samples
    assert isinstance(unfinished, float)
    assert isinstance(longest, float)
    assert unfinished == longest > 0
    queue.done("a")
    ((_, waited),) = families["workqueue_queue_duration_seconds"].samples
    ((_, worked),) = families["workqueue_work_duration_seconds"].samples
    assert isinstance(waited, Histogram)
    assert isinstance(worked, Histogram)
    assert (sum(waited.counts), sum(worked.counts)) == (1, 1)
