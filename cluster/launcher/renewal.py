"""Renews the certificates of a running cluster before they end, for as long as it runs.

Between two looks the clock on the wall may jump (a laptop sleeps for a week), so it is asked once a
minute whether something is due; the files are read only then. What could not be written is tried
again with the next look: there are months until it hurts.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.pki import ClusterPki
from kubeherd.cluster.launcher.settings import Settings
from kubeherd.cluster.runtime.clock import Clock

LOOK_INTERVAL_S = 60.0

_log = structlog.get_logger(__name__)


class Renewal:
    """Of one cluster. `settings`: those of now; `changing` keeps others from changing them; while
    not `in_place` nothing is written."""

    def __init__(
        self,
        pki: ClusterPki,
        settings: Callable[[], Settings],
        clock: Clock,
        changing: asyncio.Lock,
        in_place: Callable[[], bool],
    ) -> None:
        self._pki = pki
        self._settings = settings
        self._clock = clock
        self._changing = changing
        self._in_place = in_place

    async def run(self) -> None:
        """Until cancelled."""
        due: datetime | None = None
        while True:
            await self._clock.sleep(LOOK_INTERVAL_S)
            if due is None or self._clock.now() >= due:
                async with self._changing:
                    due = await self._keep() if self._in_place() else None

    async def _keep(self) -> datetime | None:
        """Renew what is due; when something is again, None if that is not known."""
        try:
            kept = await asyncio.to_thread(self._pki.keep, self._settings())
        except LauncherError as error:
            _log.warning("certificates_not_renewed", error=str(error))
            return None
        for item in kept.renewed:
            _log.info("certificate_renewed", certificate=item.name)
        return kept.next_due
