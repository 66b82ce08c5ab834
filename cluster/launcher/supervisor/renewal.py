"""Renews the certificates of a running cluster before they end, for as long as it runs.

Between two looks the clock on the wall may jump (a laptop sleeps for a week), so it is asked once a
minute whether something is due, which is known without a look at the files. What could not be
written is tried again with the next look: there are months until it hurts.
"""

import asyncio
from collections.abc import Callable

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
        due = self._pki.next_due
        while True:
            await self._clock.sleep(LOOK_INTERVAL_S)
            if self._clock.now() >= due:
                async with self._changing:
                    if self._in_place() and await self._keep():
                        due = self._pki.next_due

    async def _keep(self) -> bool:
        """Renew what is due; whether that went well."""
        try:
            renewed = await asyncio.to_thread(self._pki.keep, self._settings())
        except LauncherError as error:
            _log.warning("certificates_not_renewed", error=str(error))
            return False
        for item in renewed:
            _log.info("certificate_renewed", certificate=item.name)
        return True
