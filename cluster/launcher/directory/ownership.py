"""Whether a directory is kubeherd's to use: looked at before anything in it is changed.

A directory is kubeherd's once the marker (`contents.MARKER`) is in it; that is the first thing
written, so whatever kills an `up`, the next one recognises what it left. Directories of kubeherd
before there was a marker have settings and a lock. An empty directory may be taken over. Everything
else is somebody's, and is refused.
"""

import os
import stat
from pathlib import Path

from kubeherd.cluster.launcher.directory.contents import CLUSTER_JSON, LOCK, MARKER
from kubeherd.cluster.launcher.errors import LauncherError

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MARKS = {
    True: "kubeherd made this directory: `kubeherd down --purge` deletes it.\n",
    False: "kubeherd uses this directory, which was there before: `kubeherd down --purge` deletes"
    " what kubeherd made in it, and not the directory.\n",
}


def is_ours(root: Path) -> bool:
    """Whether this is a directory that kubeherd works in."""
    if _is_file(root / MARKER):
        return True
    return _is_file(root / CLUSTER_JSON) and _is_file(root / LOCK)


def made_by_us(root: Path) -> bool:
    """Whether kubeherd made the directory itself, not only what is in it."""
    try:
        return (root / MARKER).read_bytes() == _MARKS[True].encode()
    except FileNotFoundError:
        return is_ours(root)  # from before there was a marker: kubeherd then took what it found
    except OSError:
        return False


def check_name(root: Path) -> None:
    """LauncherError if the path cannot be written down in the texts that have to name it."""
    try:
        str(root).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(root).decode("ascii", "backslashreplace")
        raise LauncherError(
            f"cannot use {shown}: its name is no text in UTF-8, or not in this locale (LC_ALL)"
        ) from None


def check_owner(root: Path) -> None:
    """LauncherError if another user owns the directory: what is in it cannot be trusted."""
    owner = root.stat().st_uid
    if owner != os.geteuid():
        raise LauncherError(f"{root} belongs to another user (uid {owner})")


def check_usable(root: Path) -> None:
    """LauncherError unless the directory is ours or empty, and nobody else may write to it."""
    check_owner(root)
    entries = os.listdir(root)  # noqa: PTH208 - before `is_ours`: the marker comes first
    if entries and not is_ours(root):
        raise LauncherError(
            f"{root} is not empty and not the directory of a cluster: choose another with --dir"
        )
    mode = stat.S_IMODE(root.stat().st_mode)
    if mode & _WRITABLE_BY_OTHERS:
        raise LauncherError(
            f"other users may write to {root} (mode {mode:04o}): `chmod go-w` it or choose another"
        )


def mark(root: Path, *, made: bool) -> bool:
    """Make a directory kubeherd's; False if it was. `made`: by kubeherd, just now. OSError."""
    if is_ours(root):
        return False
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(root / MARKER, flags, 0o600)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, _MARKS[made].encode())
    finally:
        os.close(descriptor)
    return True


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
