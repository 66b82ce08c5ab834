"""Keeps the status of PodDisruptionBudgets current, and takes back disruptions that never came.

Source: Kubernetes v1.36, pkg/controller/disruption. Invariant: a status is written against the
budget's resourceVersion, so that an eviction granted meanwhile by the API server is never
forgotten.
"""

import asyncio
from collections.abc import Iterator

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import BadRequest, Conflict, NotFound
from kubeherd.cluster.api.helpers.podutil import is_ready
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODDISRUPTIONBUDGETS, PODS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.disruption import plan
from kubeherd.controller.disruption.objects import PodDisruptionBudget
from kubeherd.controller.disruption.scale import ExpectedScale
from kubeherd.controller.manager import Context
from kubeherd.controller.references import pod_reference, reference
from kubeherd.controller.worker import run_workers
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.selectortext import go_text
from kubeherd.controller.workload.storestatus import status_body
from kubeherd.controller.workload.wakeups import Key, key_of

COMPONENT = "controllermanager"


class DisruptionController:
    """Counts the pods of each budget whenever one of them changes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pods = context.informers.get(PODS, Pod)
        self._budgets = context.informers.get(PODDISRUPTIONBUDGETS, PodDisruptionBudget)
        self._selectors: dict[Key, Selector] = {}
        self._scale = ExpectedScale(context)
        self._recorder = context.recorder(COMPONENT)
        self._queue: WorkQueue[Key] = context.queue("disruption")
        self._stale: WorkQueue[Key] = context.queue("stale_pod_disruption")
        podindex.add_namespace_index(self._pods.cache)
        podindex.add_namespace_index(self._budgets.cache)
        self._budgets.on_change(self._budget_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for budget in list(self._budgets.cache.values()):
            self._budget_changed(None, budget)
        for pod in list(self._pods.cache.values()):
            self._watch_target(pod)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_workers(self._queue, self._reconcile, controller="disruption"))
            tasks.create_task(
                run_workers(self._stale, self._clear, controller="stale-disruption", workers=1)
            )

    # --- what makes a budget be looked at ---

    def _budget_changed(
        self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None
    ) -> None:
        if new is None:
            if old is not None:
                self._selectors.pop(key_of(old), None)
            return
        key = key_of(new)
        try:
            self._selectors[key] = labels.from_selector(new.spec.selector)
        except BadRequest:
            self._selectors[key] = labels.NOTHING
        self._queue.add(key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None:
            self._watch_target(new)
        if old is not None and new is not None and _same(old, new):
            return
        concerned = set(self._budgets_of(new)) if new is not None else set()
        if new is not None and len(concerned) > 1:
            meta, first = new.metadata, min(concerned)[1]
            text = (
                f'Pod "{meta.namespace}"/"{meta.name}" matches multiple PodDisruptionBudgets.  '
                f'Chose "{first}" arbitrarily.'
            )
            about = pod_reference(new)
            self._recorder.event(about, "Warning", "MultiplePodDisruptionBudgets", text)
        if old is not None:
            concerned.update(self._budgets_of(old))
        for key in concerned:
            self._queue.add(key)

    def _budgets_of(self, pod: Pod) -> Iterator[Key]:
        for budget in podindex.in_namespace(self._budgets.cache, pod.metadata.namespace):
            key = key_of(budget)
            if self._selectors.get(key, labels.NOTHING).matches(pod.metadata.labels):
                yield key

    # --- one budget ---

    async def _reconcile(self, key: Key) -> float | None:
        budget = self._budgets.cache.get(*key)
        if budget is None:
            return None
        now = format_time(self._clock.now())
        recheck_s = None
        try:
            counts = await self._count(budget)
        except plan.SyncFailed as error:
            status = plan.failed_status(budget, str(error), now)
        else:
            status, recheck_s = plan.status(budget, counts, now), counts.recheck_s
        if status is not None:
            await self._write(budget, status)
        return recheck_s

    async def _count(self, budget: PodDisruptionBudget) -> plan.Counts:
        pods = self._pods_of(budget)
        if not pods:
            self._say(budget, "Normal", "NoPods", "No matching pods found")
        wanted = await self._expected(budget, pods)
        counts = plan.count(budget.status, pods, wanted, self._clock.age_s)
        namespace = budget.metadata.namespace
        for pod in counts.given_up:
            text = f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"
            self._recorder.event(pod_reference(pod), "Warning", "NotDeleted", text)
        return counts

    def _pods_of(self, budget: PodDisruptionBudget) -> list[Pod]:
        try:
            selector = labels.from_selector(budget.spec.selector)
        except BadRequest as error:
            self._say(budget, "Warning", "NoPods", f"Failed to get pods: {error}")
            raise plan.SyncFailed(str(error)) from None
        return podindex.selected(self._pods.cache, budget.metadata.namespace, selector)

    async def _expected(self, budget: PodDisruptionBudget, pods: list[Pod]) -> plan.Expected:
        if not plan.needs_scale(budget.spec):
            return plan.expected(budget.spec, len(pods), 0)
        try:
            scale = await self._scale.of(budget.metadata.namespace, pods)
            wanted = plan.expected(budget.spec, len(pods), scale)
        except plan.SyncFailed as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._say(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            raise
        if plan.unmanaged(pods):
            shown = go_text(budget.spec.selector)
            text = (
                f"Pods selected by this PodDisruptionBudget (selector: {shown}) were found to be "
                "unmanaged. As a result, the status of the PDB cannot be calculated correctly, "
                "which may result in undefined behavior. To account for these pods please set "
                '".spec.minAvailable" field of the PDB to an integer value.'
            )
            self._say(budget, "Warning", "UnmanagedPods", text)
        return wanted

    def _say(self, budget: PodDisruptionBudget, kind: str, reason: str, text: str) -> None:
        resource = PODDISRUPTIONBUDGETS
        about = reference(resource.api_version, resource.kind, budget.metadata)
        self._recorder.event(about, kind, reason, text)

    async def _write(self, budget: PodDisruptionBudget, status: JsonObject) -> None:
        tree = status_body(Owner(PODDISRUPTIONBUDGETS, budget.metadata), status)
        try:
            await self._client.update(PODDISRUPTIONBUDGETS, tree, subresource="status")
        except (NotFound, Conflict):
            return  # the watch will show what there is now, and bring it back here

    # --- disruptions that never came ---

    def _watch_target(self, pod: Pod) -> None:
        after_s = plan.stale_target_s(pod, self._clock.age_s)
        if after_s is not None:
            self._stale.add_after(key_of(pod), after_s)

    async def _clear(self, key: Key) -> float | None:
        """Say of a pod that it will not be disrupted after all."""
        pod = self._pods.cache.get(*key)
        if pod is None:
            return None
        after_s = plan.stale_target_s(pod, self._clock.age_s)
        if after_s is None or after_s > 0:
            return after_s
        condition = {
            "type": plan.TARGET,
            "status": "False",
            "observedGeneration": pod.metadata.generation,
            "lastTransitionTime": format_time(self._clock.now()),
            "reason": None,
            "message": None,
        }
        meta = pod.metadata
        patch = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "status": {"conditions": [condition]},
        }
        try:
            await self._client.patch(PODS, meta.name, patch, meta.namespace, subresource="status")
        except (NotFound, Conflict):
            return None  # it changed: the watch brings it back here
        return None


def _same(old: Pod, new: Pod) -> bool:
    """Whether nothing has changed that a budget counts."""
    return (
        is_ready(old) == is_ready(new)
        and old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
        and old.metadata.labels == new.metadata.labels
        and old.metadata.owner_references == new.metadata.owner_references
        and old.metadata.uid == new.metadata.uid
    )
