"""Works that belong together: one ends, all end."""

import asyncio

import pytest

from kubeherd.cluster.runtime.together import together


class Endless:
    def __init__(self) -> None:
        self.ended = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended = True


async def test_when_one_ends_none_goes_on() -> None:
    endless = Endless()
    await together(endless.run(), asyncio.sleep(0))
    assert endless.ended


async def test_what_one_raises_is_raised_alone() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("no")

    endless = Endless()
    with pytest.raises(OSError, match="no"):
        await together(endless.run(), fails())
    assert endless.ended


async def test_who_cancels_it_cancels_all() -> None:
    works = [Endless(), Endless()]
    task = asyncio.create_task(together(*(one.run() for one in works)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(one.ended for one in works)
