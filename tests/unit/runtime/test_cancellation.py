"""A loop that catches everything ends all the same when it is cancelled."""

import asyncio

from patience import PATIENCE_S

from kubeherd.cluster.runtime.cancellation import raise_if_cancelled


async def failing(now: asyncio.Event) -> None:
    await now.wait()
    raise ValueError("a child's fault")


async def stubborn(now: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(failing(now))
        except Exception:
            raise_if_cancelled()
            now.clear()


async def test_a_cancellation_beside_a_childs_failure_ends_the_loop() -> None:
    now = asyncio.Event()
    task = asyncio.ensure_future(stubborn(now))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    now.set()
    await asyncio.sleep(0)  # the child has failed; its parent does not know yet
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
    assert done, "the loop goes on"
    assert task.cancelled()


async def test_without_a_cancellation_nothing_happens() -> None:
    raise_if_cancelled()
