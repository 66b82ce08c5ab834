"""The files that fake containers of a node left in volumes: in memory, by volume.

Only what plain commands write is there (`cluster.api.shell`), so that a script which looks for
what one before it left ends as a real one. An emptyDir goes with its pod, a hostPath stays as long
as the agent runs. Invariant: all texts together never exceed `MAX_BYTES`; what was written longest
ago is forgotten first.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from kubeherd.cluster.api.objects import Container, Pod
from kubeherd.cluster.api.shell.surroundings import Files, absolute

MAX_BYTES: Final = 1024 * 1024
_HOST: Final = "host:"

VolumeKey = str
"""Which volume, and from where in it: `<pod uid>/<name>:/sub` or `host:/path`."""


class Mount(msgspec.Struct, frozen=True, gc=False):
    """Where in a container a volume is whose files are remembered."""

    path: str
    volume: VolumeKey


def mounts(pod: Pod, container: Container) -> tuple[Mount, ...]:
    """The mounts of a container whose files are remembered: of emptyDir and hostPath volumes."""
    if not container.volume_mounts:
        return ()
    keys: dict[str, str] = {}
    for volume in pod.spec.volumes:
        if volume.empty_dir is not None:
            keys[volume.name] = f"{pod.metadata.uid}/{volume.name}:"
        elif volume.host_path is not None:
            keys[volume.name] = _HOST + volume.host_path.path.rstrip("/")
    return tuple(
        Mount(absolute(mount.mount_path), keys[mount.name] + absolute(mount.sub_path).rstrip("/"))
        for mount in container.volume_mounts
        if mount.name in keys
    )


def seen(mounted: tuple[Mount, ...], volumes: Mapping[VolumeKey, Mapping[str, str]]) -> Files:
    """The files that a container finds in its mounts."""
    return tuple(
        (mount.path + path, text)
        for mount in mounted
        for path, text in volumes.get(mount.volume, {}).items()
    )


def left(mounted: tuple[Mount, ...], files: Files) -> dict[VolumeKey, dict[str, str]]:
    """The files of each mounted volume when a container has left these."""
    return {
        mount.volume: {
            path.removeprefix(mount.path): text
            for path, text in files
            if path.startswith(f"{mount.path}/")
        }
        for mount in mounted
    }


class VolumeFiles(Mapping[VolumeKey, Mapping[str, str]]):
    """What is remembered of the volumes of one node."""

    def __init__(self) -> None:
        self._volumes: dict[VolumeKey, dict[str, str]] = {}
        self._bytes = 0

    def __getitem__(self, key: VolumeKey) -> Mapping[str, str]:
        return self._volumes[key]

    def __iter__(self) -> Iterator[VolumeKey]:
        return iter(self._volumes)

    def __len__(self) -> int:
        return len(self._volumes)

    def keep(self, written: Mapping[VolumeKey, dict[str, str]]) -> None:
        """Volumes have these files now."""
        for key, files in written.items():
            self._drop(key)
            if files:
                self._volumes[key] = files
                self._bytes += _size(files)
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._volumes)))

    def forget(self, pod_uid: str) -> None:
        """The pod is gone, and its own volumes with it."""
        for key in [key for key in self._volumes if key.startswith(f"{pod_uid}/")]:
            self._drop(key)

    def _drop(self, key: VolumeKey) -> None:
        self._bytes -= _size(self._volumes.pop(key, {}))


def _size(files: Mapping[str, str]) -> int:
    return sum(len(path) + len(text) for path, text in files.items())
