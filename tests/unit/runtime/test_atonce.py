"""A coroutine that is run like a function."""

import asyncio

import pytest

from kubeherd.cluster.runtime.atonce import WouldWait, at_once


async def _given(value: object) -> object:
    if isinstance(value, Exception):
        raise value
    return value


async def test_what_waits_for_nothing_gives_its_result() -> None:
    assert at_once(_given("it")) == "it"
    with pytest.raises(ValueError, match="what it raises"):
        at_once(_given(ValueError("what it raises")))


async def test_what_waits_is_closed() -> None:
    closed = []

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(WouldWait):
        at_once(waits())
    assert closed == [True]
