"""Client of a cluster's fork server (`python -m kubeherd.agents.spawner`, with the protocol).

One warm parent forks all processes: no interpreter start and no imports for each, and the memory
of the modules is shared. A supervisor that was itself forked from a warm parent has got its fork
server with it; any other executes one. If the fork server dies its children live on; their ends
are then watched by pid.
"""

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher import osproc
from kubeherd.cluster.launcher.children import Child
from kubeherd.cluster.launcher.osproc import ProcessId
from kubeherd.cluster.launcher.plan import ProcessSpec
from kubeherd.cluster.launcher.rundir import RunDir
from kubeherd.cluster.runtime.handshake import SPAWNER_VARIABLE

_LINE_LIMIT = 1 << 20
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
_CONTROL_FD, _FIRST_SPARE_FD = 3, 10
"""Ours is under a number that no child wants to have itself, should standard ones be closed."""
_COMMAND = (sys.executable, "-P", "-m", "kubeherd.agents.spawner", "--control-fd")


def execute(
    log: str | Path, environment: Mapping[str, str], *options: str, new_session: bool = False
) -> tuple[int, socket.socket]:
    """Start a fork server by fork and exec: its pid and our end of its control socket; OSError."""
    ours, theirs = socket.socketpair()
    spare = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, _FIRST_SPARE_FD)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [*_COMMAND, str(_CONTROL_FD), *options],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, _LOG_FLAGS, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, spare, _CONTROL_FD),
            ],
            setsid=new_session,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(spare)
        theirs.close()
    return pid, ours


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
        return cls(*execute(rundir.log("spawner"), environment))

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
            osproc.watch_exit(child.process, functools.partial(child.end, None))
        self._children.clear()
        self.give_up()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process.pid, 0)
