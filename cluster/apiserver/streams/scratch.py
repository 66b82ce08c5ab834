"""The folders that stand for containers when commands really run (`up --exec local`).

One temporary directory of the server, made when it is first needed and deleted when it stops. A
container keeps its folder over restarts; that of a pod that is gone goes with the next command.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_PREFIX = "kubeherd-containers-"


class Scratch:
    """Hands out folders: `<root>/<pod uid>/<container>`, open to this user only."""

    def __init__(self, uid_of: Callable[[str, str], str]) -> None:
        """`uid_of`: the uid of the pod with this namespace and name, "" if there is none."""
        self._uid_of = uid_of
        self._root: Path | None = None
        self._pods: dict[str, tuple[str, str]] = {}

    def folder(self, namespace: str, pod: str, container: str) -> Path:
        """The folder of a container of a pod that exists; those of pods that are gone go."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix=_PREFIX))
        gone = [uid for uid, where in self._pods.items() if self._uid_of(*where) != uid]
        for uid in gone:
            del self._pods[uid]
            shutil.rmtree(self._root / uid, ignore_errors=True)
        uid = self._uid_of(namespace, pod)
        self._pods[uid] = (namespace, pod)
        folder = self._root / uid / container
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def close(self) -> None:
        """Delete all of them."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
