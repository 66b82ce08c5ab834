"""Waiting for the end of a process that was identified before."""

from collections.abc import Callable

from kubeherd.cluster.launcher.processes.osproc import ProcessId, alive
from kubeherd.cluster.runtime.exits import when_ended


def watch_exit(process: ProcessId, callback: Callable[[], None]) -> None:
    """Call `callback` from the running event loop once the process, child or not, has ended."""
    when_ended(process.pid, lambda: alive(process), callback)
