"""A /tmp of its own for each container whose commands really run, where the machine allows that.

By a mount namespace (`unshare` of util-linux; for others than root a user namespace as well). It is
tried once; where it does not work, /tmp is the machine's.
"""

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL
from pathlib import Path
from typing import Final

from kubeherd.cluster.api.helpers.commands import Files

_TMP: Final = "/tmp"  # noqa: S108 - the folder that containers know
_SUFFIX: Final = ".tmp"
"""No container's name has a dot."""
_TRIAL_S: Final = 10.0
_ENTER: Final = """\
set -e
bind() { PATH=/usr/sbin:/usr/bin:/sbin:/bin mount --rbind "$1" "$2"; }
if [ -n "$2" ]; then PATH=/usr/bin:/bin mkdir -p "$2"; bind "$1" "$2"; fi
bind "$0" /tmp
cd "$1"
unset OLDPWD
shift 2
exec "$@"
"""
"""With the folder for /tmp, the container's folder, where that is seen in the former ("" if it does
not lie in /tmp), and the command, whose PATH may be anything."""


class OwnTmp:
    """Knows whether containers have a /tmp of their own."""

    def __init__(self) -> None:
        self._works: bool | None = None
        self._trying = asyncio.Lock()

    async def folder(self, container: Path, files: Files = ()) -> Path | None:
        """What is /tmp for the container with this folder, with `files` at first; None: the
        machine's."""
        async with self._trying:
            if self._works is None:
                self._works = await _works()
        if not self._works:
            return None
        folder = container.with_name(container.name + _SUFFIX)
        if not folder.exists():
            folder.mkdir(mode=0o700)
            _write(folder, files)
        return folder


def entering(folder: Path, container: Path) -> tuple[str, ...]:
    """The words before a command that let it run with this folder as /tmp."""
    inside = str(container).startswith(f"{_TMP}/")
    seen = str(folder) + str(container).removeprefix(_TMP) if inside else ""
    return (*_unshare(), "/bin/sh", "-c", _ENTER, str(folder), str(container), seen)


def on_machine(path: str, folder: Path | None) -> str:
    """Where a path in the container's /tmp lies on the machine; others are the same."""
    if folder is None or not path.startswith(f"{_TMP}/"):
        return path
    return str(folder) + path.removeprefix(_TMP)


def is_hidden(path: str, folder: Path, container: Path) -> bool:
    """Whether a container with a /tmp of its own cannot see this path of the machine."""
    return path.startswith(f"{_TMP}/") and not path.startswith((f"{folder}/", f"{container}/"))


def _write(folder: Path, files: Files) -> None:
    for path, text in files:
        if path.startswith(f"{_TMP}/"):
            target = Path(on_machine(path, folder))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


def _unshare() -> tuple[str, ...]:
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return (shutil.which("unshare") or "unshare", "--mount", *user)


async def _works() -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = (*_unshare(), "mount", "--rbind", _TMP, _TMP)
    process = await asyncio.create_subprocess_exec(
        *trial, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(_TRIAL_S):
            return await process.wait() == 0
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
