"""Commands that really run (`up --exec local`): as processes of the user who runs the server.

A command works in the folder that stands for its container, and gets PATH and the literal values of
the container's `env`, nothing else of the server's environment; otherwise it may do whatever that
user may. Invariants: the process and its session end with the client's session; at most
`MAX_PROCESSES` run at once.
"""

import asyncio
import contextlib
import errno
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from kubeherd.cluster.api.helpers import environment
from kubeherd.cluster.api.helpers.commands import Files
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.remotecommand import outcome
from kubeherd.cluster.api.remotecommand.channels import Channel
from kubeherd.cluster.apiserver.streams import descriptors, ends, scratch
from kubeherd.cluster.apiserver.streams.ends import Ends
from kubeherd.cluster.apiserver.streams.ownroot import OwnRoots
from kubeherd.cluster.apiserver.streams.scratch import Scratch
from kubeherd.cluster.apiserver.streams.session import Session, Streams

MAX_PROCESSES: Final = 32
_LAST_OUTPUT_S: Final = 1.0
"""So long after the end of a command what its children still write is waited for."""
_ON_TERMINAL: Final = 'exec "$@" <>"$0" >&0 2>&0'
"""The first process of a session gets the terminal that it opens first for its own."""
_SIGNAL_CODES: Final = 128

_log = structlog.get_logger(__name__)


class Command(msgspec.Struct, frozen=True):
    """What to run, for whom. `container` is its spec."""

    words: Sequence[str]
    pod: JsonObject
    container: JsonObject
    streams: Streams
    user: str

    @property
    def files(self) -> Files:
        """What the container's own command wrote, as far as it is a plain one."""
        return environment.of_command(self.pod, self.container).files

    def environment(self, home: str) -> dict[str, str]:
        """The variables that the process sees."""
        known = dict(environment.of_trees(self.pod, self.container).variables)
        names = [str(variable["name"]) for variable in self.container.get("env") or ()]
        own = {name: value for name in names if (value := known[name]) is not None}
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOSTNAME": known["HOSTNAME"] or "",
            "HOME": home,
            **({"TERM": "xterm"} if self.streams.tty else {}),
            **own,
        }


class LocalCommands:
    """Runs commands, and owns the folders that stand for containers."""

    def __init__(self, folders: Scratch) -> None:
        self._scratch = folders
        self._roots = OwnRoots()
        self._running = 0

    def close(self) -> None:
        """Delete the folders."""
        self._scratch.close()

    async def run(self, command: Command, client: Session) -> JsonObject:
        """Run a command and carry its streams; the Status with which it ended."""
        if self._running >= MAX_PROCESSES:
            return outcome.failed(f"{MAX_PROCESSES} commands are running")
        self._running += 1
        try:
            async with self._folder(command) as folder:
                return await self._run_in(folder, command, client)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            return outcome.failed(str(error))
        finally:
            self._running -= 1

    @asynccontextmanager
    async def _folder(self, command: Command) -> AsyncIterator[Path]:
        """The folder of the container, whose content is counted afterwards."""
        if gone := self._scratch.take_gone():
            await asyncio.to_thread(scratch.remove, gone)
        metadata, container = command.pod["metadata"], command.container["name"]
        folder = self._scratch.folder(metadata["namespace"], metadata["name"], container)
        try:
            yield folder
        finally:
            await asyncio.to_thread(self._scratch.count, folder)

    async def _run_in(self, folder: Path, command: Command, client: Session) -> JsonObject:
        env = command.environment(str(folder))
        program = command.words[0]
        if any("\0" in text for text in (*command.words, *env, *env.values())):
            raise OSError(errno.EINVAL, f"exec {program!r}: a NUL in its words or environment")
        async with self._roots.inside(folder, command.files) as inside:
            found = inside.find(program, env["PATH"])
            if found is None:
                status, text = outcome.not_found(program)
                if command.streams.stderr:
                    await client.write(Channel.STDERR, text.encode())
                return status
            pod = command.pod["metadata"]["name"]
            _log.info("exec_local", user=command.user, pod=pod, program=program)
            return await _run(command, inside.before(found), str(folder), env, client)


async def _run(
    command: Command, before: Sequence[str], folder: str, env: Mapping[str, str], client: Session
) -> JsonObject:
    """Run a command with these words before its own."""
    streams, words = command.streams, [*before, *command.words]
    with ends.terminal(streams) if streams.tty else ends.pipes(streams) as own:
        if own.terminal:
            client.on_resize(own.resize)
            words = ["/bin/sh", "-c", _ON_TERMINAL, own.terminal, *words]
        async with _process(words, folder, env, own) as process:
            carriers = [
                asyncio.create_task(_show(descriptor, channel, streams, client), name="exec-output")
                for channel, descriptor in (
                    (Channel.STDOUT, own.stdout),
                    (Channel.STDERR, own.stderr),
                )
                if descriptor is not None
            ]
            feeding = asyncio.create_task(_feed(own, client), name="exec-input")
            try:
                code = await process.wait()
                own.handed_over()
                if carriers:
                    done, _ = await asyncio.wait(carriers, timeout=_LAST_OUTPUT_S)
                    for task in done:
                        task.result()
            finally:
                for task in (*carriers, feeding):
                    task.cancel()
                await asyncio.gather(*carriers, feeding, return_exceptions=True)
    return outcome.exited(code if code >= 0 else _SIGNAL_CODES - code)


async def _show(descriptor: int, channel: Channel, streams: Streams, client: Session) -> None:
    async for data in descriptors.chunks(descriptor):
        if channel is not Channel.STDOUT or streams.stdout:
            await client.write(channel, data)


async def _feed(own: Ends, client: Session) -> None:
    """Carry standard input until its end, or until the process reads no more."""
    if own.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError):
        while (data := await client.read()) is not None:
            await descriptors.write(own.stdin, data)
        if own.terminal:
            await descriptors.write(own.stdin, ends.END_OF_INPUT)
    own.end_input()


@asynccontextmanager
async def _process(
    words: Sequence[str], folder: str, env: Mapping[str, str], own: Ends
) -> AsyncIterator[Process]:
    """A process in a session of its own; what is left of the session is killed in the end."""
    stdin, stdout, stderr = (DEVNULL,) * 3 if own.terminal else own.theirs
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env=dict(env),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    if not own.terminal:
        own.handed_over()
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
