"""Keeps the status of PodDisruptionBudgets current.

Invariant: the status is written against the budget's resourceVersion, so that an eviction granted
meanwhile by the API server is never forgotten.
"""

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import Conflict, NotFound
from kubeherd.cluster.api.kinds import PODDISRUPTIONBUDGETS, PODS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.disruption import plan
from kubeherd.controller.disruption.objects import PodDisruptionBudget
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import run_workers


class DisruptionController:
    """Counts the pods of each budget whenever one of them changes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pods = context.informers.get(PODS, Pod)
        self._budgets = context.informers.get(PODDISRUPTIONBUDGETS, PodDisruptionBudget)
        self._queue: WorkQueue[tuple[str, str]] = context.queue("disruption")
        self._budgets.on_change(self._budget_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for key in self._budgets.cache.keys():  # noqa: SIM118 - the keys, not the objects
            self._queue.add(key)
        await run_workers(self._queue, self._reconcile, controller="disruption")

    def _budget_changed(
        self, _old: PodDisruptionBudget | None, new: PodDisruptionBudget | None
    ) -> None:
        if new is not None:
            self._queue.add((new.metadata.namespace, new.metadata.name))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if not len(self._budgets.cache):
            return
        for pod in (old, new):
            if pod is None:
                continue
            for budget in self._budgets.cache.values():
                meta = budget.metadata
                if meta.namespace == pod.metadata.namespace and _selects(budget, pod):
                    self._queue.add((meta.namespace, meta.name))

    async def _reconcile(self, key: tuple[str, str]) -> float | None:
        budget = self._budgets.cache.get(*key)
        if budget is None:
            return None
        namespace = key[0]
        pods = [
            pod
            for pod in self._pods.cache.values()
            if pod.metadata.namespace == namespace and _selects(budget, pod)
        ]
        counts = plan.count(budget, pods, self._clock.age_s)
        status = plan.status(budget, counts, format_time(self._clock.now()))
        if status is not None:
            await self._write(budget, status)
        return counts.recheck_s

    async def _write(self, budget: PodDisruptionBudget, status: dict[str, object]) -> None:
        meta = budget.metadata
        path = PODDISRUPTIONBUDGETS.path(meta.namespace, meta.name)
        try:
            tree = await self._client.request("GET", path)
            if tree["metadata"].get("resourceVersion") != meta.resource_version:
                return  # the watch will show the newer one, and bring it back here
            await self._client.update(
                PODDISRUPTIONBUDGETS, {**tree, "status": status}, subresource="status"
            )
        except (NotFound, Conflict):
            return


def _selects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    if budget.spec.selector is None:
        return False
    return labels.from_selector(budget.spec.selector).matches(pod.metadata.labels)
