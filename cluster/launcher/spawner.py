"""Client of the agents' fork server (`python -m kubeherd.agents.spawner --control-fd N`).

One warm parent forks all agents: no interpreter start and no imports per node, and the memory of
the modules is shared. The protocol is JSON lines over an inherited socket pair: we send
`{"id", "argv", "log", "env"}`, the spawner answers `{"id", "pid"}` or `{"id", "error"}` and later
`{"id", "event": "ready"}` and `{"id", "event": "exited", "returncode"}`. If the spawner dies its
agents live on; their ends are then watched by pid.
"""

import asyncio
import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.launcher import osproc
from kubeherd.cluster.launcher.children import Child
from kubeherd.cluster.launcher.osproc import ProcessId
from kubeherd.cluster.launcher.plan import ProcessSpec
from kubeherd.cluster.launcher.rundir import RunDir, open_log

_LINE_LIMIT = 1 << 20
_COMMAND = (sys.executable, "-P", "-m", "kubeherd.agents.spawner", "--control-fd")


class SpawnerGone(OSError):
    """The spawner has ended; it cannot start anything any more."""


class Spawner:
    """A running fork server. `read_events` must run as a task for as long as it is used."""

    def __init__(self, popen: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self._popen = popen
        self._control = control
        self._connected = asyncio.Event()
        self._writer: asyncio.StreamWriter
        self._next_id = 0
        self._starting: dict[int, asyncio.Future[Child]] = {}
        self._children: dict[int, Child] = {}
        self.process = osproc.identify(popen.pid) or ProcessId(popen.pid)
        self.gone = False

    @classmethod
    def launch(cls, rundir: RunDir, environment: Mapping[str, str]) -> "Spawner":
        """Start the fork server; OSError if that fails."""
        ours, theirs = socket.socketpair()
        log = open_log(rundir.log("spawner"))
        try:
            popen = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [*_COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                env=dict(environment),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(log)
        return cls(popen, ours)

    async def start(self, spec: ProcessSpec, environment: Mapping[str, str]) -> Child:
        """Fork one agent; SpawnerGone or OSError if that does not work."""
        if self.gone:
            raise SpawnerGone("the spawner has ended")
        self._next_id += 1
        number = self._next_id
        started: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._starting[number] = started
        request = {
            "id": number,
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
        if self._popen.poll() is None:
            self._popen.kill()

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
        self._popen.wait(timeout=10)
