"""Where the parts of a container's own file system lie on the machine.

`/` itself and `/tmp` are the container's own. A folder in the machine's `/` is seen beneath a layer
that is the container's own (overlayfs), so that what a command changes stays in the layer. Shared
with the machine are folders of devices and their like, and those in which further file systems are
mounted, which a layer would hide.
"""

import os
import posixpath
import re
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import msgspec

from kubeherd.cluster.api.helpers.commands import Files

TMP: Final = "/tmp"  # noqa: S108 - the folder that containers know
_DEVICES: Final = ("dev", "proc", "sys")
_NAME: Final = re.compile(r"[\w.+-]+")
"""A name that needs no escape in the options of mount; folders with others are not seen."""
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT: Final = 4
"""Which field of a line of `_MOUNTS`."""
_OPEN: Final = 0o755
_STICKY: Final = 0o1777


class Top(msgspec.Struct, frozen=True):
    """What lies in the machine's `/`, by name."""

    layered: tuple[str, ...]
    shared: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    """Symbolic links and where they lead (`bin` to `usr/bin`)."""

    @property
    def names(self) -> tuple[str, ...]:
        """All folders."""
        return (*self.layered, *self.shared)


def top(root: Path = Path("/"), mounts: str | None = None) -> Top:
    """What lies in `root` now; `mounts`: the text of /proc/self/mountinfo."""
    lines = (_MOUNTS.read_text() if mounts is None else mounts).splitlines()
    holding = {line.split()[_MOUNT_POINT].split("/", 2)[1] for line in lines if _is_deep(line)}
    entries = sorted(root.iterdir())
    links = tuple((entry.name, str(entry.readlink())) for entry in entries if entry.is_symlink())
    folders = [
        entry.name
        for entry in entries
        if entry.is_dir() and not entry.is_symlink() and _NAME.fullmatch(entry.name)
    ]
    names = [name for name in folders if name != TMP.lstrip("/")]
    shared = tuple(name for name in names if name in _DEVICES or name in holding)
    return Top(tuple(name for name in names if name not in shared), shared, links)


def _is_deep(line: str) -> bool:
    """Whether something is mounted in a folder of `/`, not only on one."""
    return line.split()[_MOUNT_POINT].count("/") > 1


class OwnFiles(msgspec.Struct, frozen=True):
    """Where the files of one container are."""

    folder: Path
    """In which its commands start."""
    tmp: Path
    """What it sees as /tmp."""
    root: Path
    """What it sees as /, without what is mounted there."""
    layers: Path
    """By the name of a folder in /: `upper`, what the container changed, and `work`."""
    machine: Path
    """Which folders of the machine are mounted in `root`, in the form of /etc/fstab."""
    layered: Path
    """Which layers come on top of them, where the machine can do that, in the same form."""

    @classmethod
    def beside(cls, folder: Path) -> Self:
        """Those of the container with this folder; no container's name has a dot."""
        suffixes = ("tmp", "root", "layers", "machine", "layered")
        return cls(folder, *(folder.with_name(f"{folder.name}.{suffix}") for suffix in suffixes))

    def prepare(self, top: Top, files: Files = (), options: str = "") -> None:
        """Make what is missing; `files`, with their texts, when there was nothing yet. `options`:
        of the layers."""
        is_new = not self.root.exists()
        for folder, mode in ((self.root, _OPEN), (self.tmp, _STICKY), (self.layers, _OPEN)):
            _make(folder, mode)
        for name in top.layered:
            mode = stat.S_IMODE(Path("/", name).stat().st_mode)
            _make(self.layers / name / "upper", mode)
            _make(self.layers / name / "work", _OPEN)
        for name in (*top.names, TMP.lstrip("/")):
            (self.root / name).mkdir(exist_ok=True)
        if is_new:
            for name, target in top.links:
                (self.root / name).symlink_to(target)
            for path, text in files:
                _write(self.written(path), text)
        self.written(str(self.folder)).mkdir(parents=True, exist_ok=True)
        binds = [_line(f"/{name}", self.root / name, "none", "rbind") for name in top.names]
        self.machine.write_text("".join(binds))
        self.layered.write_text("".join(self._layer(name, options) for name in top.layered))

    def _layer(self, name: str, options: str) -> str:
        layer = self.layers / name
        folders = f"lowerdir=/{name},upperdir={layer / 'upper'},workdir={layer / 'work'}"
        return _line("overlay", self.root / name, "overlay", f"{options},{folders}")

    def written(self, path: str) -> Path:
        """Where what the container writes to an absolute path lies on the machine."""
        first, _, rest = posixpath.normpath(path).lstrip("/").partition("/")
        # A link (/bin) leads to another folder of /.
        whole = (os.path.realpath(f"/{first}") + f"/{rest}").rstrip("/")
        first, _, rest = whole.lstrip("/").partition("/")
        if f"/{first}" == TMP:
            return self.tmp / rest
        upper = self.layers / first / "upper"
        return (upper if first and upper.exists() else self.root / first) / rest

    def find(self, program: str, search: str) -> str | None:
        """Where a program lies on the machine that the container calls by this name, with this
        PATH; None: nowhere."""
        if "/" in program:
            path = str(self.folder / program)
            return _first((str(self.written(path)), path))
        folders = [folder for folder in search.split(os.pathsep) if folder]
        both = [str(place) for folder in folders for place in (self.written(folder), folder)]
        return shutil.which(program, path=os.pathsep.join(both))

    def hides(self, path: str) -> bool:
        """Whether the container does not see this path of the machine."""
        return path.startswith(f"{TMP}/") and not path.startswith(f"{self.folder.parent}/")


def _make(folder: Path, mode: int) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def _write(file: Path, text: str) -> None:
    with suppress(OSError, ValueError):  # no path that there can be
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def _line(source: str, target: Path, kind: str, options: str) -> str:
    fields = (source, str(target), kind, options)
    return " ".join(field.replace(" ", "\\040") for field in fields) + " 0 0\n"


def _first(paths: Sequence[str]) -> str | None:
    return next((found for path in paths if (found := shutil.which(path))), None)
