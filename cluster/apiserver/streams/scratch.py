"""The folders that stand for containers when commands really run (`up --exec local`).

One temporary directory of the server, made when it is first needed and deleted when it stops; those
of servers that were killed go then, too. A container keeps its folder over restarts; that of a pod
that is gone goes with the next command. Together they may hold `MAX_BYTES`, counted after each
command: from then on none runs.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 4 * 1024**3
_PREFIX = "kubeherd-containers-"
_LOCK: Final = "lock"
"""The file in the directory that its server has locked as long as it lives. No uid is so short."""
_BLOCK_BYTES: Final = 512
"""The unit of `st_blocks`."""


class Scratch:
    """Hands out folders: `<root>/<pod uid>/<container>`, open to this user only."""

    def __init__(self, uid_of: Callable[[str, str], str]) -> None:
        """`uid_of`: the uid of the pod with this namespace and name, "" if there is none."""
        self._uid_of = uid_of
        self._root: Path | None = None
        self._lock = -1
        self._pods: dict[str, tuple[str, str]] = {}
        self._bytes: dict[str, int] = {}

    def folder(self, namespace: str, pod: str, container: str) -> Path:
        """The folder of a container of a pod that exists. OSError."""
        if sum(self._bytes.values()) > MAX_BYTES:
            text = f"the files of containers take more than {MAX_BYTES} bytes; delete their pods"
            raise OSError(errno.ENOSPC, text)
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = _lock(self._root)
        uid = self._uid_of(namespace, pod)
        self._pods[uid] = (namespace, pod)
        folder = self._root / uid / container
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def take_gone(self) -> Sequence[Path]:
        """What lay there for pods that are gone, at first what servers left; for `remove`."""
        if self._root is None:
            folders = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")
            return [folder for folder in folders if _is_left(folder)]
        gone = [uid for uid, where in self._pods.items() if self._uid_of(*where) != uid]
        for uid in gone:
            del self._pods[uid]
            self._bytes.pop(uid, None)
        return [self._root / uid for uid in gone]

    def count(self, folder: Path) -> None:
        """Count what the pod of this folder holds now. May take long."""
        pod = folder.parent
        taken = sum(map(_bytes, _entries(pod)))
        if pod.name in self._pods:
            self._bytes[pod.name] = taken

    def close(self) -> None:
        """Delete all of them."""
        if self._root is not None:
            remove((self._root,))
            os.close(self._lock)


def remove(folders: Sequence[Path]) -> None:
    """Delete folders, also what nobody may read in them. May take long."""
    for folder in folders:
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    Path(entry.path).chmod(0o700)
        with suppress(RecursionError):
            shutil.rmtree(folder, ignore_errors=True)


def _lock(root: Path) -> int:
    """The descriptor of a file that nobody sees before it is locked."""
    hidden = root / f".{_LOCK}"
    descriptor = os.open(hidden, os.O_CREAT | os.O_WRONLY, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    hidden.rename(root / _LOCK)
    return descriptor


def _is_left(root: Path) -> bool:
    """Whether this is a directory of this user's whose server is gone."""
    with suppress(OSError):
        if root.lstat().st_uid == os.geteuid():
            descriptor = os.open(root / _LOCK, os.O_WRONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(descriptor)
            return True
    return False


def _bytes(entry: os.DirEntry[str]) -> int:
    with suppress(OSError):  # it has just gone
        return entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
    return 0


def _entries(top: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder and its folders, each before what is in it."""
    folders = [str(top)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
