"""Deletes the Secrets of bootstrap tokens whose time is over.

Source: Kubernetes v1.36, pkg/controller/bootstrap/tokencleaner.go. Invariant: a Secret is judged as
it is now, and only that one is deleted, not one that has its name by then.
"""

from kubeherd.cluster.api.errors import Conflict, NotFound
from kubeherd.cluster.api.helpers import bootstraptoken
from kubeherd.cluster.api.kinds import SECRETS
from kubeherd.cluster.api.objects import PartialObject
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers


class TokenCleaner:
    """Looks at a token when it has changed, and when it ends."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._reader = context.reader
        self._clock = context.clock
        selector = f"type={bootstraptoken.SECRET_TYPE}"
        self._secrets = context.informers.get(SECRETS, PartialObject, field_selector=selector)
        self._queue: WorkQueue[str] = context.queue("token_cleaner")
        self._secrets.on_change(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for secret in self._secrets.cache.values():
            self._changed(None, secret)
        await run_workers(self._queue, self._reconcile, controller="token-cleaner")

    def _changed(self, _old: PartialObject | None, new: PartialObject | None) -> None:
        if new is not None and new.metadata.namespace == bootstraptoken.NAMESPACE:
            self._queue.add(new.metadata.name)

    async def _reconcile(self, name: str) -> float | None:
        """Seconds until the token ends, None if it is gone or never will."""
        namespace = bootstraptoken.NAMESPACE
        try:
            secret = await self._reader.request("GET", SECRETS.path(namespace, name))
            left = bootstraptoken.time_left(secret, self._clock.now())
            if left is None or left:
                return None if left is None else left.total_seconds()
            await self._client.delete(SECRETS, name, namespace, uid=secret["metadata"]["uid"])
        except (NotFound, Conflict):
            pass
        return None
