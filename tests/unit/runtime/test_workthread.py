"""A thread that does one thing after the other."""

import asyncio
import threading
from functools import partial

import pytest

from kubeherd.cluster.runtime.workthread import WorkThread


async def test_work_is_done_in_order_in_one_other_thread() -> None:
    thread, did = WorkThread("work"), list[int]()

    def work(number: int) -> int:
        did.append(number)
        return threading.get_ident()

    found = await asyncio.gather(*(thread.run(partial(work, n)) for n in range(5)))
    thread.close()
    assert did == [0, 1, 2, 3, 4]
    assert len(set(found)) == 1
    assert threading.get_ident() not in found


async def test_what_work_raises_is_raised_and_the_thread_goes_on() -> None:
    thread = WorkThread("work")

    def fails() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await thread.run(fails)
    assert await thread.run(lambda: 1) == 1
    thread.close()


async def test_work_that_nobody_waits_for_any_more_is_done() -> None:
    thread, begin, did = WorkThread("work"), threading.Event(), list[str]()
    first = asyncio.create_task(thread.run(begin.wait))
    second = asyncio.create_task(thread.run(lambda: did.append("second")))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    begin.set()
    thread.close()
    assert did == ["second"]
    await asyncio.gather(first, second, return_exceptions=True)


def test_a_loop_that_is_closed_is_told_nothing() -> None:
    thread, begin, done = WorkThread("work"), threading.Event(), threading.Event()

    def work() -> None:
        begin.wait()
        done.set()

    async def hand_over() -> None:
        waiting = asyncio.create_task(thread.run(work))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(hand_over())
    begin.set()
    thread.close()
    assert done.is_set()
