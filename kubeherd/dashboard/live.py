"""A cluster that lives, followed into a feed for as long as the dashboard runs.

The cluster may go away and come back, even as another one: what was seen last is shown meanwhile,
with a note that says why nothing moves, and when it does not answer for long it is followed anew.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.failure import KubeherdError
from kubeherd.cluster.client.transport import TransportError
from kubeherd.dashboard.feed import Feed
from kubeherd.following.live import Source, followed
from kubeherd.following.session import Following
from kubeherd.herd.herd import NEEDS, Herd
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
    """Follows `source` into `feed`; `also` is told every record."""

    def __init__(self, source: Source, feed: Feed, also: Callable[[Record], object]) -> None:
        self._source = source
        self._feed = feed
        self._also = also

    async def run(self, begun: Callable[[], None]) -> None:
        """Follow until cancelled; `begun` is called when the cluster was seen for the first time.
        Before that ApiError, TransportError, LauncherError if it cannot be reached."""
        await self._follow(begun)
        attempt = 0
        while True:
            try:
                await self._follow(bool)
                attempt = 0
            except _CANNOT as error:
                self._feed.note = " ".join(str(error).split()) or type(error).__name__
                await asyncio.sleep(_AGAIN_S[min(attempt, len(_AGAIN_S) - 1)])
                attempt += 1

    async def _follow(self, begun: Callable[[], object]) -> None:
        """Follow it once, until it has not answered for long."""
        herd = Herd(self._feed.herd.sequence + 1)

        def tell(record: Record) -> None:
            herd.see(record)
            self._also(record)

        async with followed(self._source, NEEDS, tell) as following:
            self._feed.become(herd)
            self._feed.note = ""
            begun()
            await self._until_lost(following)

    async def _until_lost(self, following: Following) -> None:
        loop = asyncio.get_running_loop()
        well_s = failed_s = loop.time()
        while failed_s - well_s < _ANEW_S:
            await asyncio.sleep(_LOOK_S)
            if failing := following.failing():
                self._feed.note = " ".join(failing.split())
                failed_s = loop.time()
            elif loop.time() - failed_s > _RECOVERED_S:
                self._feed.note = ""
                well_s = failed_s = loop.time()
