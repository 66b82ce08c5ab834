"""Deletes CertificateSigningRequests that nobody needs any more, once an hour.

Source: Kubernetes v1.36, pkg/controller/certificates/cleaner. Nodes that join and renew their
certificates leave one each time.
"""

from kubeherd.cluster.api.errors import ApiError, Conflict, NotFound
from kubeherd.cluster.api.helpers import signingrequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import SIGNINGREQUESTS
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.certificates import plan
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import Troubles

INTERVAL_S = 3600.0


class CleanerController:
    """Looks at all of them, then rests."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._reader = context.reader
        self._clock = context.clock
        self._troubles = Troubles("csrcleaner")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                for request in (await self._reader.request("GET", SIGNINGREQUESTS.path()))["items"]:
                    if self._is_over(request):
                        await self._delete(request)
                self._troubles.worked("")
            except (ApiError, TransportError) as error:
                self._troubles.failed("", error)
            await self._clock.sleep(INTERVAL_S)

    def _is_over(self, request: JsonObject) -> bool:
        certificate = (request.get("status") or {}).get("certificate") or ""
        end = signingrequest.end_of_certificate(certificate)
        expired = end is not None and self._clock.now() > end
        return expired or plan.is_old(request, self._clock.age_s)

    async def _delete(self, request: JsonObject) -> None:
        meta = request["metadata"]
        try:
            await self._client.delete(SIGNINGREQUESTS, meta["name"], uid=meta["uid"])
        except (NotFound, Conflict):
            return  # gone, or another one by now
