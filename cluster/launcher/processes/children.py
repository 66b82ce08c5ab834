"""Started processes and the plain way to start one.

A `Child` tells as it happens that its process serves, or why it never will (the readiness handshake
of `cluster.runtime.handshake`), and that it has ended. `start_subprocess` makes one by fork and
exec; `cluster.launcher.processes.spawner` makes them by asking the agents' fork server.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from kubeherd.cluster.launcher.plan import ProcessSpec
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.processes.exits import watch_exit
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.runtime.files import open_log
from kubeherd.cluster.runtime.handshake import LINE_BYTES, READY_FD_VARIABLE, failure_in, port_in


class Child:
    """A started process: who it is, whether it is ready, and its end."""

    def __init__(self, process: ProcessId) -> None:
        self.process = process
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.returncode: int | None = None
        self.failure = ""
        self.line = b""
        """What it said when it served (`runtime.handshake`)."""
        self.port = 0
        """Where it alone answers, if it said so."""

    def end(self, returncode: int | None) -> None:
        """Record that the process is gone; None where its return code cannot be known."""
        if not self.ended.is_set():
            self.returncode = returncode
            self.ended.set()

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the process, unless it has ended."""
        if not self.ended.is_set():
            osproc.send_signal(self.process, number)


def start_subprocess(spec: ProcessSpec, environment: Mapping[str, str]) -> Child:
    """Start `python -m module args...`, its output appended to the log; OSError if that fails."""
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()
    try:
        log = open_log(spec.log)
        try:
            popen = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-P", "-m", spec.module, *spec.args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                env={**environment, READY_FD_VARIABLE: str(write_end)},
            )
        finally:
            os.close(log)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    child = Child(osproc.identify(popen.pid) or ProcessId(popen.pid))

    def on_ready() -> None:
        loop.remove_reader(read_end)
        line = os.read(read_end, LINE_BYTES)
        os.close(read_end)
        child.line = line
        child.failure, child.port = failure_in(line) if line else "", port_in(line)
        if line and not child.failure:
            child.ready.set()

    def on_exit() -> None:
        child.end(popen.wait())

    loop.add_reader(read_end, on_ready)
    watch_exit(child.process, on_exit)
    return child
