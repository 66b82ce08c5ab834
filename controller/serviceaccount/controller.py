"""Keeps ServiceAccount `default` in every namespace.

Invariant: a namespace that is being deleted is left alone, so its deletion can come to an end.
"""

from kubeherd.cluster.api.errors import AlreadyExists, Forbidden, NotFound, namespace_is_terminating
from kubeherd.cluster.api.kinds import NAMESPACES, SERVICEACCOUNTS
from kubeherd.cluster.api.objects import Namespace, PartialObject
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.serviceaccount import plan
from kubeherd.controller.worker import run_workers


class ServiceAccountController:
    """Creates the account where it is missing, also after somebody deleted it."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._namespaces = context.informers.get(NAMESPACES, Namespace)
        self._accounts = context.informers.get(SERVICEACCOUNTS, PartialObject)
        self._queue: WorkQueue[str] = context.queue("serviceaccount")
        self._namespaces.on_change(self._namespace_changed)
        self._accounts.on_change(self._account_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for namespace in self._namespaces.cache.values():
            self._queue.add(namespace.metadata.name)
        await run_workers(self._queue, self._reconcile, controller="serviceaccount")

    def _namespace_changed(self, _old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._queue.add(new.metadata.name)

    def _account_changed(self, old: PartialObject | None, new: PartialObject | None) -> None:
        if new is None and old is not None and old.metadata.name == plan.SERVICE_ACCOUNT:
            self._queue.add(old.metadata.namespace)

    async def _reconcile(self, name: str) -> None:
        if not plan.wants_content(self._namespaces.cache.get("", name)):
            return
        if self._accounts.cache.get(name, plan.SERVICE_ACCOUNT) is not None:
            return
        try:
            await self._client.create(SERVICEACCOUNTS, plan.service_account(name))
        except (AlreadyExists, NotFound):
            return
        except Forbidden as error:
            if not namespace_is_terminating(error):
                raise
