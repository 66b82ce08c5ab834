"""An API server that is killed often: each life is a fork of a process that has imported it.

Loading the code takes ten times as long as opening the store, and touches no file of the cluster;
so it is done once. Everything else is as in ``python -m kubeherd.cluster.apiserver``: the same
arguments, the readiness handshake, the same store.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import click

from kubeherd.cluster.runtime.handshake import READY_FD_VARIABLE, failure_in
from kubeherd.cluster.runtime.rng import Rng

T = TypeVar("T")

PARENT = (__file__,)
"""The script, with arguments, that is the parent of servers."""
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 60.0
HISTORY_VARIABLE = "KUBEHERD_SCRIPT_HISTORY_EVENTS"
"""In the environment of the servers' parent: they remember so few events, so that old ones are
compacted soon, and a watcher that is half as many behind is ended."""


def free_port() -> int:
    """A port of the loopback interface that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def zygote() -> int:
    """Fork an API server for each line of arguments on stdin; its pid, and its readiness line, go
    to stdout. The kernel buries the children: their parent learns nothing of their end."""
    from kubeherd.cluster.apiserver import __main__ as apiserver  # noqa: PLC0415 - only the parent
    from kubeherd.cluster.store import store  # noqa: PLC0415
    from kubeherd.cluster.store.local import LocalStore  # noqa: PLC0415
    from kubeherd.cluster.store.watch.hub import Hub  # noqa: PLC0415

    if kept := int(os.environ.get(HISTORY_VARIABLE, "0")):
        setattr(apiserver, "LocalStore", partial(LocalStore, max_history_events=kept))  # noqa: B010
        setattr(store, "Hub", partial(Hub, max_queued_events=kept // 2))  # noqa: B010
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.buffer.readline():
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.environ[READY_FD_VARIABLE] = str(os.dup(1))
            os._exit(apiserver.main(json.loads(line)))
        os.write(1, b'{"pid":%d}\n' % pid)
    return 0


class Server:
    """One API server after the other, on one directory and port."""

    def __init__(
        self,
        directory: Path,
        port: int,
        options: Sequence[str] = (),
        *,
        history_events: int = 0,
        parent: Sequence[str] = PARENT,
    ) -> None:
        """`parent`: as `PARENT`; it calls `zygote`."""
        self.store = directory / "store.db"
        self._argv = ["--dir", str(directory), "--port", str(port), *options]
        self._log = directory / "logs" / "apiserver.log"
        self._history_events = history_events
        self._parent = parent
        self._zygote: asyncio.subprocess.Process
        self._orders: asyncio.StreamWriter
        self._answers: asyncio.StreamReader
        self._pidfd = -1

    async def open(self) -> None:
        """Load the code."""
        with self._log.open("ab") as log:
            self._zygote = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **os.environ,
                    "KUBEHERD_LOG_LEVEL": "warning",
                    HISTORY_VARIABLE: str(self._history_events),
                },
            )
        self._orders = cast(asyncio.StreamWriter, self._zygote.stdin)
        self._answers = cast(asyncio.StreamReader, self._zygote.stdout)

    async def spawn(self) -> None:
        """Begin a life; `ready` says when it serves."""
        self._orders.write(json.dumps(self._argv).encode() + b"\n")
        while "pid" not in (told := json.loads(await self._line())) or "name" in told:
            pass  # the readiness line of one that was killed before anybody asked for it
        self._pidfd = os.pidfd_open(told["pid"])

    async def ready(self) -> None:
        """Wait until it serves. RuntimeError, with the end of its log, if it never will."""
        line = await self._line()
        if why := failure_in(line):
            raise RuntimeError(f"the API server does not start: {why}\n{self.last_words()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; to one that has ended already, nothing happens."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    async def ended(self) -> None:
        """Wait until the process is gone."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._pidfd, gone.set)
        try:
            await asyncio.wait_for(gone.wait(), END_TIMEOUT_S)
        finally:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def close(self) -> None:
        """Kill what still runs."""
        if self._pidfd >= 0:
            await self.kill()
        self._orders.close()
        await self._zygote.wait()

    def last_words(self) -> str:
        """The end of the log."""
        return "\n".join(self._log.read_text().splitlines()[-10:])

    async def _line(self) -> bytes:
        line = await asyncio.wait_for(self._answers.readline(), START_TIMEOUT_S)
        if not line:
            raise RuntimeError(f"the server's parent ended\n{self.last_words()}")
        return line


if __name__ == "__main__":
    sys.exit(zygote())


def pick(rng: Rng, often: Mapping[T, int]) -> T:
    """One of these, as often as they say."""
    return rng.choice([one for one, times in often.items() for _ in range(times)])


def conclude(report: object, violations: Sequence[str], seed: int, kept: str) -> None:
    """Print what a run saw and its verdict; exits with 1 if a promise was violated."""
    click.echo(str(report))
    for line in violations[:50]:
        click.echo(f"violated: {line}", err=True)
    if violations:
        click.echo(f"try again with --seed {seed}", err=True)
        sys.exit(1)
    click.echo(f"kept: {kept}")
