"""Who wrote what, from the history that the attacked server records.

A server also writes by itself: each minute it restores what was deleted of its own objects, and it
keeps the conditions of APIServices, definitions and policies. A request that is refused at that
moment has not changed the store.
"""

from pathlib import Path

from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.history import Write
from kubeherd.history.files import Tail


class Writers:
    """Follows a file that is still being written. A write is in it before anybody sees its
    revision."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._users: dict[int, str] = {}
        """By revision, of those that may still be asked for."""

    def by_itself(self, after: int, until: int) -> bool:
        """Whether the server wrote all revisions after one and until another without being asked.
        Callers ask for ever newer ones."""
        for record in self._tail.read():
            if isinstance(record, Write) and record.actor is not None:
                self._users[record.revision] = record.actor.user
        self._users = {at: user for at, user in self._users.items() if at > after}
        return all(self._users.get(at) == SERVER.name for at in range(after + 1, until + 1))
