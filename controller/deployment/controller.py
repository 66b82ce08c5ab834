"""The shell of the Deployment controller: wakes up, reads caches, carries plans out.

All decisions are in `plan.py` and `wakeups.py`. Invariants: one sync of a Deployment at a time (the
queue sees to that), and none before the caches show what the last one wrote.
"""

from collections.abc import Iterable, Mapping, Sequence

from kubeherd.cluster.api.intstr import InvalidNumber
from kubeherd.cluster.api.kinds import DEPLOYMENTS, PODS, REPLICASETS
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.deployment.execute import Execution
from kubeherd.controller.deployment.limits import RECREATE
from kubeherd.controller.deployment.model import Now, Observed, Plan
from kubeherd.controller.deployment.newreplicaset import owner
from kubeherd.controller.deployment.plan import UnknownStrategy, plan
from kubeherd.controller.deployment.wakeups import Key, Wakeups, key_of
from kubeherd.controller.manager import Context
from kubeherd.controller.worker import ReconcileError, run_workers
from kubeherd.controller.workload.apps import Deployment, ReplicaSet
from kubeherd.controller.workload.claiming import carry_out
from kubeherd.controller.workload.recording import recorder_on
from kubeherd.controller.workload.writer import ObjectWriter
from kubeherd.controller.workload.written import Written

NAME = "deployment-controller"
WORKERS = 5

_OWNER = "deployment-controller/owner"
_ORPHANS = "deployment-controller/orphans"
_NAMESPACE = "deployment-controller/namespace"


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
        self._written: dict[Key, Written] = {}
        self._deployments.cache.add_index(_NAMESPACE, lambda one: one.metadata.namespace)
        self._replica_sets.cache.add_index(_OWNER, _owner_uid)
        self._replica_sets.cache.add_index(_ORPHANS, _orphan_namespace)
        self._pods.cache.add_index(_OWNER, _owner_uid)
        wakeups = Wakeups(self)
        self._deployments.on_change(self._deployment_changed)
        self._replica_sets.on_change(
            lambda old, new: self._wake(wakeups.replica_set_changed(old, new))
        )
        self._pods.on_change(lambda old, new: self._wake(wakeups.pod_changed(old, new)))

    async def run(self) -> None:
        """Work until cancelled."""
        self._wake(map(key_of, self._deployments.cache.values()))
        await run_workers(self._queue, self.sync, controller=NAME, workers=WORKERS)

    # --- lookups that wakeups need ---

    def deployment(self, namespace: str, name: str) -> Deployment | None:
        """The cached Deployment, or None."""
        return self._deployments.cache.get(namespace, name)

    def deployments_in(self, namespace: str) -> Iterable[Deployment]:
        """The cached Deployments of a namespace."""
        return self._deployments.cache.by_index(_NAMESPACE, namespace)

    def replica_set(self, namespace: str, name: str) -> ReplicaSet | None:
        """The cached ReplicaSet, or None."""
        return self._replica_sets.cache.get(namespace, name)

    def has_pods(self, deployment: Deployment) -> bool:
        """Whether a ReplicaSet of this Deployment has a pod in the cache."""
        return any(self._pods_of(deployment).values())

    def _pods_of(self, deployment: Deployment) -> Mapping[str, Sequence[Pod]]:
        owned = self._replica_sets.cache.by_index(_OWNER, deployment.metadata.uid)
        uids = [one.metadata.uid for one in owned]
        return {uid: list(self._pods.cache.by_index(_OWNER, uid)) for uid in uids}

    # --- events ---

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        changed = new or old
        if changed is None:
            return
        key = key_of(changed)
        if new is None or (old is not None and old.metadata.uid != new.metadata.uid):
            self._written.pop(key, None)
        self._queue.add(key)

    def _wake(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue.add(key)

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
            self._written.pop(key, None)
            return None
        written = self._written.setdefault(key, Written(self._clock))
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
        metadata = deployment.metadata
        recreate = deployment.spec.strategy.type == RECREATE
        return Observed(
            deployment=deployment,
            replica_sets=[
                *self._replica_sets.cache.by_index(_OWNER, metadata.uid),
                *self._replica_sets.cache.by_index(_ORPHANS, metadata.namespace),
            ],
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


def _owner_uid(owned: Pod | ReplicaSet) -> str | Iterable[str]:
    controller = owned.metadata.controller()
    return () if controller is None else controller.uid


def _orphan_namespace(replica_set: ReplicaSet) -> str | Iterable[str]:
    metadata = replica_set.metadata
    return metadata.namespace if metadata.controller() is None else ()
