"""Takes the protection from volumes and claims that are being deleted and that nobody uses.

Both look at the objects through the caches that the garbage collector has anyway, and ask the
server only about those that are being deleted. Invariant: a claim goes only after a list of its
namespace's pods, made after its deletion, showed none that uses it; one that is used is looked at
again whenever a pod of its namespace changes.
"""

from kubeherd.cluster.api.errors import Conflict, NotFound
from kubeherd.cluster.api.kinds import PODS, Resource, resource
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.volumes import plan
from kubeherd.controller.worker import run_workers

CLAIMS = resource("", "v1", "persistentvolumeclaims")
VOLUMES = resource("", "v1", "persistentvolumes")
_LOOK_AGAIN_S = 30.0
"""A volume's phase is not watched."""

_Key = tuple[str, str]


class _Protection:
    """What both have in common: the objects that wait, and their release."""

    name: str
    kind: Resource
    finalizer: str

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._objects = context.informers.get(self.kind, PartialObject)
        self._queue: WorkQueue[_Key] = WorkQueue(context.clock, context.rng)
        self._objects.on_change(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for item in self._objects.cache.values():
            self._changed(None, item)
        await run_workers(self._queue, self._reconcile, controller=self.name)

    def _changed(self, _old: PartialObject | None, new: PartialObject | None) -> None:
        if new is not None and plan.waits(new.metadata, self.finalizer):
            self._queue.add((new.metadata.namespace, new.metadata.name))

    async def _reconcile(self, key: _Key) -> float | None:
        namespace, name = key
        item = self._objects.cache.get(namespace, name)
        if item is None or not plan.waits(item.metadata, self.finalizer):
            return None
        try:
            if await self._in_use(namespace, name):
                return _LOOK_AGAIN_S
            patch = plan.released(item.metadata, self.finalizer)
            await self._client.patch(self.kind, name, patch, namespace, kind=PatchKind.MERGE)
        except (Conflict, NotFound):
            return None  # its next version is on the way, or it is gone
        return None

    async def _in_use(self, namespace: str, name: str) -> bool:
        raise NotImplementedError


class ClaimProtection(_Protection):
    """A claim is in use while a pod on a node mounts it."""

    name = "persistentvolumeclaim-protection-controller"
    kind = CLAIMS
    finalizer = plan.CLAIM_FINALIZER

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._used: set[_Key] = set()
        context.informers.get(PODS, Pod).on_change(self._pod_changed)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if not self._used:
            return
        pod = new or old
        for key in [key for key in self._used if pod and key[0] == pod.metadata.namespace]:
            self._used.discard(key)
            self._queue.add(key)

    async def _in_use(self, namespace: str, name: str) -> bool:
        self._used.add((namespace, name))  # first: a pod may change while the list is on its way
        pods = await self._client.list(PODS, plan.User, namespace)
        if plan.in_use(name, pods.items):
            return True
        self._used.discard((namespace, name))
        return False


class VolumeProtection(_Protection):
    """A volume is in use while it is bound."""

    name = "persistentvolume-protection-controller"
    kind = VOLUMES
    finalizer = plan.VOLUME_FINALIZER

    async def _in_use(self, namespace: str, name: str) -> bool:
        volume = await self._client.get(VOLUMES, plan.Phase, name)
        return volume.status.phase == "Bound"
