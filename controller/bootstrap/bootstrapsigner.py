"""Signs the ConfigMap `cluster-info` with each bootstrap token that is for signing.

Who has a token can so tell, before he trusts anything else, that what anybody may read there is
said by the cluster that gave him the token. Source: Kubernetes v1.36,
pkg/controller/bootstrap/bootstrapsigner.go.
"""

from kubeherd.cluster.api.errors import Conflict, NotFound
from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.kinds import CONFIGMAPS, SECRETS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.bootstrap import plan
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers

_KEY = f"{bootstraptoken.INFO_NAMESPACE}/{bootstraptoken.INFO_NAME}"
_SELECTOR = f"type={bootstraptoken.SECRET_TYPE}"


class BootstrapSigner:
    """Looks when a token or the ConfigMap has changed."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._reader = context.reader
        self._clock = context.clock
        self._queue: WorkQueue[str] = context.queue("bootstrap_signer_queue")
        named = f"metadata.name={bootstraptoken.INFO_NAME}"
        for resource, selector in ((SECRETS, _SELECTOR), (CONFIGMAPS, named)):
            found = context.informers.get(resource, PartialObject, field_selector=selector)
            found.on_change(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        self._queue.add(_KEY)
        await run_workers(self._queue, self._reconcile, controller="bootstrap-signer", workers=1)

    def _changed(self, _old: PartialObject | None, _new: PartialObject | None) -> None:
        self._queue.add(_KEY)

    async def _reconcile(self, _key: str) -> None:
        path = CONFIGMAPS.path(bootstraptoken.INFO_NAMESPACE, bootstraptoken.INFO_NAME)
        try:
            info = await self._reader.request("GET", path)
            secrets = await self._reader.request(
                "GET", SECRETS.path(bootstraptoken.NAMESPACE), query={"fieldSelector": _SELECTOR}
            )
            wanted = plan.signed(info, secrets["items"], self._clock.now())
            if wanted is not None:
                await self._client.update(CONFIGMAPS, wanted)
        except (NotFound, Conflict):
            return  # there is none, or it has changed: then it is looked at again
