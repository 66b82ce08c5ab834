"""A file system of its own for each container whose commands really run, where the machine lets us.

The commands of a container share a mount namespace (for others than root a user namespace as well):
two mounts of one layer would not see each other's changes. A process holds the namespace as long as
commands run in it, and ends with this one, whose end of a pipe it waits for. Whether all this
works is tried with the first command; where it does not, containers see the machine's files.
This keeps containers apart from each other and from the machine by default; it is no prison.
"""

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from kubeherd.cluster.api.helpers.commands import Files
from kubeherd.cluster.apiserver.streams import ownfiles
from kubeherd.cluster.apiserver.streams.ownfiles import OwnFiles

_PATIENCE_S: Final = 10.0
_READY: Final = "ready"
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_HOLD: Final = """\
set -e
mount --rbind "$1" "$1"
mount --all --fstab "$2"
mount --all --fstab "$3" 2>/dev/null || :
mount --rbind "$4" "$1/tmp"
mount --rbind "$5" "$1$5"
cd "$1"
mkdir -p .machine
pivot_root . .machine
umount -l /.machine
rmdir /.machine
echo ready
exec cat
"""
"""With the container's root, which pivot_root wants to be a mount, and what is mounted in it:
the machine's folders, layers on top of them, /tmp and the container's folder."""
_LAYER_OPTIONS: Final = "index=off"
_ENTER: Final = 'cd "$0" && unset OLDPWD && exec "$@"'
"""With the folder, and the command, whose PATH may be anything."""

_log = structlog.get_logger(__name__)


class Inside(msgspec.Struct, frozen=True):
    """What a command of a container is run with. `entering`: the words before those of the command
    that let it see the container's files; none: it sees the machine's."""

    files: OwnFiles
    entering: tuple[str, ...]

    def find(self, program: str, search: str) -> str | None:
        """Where a program lies on the machine; None: nowhere."""
        if self.entering:
            return self.files.find(program, search)
        where = str(self.files.folder / program) if "/" in program else program
        return shutil.which(where, path=search)

    def before(self, found: str) -> tuple[str, ...]:
        """The words before a command whose program was found there."""
        return () if self.files.hides(found) else self.entering


class _Held(msgspec.Struct):
    """A namespace: who holds it, and how many commands want it."""

    holder: asyncio.Task[Process | None]
    users: int = 0


class OwnRoots:
    """Owns the namespaces of containers."""

    def __init__(self) -> None:
        self._works: bool | None = None
        self._held: dict[Path, _Held] = {}

    @asynccontextmanager
    async def inside(self, folder: Path, files: Files = ()) -> AsyncIterator[Inside]:
        """For the length of a command of the container with this folder, in which its own command
        wrote `files`. OSError."""
        own = OwnFiles.beside(folder)
        held = self._held.get(folder)
        if held is None:
            task = asyncio.create_task(self._hold(own, files), name="exec-namespace")
            held = self._held[folder] = _Held(task)
        held.users += 1
        try:
            holder = await asyncio.shield(held.holder)
            yield Inside(own, _entering(holder.pid, folder) if holder is not None else ())
        finally:
            held.users -= 1
            if not held.users:
                del self._held[folder]
                await _release(held)

    async def _hold(self, own: OwnFiles, files: Files) -> Process | None:
        """Begin a namespace; None: this machine has none for us."""
        if self._works is False:
            return None
        options = _LAYER_OPTIONS if _is_root() else f"{_LAYER_OPTIONS},userxattr"
        await asyncio.to_thread(own.prepare, ownfiles.top(), files, options)
        try:
            holder = await _hold(own)
        except OSError as error:
            # What worked once has to work: nobody's files change places with the machine's.
            if self._works:
                raise
            self._works = False
            _log.warning("exec_local_sees_the_machine", error=str(error))
            return None
        self._works = True
        return holder


async def _hold(own: OwnFiles) -> Process:
    """The process that holds a new namespace, in which everything is mounted. OSError."""
    user = () if _is_root() else ("--user", "--map-root-user")
    mounts = (own.root, own.machine, own.layered, own.tmp, own.folder)
    hold = ("/bin/sh", "-c", _HOLD, "hold", *map(str, mounts))
    holder = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", *user, *hold),
        env={"PATH": _PATH},
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            line = await holder.stdout.readline() if holder.stdout is not None else b""
        if (said := line.decode(errors="replace").strip()) == _READY:
            return holder
        raise OSError(f"the container can have no files of its own: {said}")
    except BaseException:
        await _end(holder)
        raise


async def _release(held: _Held) -> None:
    """End a namespace that nobody wants any more, also one that is only beginning."""
    task = held.holder
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled() and task.exception() is None and (holder := task.result()) is not None:
        await _end(holder)


async def _end(holder: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(holder.pid, signal.SIGKILL)
    await holder.wait()


def _entering(holder: int, folder: Path) -> tuple[str, ...]:
    user = () if _is_root() else ("--user", "--preserve-credentials")
    nsenter = shutil.which("nsenter", path=_PATH) or "nsenter"
    where = (nsenter, f"--target={holder}", "--mount", *user, "--root")
    return (*where, "/bin/sh", "-c", _ENTER, str(folder))


def _is_root() -> bool:
    return os.geteuid() == 0
