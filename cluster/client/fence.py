"""The fence of one process: the term under which it writes, for all of its clients at once."""

import asyncio


class Fence:
    """Invariant: a term that is over stays in force until there is another one, so that whatever
    still writes for it is refused; only who competes for the Lease writes without."""

    def __init__(self) -> None:
        self.header = ""
        """What goes with every write (`cluster.api.private.fence`); "" for nothing."""
        self.refused = asyncio.Event()
        """The server has refused a write of the term in force."""

    def put_up(self, header: str) -> None:
        """A new term begins."""
        self.header = header
        self.refused.clear()

    def take_down(self) -> None:
        """Nobody writes any more for the last term."""
        self.header = ""

    def refuse(self, header: str) -> None:
        """A write was refused; it may have belonged to a term before."""
        if header == self.header:
            self.refused.set()
