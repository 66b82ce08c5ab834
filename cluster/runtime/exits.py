"""Waiting for the end of a process that need not be a child."""

import asyncio
import os
from collections.abc import Callable

_POLL_S = 0.05


def when_ended(pid: int, alive: Callable[[], bool], callback: Callable[[], None]) -> None:
    """Call `callback` from the running event loop once the process has ended.

    Uses a pidfd where the kernel has them, else asks at intervals whether it is `alive`.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        loop.call_soon(callback)
        return
    except (AttributeError, OSError):
        _poll(loop, alive, callback)
        return

    def on_exit() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        callback()

    loop.add_reader(descriptor, on_exit)


def _poll(
    loop: asyncio.AbstractEventLoop, alive: Callable[[], bool], callback: Callable[[], None]
) -> None:
    if alive():
        loop.call_later(_POLL_S, _poll, loop, alive, callback)
    else:
        callback()
