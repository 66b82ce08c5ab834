"""A cluster that lives, followed into a feed for as long as the dashboard runs.

The cluster may go away and come back, even as another one: what was seen last is shown meanwhile,
with a note that says why nothing moves, and when it does not answer for long it is followed anew.
"""

import asyncio
from functools import partial
from typing import Final

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.client.transport import TransportError
from kubeherd.dashboard.showing import Showing
from kubeherd.following.live import Source, followed
from kubeherd.following.session import SHOWN_WAIT_S, Following, Manner
from kubeherd.herd.herd import NEEDS, NEWS, Herd
from kubeherd.history import Record

_LOOK_S: Final = 0.25
_RECOVERED_S: Final = 1.0
"""A watch that fails tries again and looks well for a moment: so long it must be well."""
_ANEW_S: Final = 5.0
"""After so long without an answer it is followed anew."""
_AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0)
"""Between attempts to follow it anew."""
_CANNOT: Final = (ApiError, TransportError, KubeherdError, OSError)


class Live:
    """Follows a cluster for as long as `run` runs."""

    def __init__(self, source: Source, showing: Showing) -> None:
        self._source = source
        self._showing = showing
        self._feed = showing.feed
        self.seen = asyncio.Event()
        """Set when the cluster was seen for the first time."""

    async def run(self) -> None:
        """Follow until cancelled. ApiError, TransportError, LauncherError if the cluster cannot be
        reached before it was `seen`."""
        attempt = 0
        while True:
            try:
                await self._follow()
                attempt = 0
            except _CANNOT as error:
                if not self.seen.is_set():
                    raise
                self._feed.note = " ".join(str(error).split()) or type(error).__name__
                await asyncio.sleep(_AGAIN_S[min(attempt, len(_AGAIN_S) - 1)])
                attempt += 1

    async def _follow(self) -> None:
        """Follow it once, until it has not answered for long, or is another one."""
        herd = Herd(self._feed.herd.sequence + 1)
        self._showing.begin()
        tell = partial(self._tell, herd)
        shape = self._showing.moments.shape
        manner = Manner(shape=shape, only_news=NEWS, wait_s=SHOWN_WAIT_S)
        async with followed(self._source, NEEDS, tell, manner) as session:
            self._feed.become(herd)
            self._feed.note = ""
            self.seen.set()
            await self._until_lost(session)

    def _tell(self, herd: Herd, record: Record) -> None:
        self._showing.see(record, herd)

    async def _until_lost(self, following: Following) -> None:
        loop = asyncio.get_running_loop()
        well_s = failed_s = loop.time()
        while failed_s - well_s < _ANEW_S and not following.began_anew:
            await asyncio.sleep(_LOOK_S)
            if failing := following.failing():
                self._feed.note = " ".join(failing.split())
                failed_s = loop.time()
            elif loop.time() - failed_s > _RECOVERED_S:
                self._feed.note = ""
                well_s = failed_s = loop.time()
