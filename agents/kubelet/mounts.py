"""Pods wait until the claims that they mount are bound, as a kubelet mounts volumes first.

Source: Kubernetes v1.36, pkg/kubelet/volumemanager (populator and WaitForAttachAndMount). A
scheduler binds claims before it binds their pod, so only pods whose creator named the node are
looked at. Invariants: a pod has at most one task here; a pod that is gone has none.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from kubeherd.agents.pods.sync import WARNING, PodEvent
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers.podclaims import pod_claims
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.storageobjects import CLAIMS, PersistentVolumeClaim
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock

RETRY_S: Final = 10.0
"""How long a kubelet waits at least after a failed sync of a pod."""


def are_doubtful(pod: Pod) -> bool:
    """Whether the claims of a pod that is seen first may not be bound."""
    status = pod.status
    if not pod.spec.volumes or not pod_claims(pod):
        return False
    by_scheduler = status.condition("PodScheduled") is not None and not status.container_statuses
    started = any(entry.get("containerID") for entry in status.container_statuses)
    return not by_scheduler and not started


class Mounts:
    """Looks at the claims of pods, for one node. `tasks` owns the looking."""

    def __init__(self, client: ApiClient, tasks: asyncio.TaskGroup, clock: Clock) -> None:
        self.client = client
        self._owner = tasks
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def wait(
        self, pod: Pod, tell: Callable[[Pod, PodEvent], None], mounted: Callable[[], None]
    ) -> None:
        """Call `mounted` when all claims are bound; what is missing is told meanwhile."""
        uid = pod.metadata.uid
        work = self._wait(pod, tell, mounted)
        self._tasks[uid] = self._owner.create_task(work, name=f"mounts-{pod.metadata.name}")

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        task = self._tasks.pop(uid, None)
        if task is not None:
            task.cancel()

    async def _wait(
        self, pod: Pod, tell: Callable[[Pod, PodEvent], None], mounted: Callable[[], None]
    ) -> None:
        while missing := await self._missing(pod):
            names = " ".join(sorted(missing))
            why = "; ".join(missing.values())
            tell(
                pod,
                PodEvent(
                    WARNING,
                    "FailedMount",
                    f"Unable to attach or mount volumes: unmounted volumes=[{names}], "
                    f"unattached volumes=[], failed to process volumes=[{names}]: {why}",
                ),
            )
            await self._clock.sleep(RETRY_S)
        self._tasks.pop(pod.metadata.uid, None)
        mounted()

    async def _missing(self, pod: Pod) -> dict[str, str]:
        """The volumes whose claims are not bound, and why."""
        namespace = pod.metadata.namespace
        with_claims = [v for v in pod.spec.volumes if v.persistent_volume_claim or v.ephemeral]
        missing = {}
        for volume, claim in zip(with_claims, pod_claims(pod), strict=True):
            if why := await self._trouble(namespace, claim.name):
                missing[volume.name] = f"error processing PVC {namespace}/{claim.name}: {why}"
        return missing

    async def _trouble(self, namespace: str, name: str) -> str:
        while True:
            try:
                claim = await self.client.get(CLAIMS, PersistentVolumeClaim, name, namespace)
            except ApiError as error:
                return f"failed to fetch PVC from API server: {error}"
            except TransportError:
                await self._clock.sleep(RETRY_S)
            else:
                return "" if claim.phase == "Bound" else "PVC is not bound"
