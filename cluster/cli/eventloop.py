"""Running asynchronous code in a command that signals may interrupt (`cluster.cli.interrupts`)."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kubeherd.cluster.cli.interrupts import deferred

T = TypeVar("T")


def run(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run(make())`; a signal cancels it, and is a KeyboardInterrupt once it has ended."""
    interrupted = False
    cancel: Callable[[], object] = bool

    def at_once() -> None:
        nonlocal interrupted
        interrupted = True
        cancel()

    async def cancellable() -> T:
        nonlocal cancel
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            cancel = functools.partial(loop.call_soon_threadsafe, task.cancel)
        if interrupted:
            raise asyncio.CancelledError
        return await make()

    with deferred(at_once):
        return asyncio.run(cancellable())
