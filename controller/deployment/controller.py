"""The shell of the Deployment controller: wakes up, reads caches, carries plans out.

All decisions are in `plan.py`. Invariants: one sync of a Deployment at a time (the queue sees to
that), and none before the caches show what the last one wrote.
"""

from collections.abc import Mapping, Sequence

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.intstr import InvalidNumber
from kubeherd.cluster.api.kinds import DEPLOYMENTS, PODS, REPLICASETS
from kubeherd.cluster.api.labels import NOTHING, Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.deployment.execute import Execution
from kubeherd.controller.deployment.limits import RECREATE
from kubeherd.controller.deployment.model import Now, Observed, Plan
from kubeherd.controller.deployment.newreplicaset import owner
from kubeherd.controller.deployment.plan import UnknownStrategy, plan
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.controller.workload.apps import Deployment, ReplicaSet
from kubeherd.controller.workload.claiming import carry_out
from kubeherd.controller.workload.memories import Memories
from kubeherd.controller.workload.pods import podindex
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.wakeups import Key, Wakeups, key_of
from kubeherd.controller.workload.writer import ObjectWriter
from kubeherd.controller.workload.written import Written

NAME = "deployment-controller"
WORKERS = 16
"""Upstream has 5 (--concurrent-deployment-syncs). A sync here mostly waits: for answers, and for
caches to show what it wrote. Many at a time share requests and polls: a hundred rollouts cost a
third less."""


class DeploymentController:
    """Keeps every Deployment's ReplicaSets and status as they should be."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._deployments = context.informers.get(DEPLOYMENTS, Deployment)
        self._replica_sets = context.informers.get(REPLICASETS, ReplicaSet)
        self._pods = context.informers.get(PODS, Pod)
        self._queue: WorkQueue[Key] = context.queue("deployment", context.rng.child(NAME))
        self._recorder = context.recorder(NAME)
        self._written = Memories(lambda: Written(self._clock))
        self._wakeups: Wakeups[Deployment] = Wakeups(DEPLOYMENTS.kind, self, _selector_of)
        podindex.add_namespace_index(self._deployments.cache)
        podindex.add_index(self._replica_sets.cache)
        podindex.add_index(self._pods.cache)
        self._deployments.on_change(self._deployment_changed)
        self._replica_sets.on_change(self._replica_set_changed)
        self._pods.on_change(self._pod_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for deployment in self._deployments.cache.values():
            self._queue.add(key_of(deployment))
        await run_workers(self._queue, self.sync, controller=NAME, workers=WORKERS)

    # --- lookups that wakeups need ---

    def get(self, namespace: str, name: str) -> Deployment | None:
        """The cached Deployment, or None."""
        return self._deployments.cache.get(namespace, name)

    def in_namespace(self, namespace: str) -> Sequence[Deployment]:
        """The cached Deployments of a namespace."""
        return podindex.in_namespace(self._deployments.cache, namespace)

    # --- events ---

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        changed = new or old
        if changed is None:
            return
        key = key_of(changed)
        if new is None or (old is not None and old.metadata.uid != new.metadata.uid):
            self._written.forget(key)
        self._queue.add(key)

    def _replica_set_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        for deployment in self._wakeups.changed(old, new):
            self._queue.add(key_of(deployment))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Only the end of the last pod matters, and only if new ones wait for it (section 1)."""
        if old is None or new is not None:
            return
        deployment = self._deployment_of(old)
        if (
            deployment is not None
            and deployment.spec.strategy.type == RECREATE
            and not any(self._pods_of(deployment).values())
        ):
            self._queue.add(key_of(deployment))

    def _deployment_of(self, pod: Pod) -> Deployment | None:
        reference = pod.metadata.controller()
        if reference is None or reference.kind != REPLICASETS.kind:
            return None
        owner = self._replica_sets.cache.get(pod.metadata.namespace, reference.name)
        if owner is None or owner.metadata.uid != reference.uid:
            return None
        return self._wakeups.owner(owner)

    def _pods_of(self, deployment: Deployment) -> Mapping[str, Sequence[Pod]]:
        """All pods of a Deployment, by the uid of their ReplicaSet."""
        owned = podindex.owned(self._replica_sets.cache, deployment.metadata.uid)
        uids = [one.metadata.uid for one in owned]
        return {uid: podindex.owned(self._pods.cache, uid) for uid in uids}

    # --- one sync ---

    async def sync(self, key: Key) -> float | None:
        """Look at one Deployment and do what its plan says; seconds until the next look.

        ReconcileError, ApiError or TransportError if a write failed; what was done before stays.
        """
        known = self._written.get(key)
        if known is not None:
            await known.wait_seen()
        deployment = self._deployments.cache.get(*key)
        if deployment is None:
            self._written.forget(key)
            return None
        written = self._written.of(deployment)
        now = Now(format_time(self._clock.now()), self._clock.age_s)
        try:
            chosen = plan(self._observe(deployment), now)
        except (InvalidNumber, UnknownStrategy) as error:
            raise ReconcileError(str(error)) from error
        writer = ObjectWriter(
            self._client,
            deployment.metadata.namespace,
            written,
            {DEPLOYMENTS: self._deployments, REPLICASETS: self._replica_sets},
        )
        if chosen.adopt or chosen.release:
            await carry_out(writer, owner(deployment), REPLICASETS, chosen.adopt, chosen.release)
            return 0.0  # the rest is decided on what the caches show then
        record = recorder_on(self._recorder, owner(deployment))
        return await _carry_out(Execution(writer, deployment, record, now.text), chosen)

    def _observe(self, deployment: Deployment) -> Observed:
        recreate = deployment.spec.strategy.type == RECREATE
        return Observed(
            deployment=deployment,
            replica_sets=podindex.candidates(self._replica_sets.cache, deployment.metadata),
            pods=self._pods_of(deployment) if recreate else {},
        )


async def _carry_out(execution: Execution, chosen: Plan) -> float | None:
    execution.record(chosen.events)
    if chosen.create is not None and not await execution.create(chosen.create):
        return None
    for change in chosen.changes:
        await execution.change(change)
    for surplus in chosen.deletes:
        await execution.delete(surplus)
    if chosen.status is not None:
        await execution.store_status(chosen.status, chosen.revision)
    if chosen.rollback is not None:
        await execution.roll_back(chosen.rollback)
    return chosen.requeue_after_s


def _selector_of(deployment: Deployment) -> Selector:
    try:
        return labels.from_selector(deployment.spec.selector)
    except ApiError:  # its own sync says so
        return NOTHING
