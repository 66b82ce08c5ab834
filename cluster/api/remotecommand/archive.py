"""What `tar` writes of the files that a fake container has: `kubectl cp` copies by it. Pure."""

import tarfile
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

from kubeherd.cluster.api.helpers import commands
from kubeherd.cluster.api.helpers.commands import Files


class Wanted(NamedTuple):
    """Which paths, seen from where, are to be packed; compressed or not."""

    directory: str
    paths: Sequence[str]
    compressed: bool


def wanted(arguments: Sequence[str]) -> Wanted | None:
    """The arguments of `tar cf - [-C DIRECTORY] PATH...` (also `czf`); None for any others."""
    match [*arguments]:
        case [flags, "-", "-C", directory, *paths] if paths:
            pass
        case [flags, "-", *paths] if paths and not paths[0].startswith("-"):
            directory = "/"
        case _:
            return None
    letters = sorted(flags.removeprefix("-"))
    if letters not in (["c", "f"], ["c", "f", "z"]):
        return None
    return Wanted(directory, paths, compressed="z" in letters)


def pack(what: Wanted, files: Files) -> tuple[bytes, list[str]]:
    """An archive of the files with these paths and below them; the paths that are none."""
    archive, missing = BytesIO(), []
    with tarfile.open(fileobj=archive, mode="w:gz" if what.compressed else "w") as tar:
        for path in what.paths:
            whole = path if path.startswith("/") else f"{what.directory}/{path}"
            top = commands.absolute(whole)
            found = [one for one in files if f"{one[0]}/".startswith(f"{top.rstrip('/')}/")]
            for name, text in found:
                data = text.encode()
                entry = tarfile.TarInfo((path.strip("/") + name[len(top) :]).lstrip("/"))
                entry.size = len(data)
                tar.addfile(entry, BytesIO(data))
            if not found:
                missing.append(path)
    return archive.getvalue(), missing
