"""Events that are many."""

import asyncio

from kubeherd.cluster.runtime.bell import Bell


async def test_all_who_wait_are_woken_in_their_order() -> None:
    bell, woken = Bell(), list[int]()

    async def one(number: int) -> None:
        await bell.wait()
        woken.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(one(number))
        await asyncio.sleep(0)
        assert woken == []
        assert not bell.is_set()
        bell.set()
    assert woken == [0, 1, 2]
    assert bell.is_set()
    await bell.wait()


async def test_who_gave_up_is_not_woken_and_holds_nobody_up() -> None:
    bell = Bell()
    first, second = asyncio.create_task(bell.wait()), asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    bell.set()
    await second
    assert first.cancelled()


async def test_who_waits_is_woken_although_it_is_cleared_at_once() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    bell.set()
    bell.clear()
    await waiting
    assert not bell.is_set()
    later = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    assert not later.done()
    bell.set()
    await later
