"""What a command finds around it: variables, files, the host's name."""

import posixpath
from typing import Final, NamedTuple, TypeAlias

Files: TypeAlias = tuple[tuple[str, str], ...]
"""Absolute paths and texts. What is relative begins at the root: a work directory is not known."""

Variables: TypeAlias = tuple[tuple[str, str | None], ...]
"""Names and values; None: the value is not known. Of any other name nothing is known."""

RANDOM: Final = "RANDOM"


class Surroundings(NamedTuple):
    """What is there before a command starts; hashable, so that what comes of it can be kept."""

    files: Files = ()
    whole: tuple[str, ...] = ()
    """Directories of which all files are known: what is not in `files` is not there."""
    variables: Variables = ()
    hostname: str = ""
    fqdn: str = ""
    chance: int | None = None
    """What `$RANDOM` depends on; None: it is not known."""


NOTHING: Final = Surroundings()


def absolute(path: str) -> str:
    """A path as `Files` has it."""
    return posixpath.normpath(f"/{path}").replace("//", "/")
