"""The shell of VolumeBinding: caches of claims and volumes, the writes before a pod is bound.

Spec scheduler 8. The caches are made when the first pod with a claim comes: most clusters have
none. Invariants: what is being written counts as assumed until it is done or has failed; a wait for
the binder ends after `BIND_TIMEOUT_S`, and holds back no other pod.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import msgspec

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers import volumebinding
from kubeherd.cluster.api.helpers.podclaims import pod_claims, waited_for
from kubeherd.cluster.api.helpers.volumebinding import bound_volume
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.storageobjects import (
    CLAIMS,
    CLASSES,
    SELECTED_NODE,
    VOLUMES,
    Key,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.controller.manager import Context
from kubeherd.controller.scheduler import volumes
from kubeherd.controller.scheduler.volumes import (
    Assumed,
    Binding,
    BindingFailed,
    Decision,
    PodVolumes,
    Stock,
)
from kubeherd.controller.workload import volumeindex

BIND_TIMEOUT_S: Final = 600.0
_WITH_CLAIMS: Final = "waiting-with-claims"
_YES: Final = "yes"

Wake = Callable[[Iterable[Key]], None]
"""Told which pods may fit that did not."""


class Caches:
    """Claims, volumes and classes, and who waits for them."""

    def __init__(self, context: Context, wake: Wake) -> None:
        self.claims = context.informers.get(CLAIMS, PersistentVolumeClaim)
        self.volumes = context.informers.get(VOLUMES, PersistentVolume)
        self.classes = context.informers.get(CLASSES, StorageClass)
        self.pods = context.informers.get(PODS, Pod)
        self._wake = wake
        self._waiters: dict[Key, set[asyncio.Event]] = {}
        """Who waits for a claim to be bound, by claim."""
        volumeindex.add_index(self.volumes.cache, self.pods.cache)
        self.pods.cache.add_index(_WITH_CLAIMS, lambda pod: (_YES,) if waited_for(pod) else ())
        self.claims.on_change(self._claim_changed)
        self.volumes.on_change(self._volume_changed)
        self.classes.on_change(lambda _old, _new: self._wake_all())
        self.pods.on_change(self._pod_changed)

    def stock(self) -> Stock:
        """The caches as `volumes.examine` wants them."""
        return Stock(
            claim=lambda key: self.claims.cache.get(*key),
            volume=lambda name: self.volumes.cache.get("", name),
            candidates=self._candidates,
            storage_class=lambda name: self.classes.cache.get("", name),
        )

    @property
    def synced(self) -> bool:
        """Whether the caches have been filled."""
        caches = (self.claims, self.volumes, self.classes)
        return all(cache.synced.is_set() for cache in caches)

    async def wait_synced(self) -> None:
        """Return when they have."""
        for synced in (self.claims.synced, self.volumes.synced, self.classes.synced):
            await synced.wait()

    def wait_for(self, key: Key, changed: asyncio.Event) -> None:
        """Set the event whenever something about this claim changes, until `leave`."""
        self._waiters.setdefault(key, set()).add(changed)

    def leave(self, key: Key, changed: asyncio.Event) -> None:
        """Do so no longer."""
        waiting = self._waiters.get(key, set())
        waiting.discard(changed)
        if not waiting:
            self._waiters.pop(key, None)

    def _candidates(self, claim: PersistentVolumeClaim) -> list[PersistentVolume]:
        return volumeindex.candidates(self.volumes.cache, claim)

    def _claim_changed(
        self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
    ) -> None:
        claim = new or old
        if claim is not None:
            self._tell(claim.key)
            pods = volumeindex.waiting_pods(self.pods.cache, claim)
            self._wake((pod.metadata.namespace, pod.metadata.name) for pod in pods)

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        for volume in (old, new):
            if volume is not None and volume.claim is not None:
                self._tell((volume.claim.namespace, volume.claim.name))
        if new is not None and (old is None or new.claim is None):
            self._wake_all()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None:
            for claim in pod_claims(old):
                self._tell((old.metadata.namespace, claim.name))

    def _wake_all(self) -> None:
        pods = self.pods.cache.by_index(_WITH_CLAIMS, _YES)
        self._wake((pod.metadata.namespace, pod.metadata.name) for pod in pods)

    def _tell(self, claim: Key) -> None:
        for waiter in self._waiters.get(claim, ()):
            waiter.set()


class VolumeBinder:
    """Decides about and binds the claims of pods that are being scheduled."""

    def __init__(self, context: Context, wake: Wake) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._wake = wake
        self._made: Caches | None = None
        self._assumed = Assumed()

    @property
    def _caches(self) -> Caches:
        if self._made is None:
            self._made = Caches(self._context, self._wake)
        return self._made

    def ready_for(self, pod: Pod) -> bool:
        """Whether all is known that the pod's claims ask for; `wait_synced`, if not."""
        return not pod_claims(pod) or self._caches.synced

    async def wait_synced(self) -> None:
        """Return when the caches have been filled."""
        await self._caches.wait_synced()

    def forget_all(self) -> None:
        """Nobody is writing anything any more."""
        self._assumed = Assumed()

    def examine(self, pod: Pod) -> PodVolumes | str | None:
        """As `volumes.examine`."""
        if not pod_claims(pod):
            return None
        return volumes.examine(pod, self._caches.stock(), self._assumed)

    def assume(self, where: PodVolumes | None, node: Node | None) -> Decision | None:
        """What has to be written before a pod can be bound to this node: it counts from now on.

        None: nothing.
        """
        decided = where.decision(node) if where is not None and node is not None else None
        if decided is None or decided.is_empty:
            return None
        self._assumed.add(decided)
        return decided

    async def bind(self, pod: Pod, decision: Decision, slots: asyncio.Semaphore) -> None:
        """Write the decision and wait until the binder has done its part; BindingFailed.

        One of `slots` is the caller's, and is given back for the time of the wait.
        """
        try:
            await self._write(decision)
            slots.release()
            try:
                await self._wait(pod, decision)
            finally:
                await slots.acquire()
        except (ApiError, TransportError, TimeoutError, BindingFailed) as error:
            raise BindingFailed(f'running PreBind plugin "{volumes.PLUGIN}": {error}') from error
        finally:
            self._assumed.remove(decision)

    async def _write(self, decision: Decision) -> None:
        """Reserve volumes, and say for which node others are to be made."""
        node = decision.node.metadata.name
        for claim, volume in decision.static:
            tree = msgspec.to_builtins(bound_volume(volume, claim))
            tree |= {"apiVersion": "v1", "kind": VOLUMES.kind}
            await self._client.update(VOLUMES, tree)
        for claim in decision.provisioned:
            meta = claim.metadata
            if meta.annotations.get(SELECTED_NODE) == node:
                continue
            own = {"uid": meta.uid, "resourceVersion": meta.resource_version}
            patch = {"metadata": {**own, "annotations": {SELECTED_NODE: node}}}
            await self._client.patch(CLAIMS, meta.name, patch, meta.namespace, kind=PatchKind.MERGE)

    async def _wait(self, pod: Pod, decision: Decision) -> None:
        deadline_s = self._clock.monotonic_s() + BIND_TIMEOUT_S
        claims = [*(one.claim for one in decision.static), *decision.provisioned]
        keys = [claim.key for claim in claims]
        changed = asyncio.Event()
        for key in keys:
            self._caches.wait_for(key, changed)
        try:
            while not self._all_bound(decision):
                current = self._caches.pods.cache.get(pod.metadata.namespace, pod.metadata.name)
                if current is None or current.metadata.uid != pod.metadata.uid:
                    raise BindingFailed("pod does not exist any more")
                left_s = deadline_s - self._clock.monotonic_s()
                if left_s <= 0:
                    raise BindingFailed("binding volumes: context deadline exceeded")
                with suppress(TimeoutError):
                    await self._clock.wait_for(changed.wait(), left_s)
                changed.clear()
        finally:
            for key in keys:
                self._caches.leave(key, changed)

    def _all_bound(self, decision: Decision) -> bool:
        return all(self._is_reserved(one) for one in decision.static) and all(
            self._is_provisioned(claim, decision.node) for claim in decision.provisioned
        )

    def _is_reserved(self, binding: Binding) -> bool:
        before = binding.volume.metadata
        claim = self._caches.claims.cache.get(*binding.claim.key)
        volume = self._caches.volumes.cache.get("", before.name)
        if claim is None or volume is None:
            raise BindingFailed("failed to check binding: not found")
        if volume.claim is not None and volume.claim.uid:
            return claim.fully_bound
        if volume.metadata.resource_version == before.resource_version:
            return False  # what was written is not seen yet
        raise BindingFailed(f'ClaimRef got reset for pv "{before.name}"')

    def _is_provisioned(self, before: PersistentVolumeClaim, node: Node) -> bool:
        claim = self._caches.claims.cache.get(*before.key)
        if claim is None:
            raise BindingFailed("failed to check provisioning pvc: not found")
        if claim.metadata.resource_version == before.metadata.resource_version:
            return False  # what was written is not seen yet, or nothing has come of it
        if claim.metadata.annotations.get(SELECTED_NODE) != node.metadata.name:
            raise BindingFailed(f'provisioning failed for PVC "{claim.metadata.name}"')
        volume = self._caches.volumes.cache.get("", claim.volume_name)
        if not claim.fully_bound or volume is None:
            return False
        if not volumebinding.reachable_from(volume, node):
            raise BindingFailed(
                f'pv "{claim.volume_name}" node affinity doesn\'t match node '
                f'"{node.metadata.name}": no matching NodeSelectorTerms'
            )
        return True
