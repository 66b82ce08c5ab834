"""Deleting from a cluster's directory what kubeherd made there, and nothing else.

Works on open directories and never follows a symbolic link: whatever somebody puts in the place
of a directory meanwhile, nothing outside of it is deleted.
"""

import contextlib
import os
from collections.abc import Iterator

from kubeherd.cluster.launcher.directory.contents import LAST, Folder

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def delete_made(root: str, layout: Folder) -> list[str]:
    """Delete what `layout` names below `root` but for `contents.LAST`; returns what else stays.

    Paths are relative, those of directories end in "/". OSError if something of kubeherd's cannot
    be deleted.
    """
    with _opened(root) as top:
        return _delete(top, layout, "")


def delete_last(root: str) -> None:
    """Delete `contents.LAST`, and the directory of the lock if nothing else is in it."""
    with _opened(root) as top:
        for path in LAST:
            folder, _, name = path.rpartition("/")
            with _opened(folder or ".", top) as inner, contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=inner)
            if folder:
                _remove_if_empty(folder, top)


def planted_links(root: str, layout: Folder) -> list[str]:
    """Symbolic links in the place of something that kubeherd makes, as relative paths."""
    with _opened(root) as top:
        return list(_links(top, layout, ""))


def _delete(directory: int, folder: Folder, prefix: str) -> list[str]:
    left: list[str] = []
    for name, is_folder, is_link in _entries(directory):
        path = prefix + name
        inner = folder.folder(name) if is_folder else None
        if inner is not None:
            with _opened(name, directory) as opened:
                kept = _delete(opened, inner, f"{path}/")
            if not kept:
                _remove_if_empty(name, directory)
            left += kept
        elif is_folder:
            left.append(f"{path}/")
        elif is_link or not folder.makes_file(name):
            left.append(path)
        elif path not in LAST:
            os.unlink(name, dir_fd=directory)
    return left


def _links(directory: int, folder: Folder, prefix: str) -> Iterator[str]:
    for name, is_folder, is_link in _entries(directory):
        inner = folder.folder(name)
        if is_link and (inner is not None or folder.makes_file(name)):
            yield prefix + name
        elif is_folder and inner is not None:
            with contextlib.suppress(FileNotFoundError), _opened(name, directory) as opened:
                yield from _links(opened, inner, f"{prefix}{name}/")


def _entries(directory: int) -> list[tuple[str, bool, bool]]:
    """Name, whether it is a directory, whether it is a symbolic link; in order of names."""
    with os.scandir(directory) as entries:
        return sorted((e.name, e.is_dir(follow_symlinks=False), e.is_symlink()) for e in entries)


def _remove_if_empty(name: str, parent: int) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=parent)


@contextlib.contextmanager
def _opened(name: str, parent: int | None = None) -> Iterator[int]:
    directory = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    try:
        yield directory
    finally:
        os.close(directory)
