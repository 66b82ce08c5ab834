"""A kubeconfig that is replaced while it is in use: certificates end, and are renewed before.

As client-go does it (rest.Config with files, transport/cert_rotation.go): who has the file open
need not be told or started again. Invariant: what is half written or cannot be used is not taken;
what was read last stays good until something better is there.
"""

from pathlib import Path

from kubeherd.cluster.client.kubeconfig import ClusterAccess, KubeconfigError, load_kubeconfig

LOOK_INTERVAL_S = 10.0
"""Real seconds between two looks at the file; only who sends requests looks."""

_Stamp = tuple[int, int, int]


class KubeconfigFile:
    """A kubeconfig and what it said when it was read last. KubeconfigError if it cannot be used."""

    def __init__(self, path: str | Path, context: str = "") -> None:
        self._path = Path(path)
        self._context = context
        self._stamp = self._look()
        self.access = load_kubeconfig(self._path, context)

    def newer(self) -> ClusterAccess | None:
        """What the file says now, if that is something else and can be used."""
        stamp = self._look()
        if stamp == self._stamp:
            return None
        try:
            access = load_kubeconfig(self._path, self._context)
        except KubeconfigError:
            return None
        self._stamp = stamp
        if access == self.access:
            return None
        self.access = access
        return access

    def _look(self) -> _Stamp | None:
        """What changes with the file, None if it is not there."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
