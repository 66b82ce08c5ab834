"""Waiting for the end of a process that need not be a child."""

import asyncio
import os
from collections.abc import Callable

from kubeherd.cluster.launcher.processes.osproc import ProcessId, alive

_POLL_S = 0.05


def watch_exit(process: ProcessId, callback: Callable[[], None]) -> None:
    """Call `callback` from the running event loop once the process has ended.

    The process need not be a child. Uses a pidfd where the kernel has them, else looks at
    intervals.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        loop.call_soon(callback)
        return
    except (AttributeError, OSError):
        _poll_exit(loop, process, callback)
        return

    def on_exit() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        callback()

    loop.add_reader(descriptor, on_exit)


def _poll_exit(
    loop: asyncio.AbstractEventLoop, process: ProcessId, callback: Callable[[], None]
) -> None:
    if alive(process):
        loop.call_later(_POLL_S, _poll_exit, loop, process, callback)
    else:
        callback()
