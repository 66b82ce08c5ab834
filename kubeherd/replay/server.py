"""The API server of a replay as a process: in a directory of its own, with keys of its own."""

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from kubeherd.cluster.launcher import addresses, lifecycle
from kubeherd.cluster.launcher.addresses import LOOPBACK
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.logs import last_words
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.plan import ProcessSpec, Role
from kubeherd.cluster.launcher.processes.children import Child, start_subprocess
from kubeherd.cluster.launcher.processes.osproc import MARKER_VARIABLE
from kubeherd.cluster.runtime.together import together

_STOP_S: Final = 15.0
_NAME: Final = "apiserver"


class Shown(msgspec.Struct, frozen=True):
    """What the server says of the state that it shows."""

    at: float
    """The moment, in seconds since the epoch."""
    revision: int
    objects: int
    bytes: int
    """Of these."""


@contextmanager
def directory(wanted: Path | None) -> Iterator[RunDir]:
    """A directory for the replay, gone when that is over; of one that was there before goes what
    was made in it. LauncherError if it is that of a cluster, or of somebody else."""
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="kubeherd-replay-") as temporary:
            rundir = RunDir(Path(temporary))
            rundir.prepare()
            yield rundir
        return
    rundir = RunDir(wanted)
    if rundir.exists():
        raise LauncherError(f"there is a cluster in {rundir.root}: choose another with --dir")
    rundir.prepare()
    lock = rundir.acquire_lock()
    try:
        yield rundir
    finally:
        rundir.purge_locked()
        os.close(lock)


def chosen(port: int | None) -> int:
    """The port to serve on; LauncherError if the one that is wanted is taken."""
    if port is None:
        return lifecycle.choose_port(random.SystemRandom())
    if not lifecycle.port_is_free(port):
        raise LauncherError(f"port {port} of {LOOPBACK} is in use: choose one with --port")
    return port


@asynccontextmanager
async def serving(
    rundir: RunDir, port: int, options: Sequence[str]
) -> AsyncIterator[tuple[Child, Shown]]:
    """The server while it runs. LauncherError if it cannot show what it is to."""
    await asyncio.to_thread(ClusterPki.ensure, rundir, addresses.url(LOOPBACK, port))
    log = rundir.log(_NAME)
    place = ("--dir", str(rundir.root), "--port", str(port))
    spec = ProcessSpec(_NAME, Role.APISERVER, "kubeherd.cluster.apiserver", (*place, *options), log)
    child = start_subprocess(spec, {**os.environ, MARKER_VARIABLE: str(rundir.root)})
    try:
        await together(child.ready.wait(), child.ended.wait())
        if not child.ready.is_set():
            raise LauncherError(child.failure or last_words(log) or "the API server ended")
        yield child, msgspec.json.decode(child.line, type=Shown)
    finally:
        await _end(child)


async def ended(child: Child, rundir: RunDir) -> None:
    """Wait for the end of a server; LauncherError, with what it said, unless it was asked for: a
    terminal asks the server, too."""
    await child.ended.wait()
    if child.returncode == 0:
        return
    why = last_words(rundir.log(_NAME)) or f"exit code {child.returncode}"
    raise LauncherError(f"the API server ended: {why}")


async def _end(child: Child) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S):
            await child.ended.wait()
    except TimeoutError:
        child.send_signal(signal.SIGKILL)
        await child.ended.wait()
