"""What a controller remembers of each workload from one sync to the next.

Invariant: a memory belongs to one UID; a workload re-created under its name starts afresh. All of
it may be lost: the API has what must not be.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from kubeherd.controller.workload.wakeups import HasMetadata, Key, key_of

M = TypeVar("M")


class Memories(Generic[M]):
    """One memory for each workload that was looked at, until it is forgotten."""

    def __init__(self, make: Callable[[], M]) -> None:
        """`make`: the memory of a workload that is looked at for the first time."""
        self._make = make
        self._kept: dict[Key, tuple[str, M]] = {}

    def of(self, workload: HasMetadata) -> M:
        """The memory of this workload."""
        key, uid = key_of(workload), workload.metadata.uid
        kept = self._kept.get(key)
        if kept is None or kept[0] != uid:
            kept = self._kept[key] = uid, self._make()
        return kept[1]

    def get(self, key: Key) -> M | None:
        """The memory of the last workload of this name, None if there is none."""
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def forget(self, key: Key) -> None:
        """The workload is gone, or at its end."""
        self._kept.pop(key, None)
