"""Client of a cluster's fork server (`python -m kubeherd.agents.spawner`, with the protocol).

One warm parent forks all processes: no interpreter start and no imports for each, and the memory
of the modules is shared. A supervisor that was itself forked from a warm parent has got its fork
server with it; any other executes one. If the fork server dies its children live on; their ends
are then watched by pid.
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
import socket
from collections.abc import Mapping

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import ProcessSpec
from kubeherd.cluster.launcher.processes import forkserver, osproc
from kubeherd.cluster.launcher.processes.children import Child
from kubeherd.cluster.launcher.processes.exits import watch_exit
from kubeherd.cluster.launcher.processes.osproc import ProcessId
from kubeherd.cluster.runtime.handshake import SPAWNER_VARIABLE

_LINE_LIMIT = 1 << 20


class SpawnerGone(OSError):
    """The spawner has ended; it cannot start anything any more."""


class Spawner:
    """A running fork server. `read_events` must run as a task for as long as it is used."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        """`pid` is a child of ours."""
        self._control = control
        self._connected = asyncio.Event()
        self._writer: asyncio.StreamWriter
        self._next_id = 0
        self._starting: dict[int, asyncio.Future[Child]] = {}
        self._children: dict[int, Child] = {}
        self.process = osproc.identify(pid) or ProcessId(pid)
        self.gone = False

    @classmethod
    def inherited(cls) -> "Spawner | None":
        """The fork server that was forked together with this process; None if there is none."""
        pid, _, descriptor = os.environ.pop(SPAWNER_VARIABLE, "").partition(":")
        return cls(int(pid), socket.socket(fileno=int(descriptor))) if pid else None

    @classmethod
    def launch(cls, rundir: RunDir, environment: Mapping[str, str]) -> "Spawner":
        """Start the fork server; OSError if that fails."""
        return cls(*forkserver.execute(rundir.log("spawner"), environment))

    async def start(self, spec: ProcessSpec, environment: Mapping[str, str]) -> Child:
        """Fork one process; SpawnerGone or OSError if that does not work."""
        if self.gone:
            raise SpawnerGone("the spawner has ended")
        self._next_id += 1
        number = self._next_id
        started: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._starting[number] = started
        request = {
            "id": number,
            "module": spec.module,
            "argv": list(spec.args),
            "log": str(spec.log),
            "env": dict(environment),
        }
        await self._send(request)
        return await started

    async def read_events(self) -> None:
        """Read what the spawner says until it ends; afterwards watch its children by pid."""
        reader, self._writer = await asyncio.open_connection(sock=self._control, limit=_LINE_LIMIT)
        self._connected.set()
        try:
            while line := await reader.readline():
                self._receive(json.loads(line))
        except (OSError, ValueError, LookupError):
            pass  # no longer a partner to talk to: treated like its end
        finally:
            self._lost()

    def give_up(self) -> None:
        """End the spawner; its agents are left alone. `read_events` then returns.

        It has nothing to put in order, and a frozen one obeys only SIGKILL.
        """
        self.gone = True
        osproc.send_signal(self.process, signal.SIGKILL)

    async def _send(self, request: JsonObject) -> None:
        await self._connected.wait()
        try:
            self._writer.write(json.dumps(request).encode() + b"\n")
            await self._writer.drain()
        except OSError as error:
            raise SpawnerGone(str(error)) from error

    def _receive(self, message: JsonObject) -> None:
        number = int(message["id"])
        event = message.get("event")
        if event == "ready":
            self._children[number].port = int(message.get("port", 0))
            self._children[number].ready.set()
        elif event == "failed":
            self._children[number].failure = str(message.get("error", ""))
        elif event == "exited":
            self._children.pop(number).end(message.get("returncode"))
        elif (started := self._starting.pop(number, None)) is not None:
            if "pid" in message:
                pid = int(message["pid"])
                child = Child(osproc.identify(pid) or ProcessId(pid))
                self._children[number] = child
                started.set_result(child)
            else:
                started.set_exception(OSError(str(message.get("error", "the spawner refused"))))

    def _lost(self) -> None:
        self.gone = True
        self._writer.close()
        for started in self._starting.values():
            if not started.done():
                started.set_exception(SpawnerGone("the spawner has ended"))
        self._starting.clear()
        for child in self._children.values():
            watch_exit(child.process, functools.partial(child.end, None))
        self._children.clear()
        self.give_up()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process.pid, 0)
