"""Claims that are made for a pod: its generic ephemeral volumes.

Source: Kubernetes v1.36, pkg/controller/volume/ephemeral; spec persistentvolume-controller 7. The
claim belongs to the pod, so the garbage collector takes it away with it. Invariant: a claim of the
same name that is somebody else's is left alone.
"""

from contextlib import suppress
from typing import Final

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, NotFound
from kubeherd.cluster.api.helpers.podclaims import claim_of_volume, not_of_pod
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.cluster.api.objects import PartialObject, Pod
from kubeherd.cluster.api.storageobjects import CLAIMS, Key
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.controller.manager import Context
from kubeherd.controller.references import pod_reference
from kubeherd.controller.worker import ReconcileError, run_workers

COMPONENT: Final = "ephemeral_volume"


class EphemeralVolumeController:
    """Creates the claims of pods with ephemeral volumes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pods = context.informers.get(PODS, Pod)
        self._claims = context.informers.get(CLAIMS, PartialObject)
        self._recorder = context.recorder(COMPONENT)
        self._queue: WorkQueue[Key] = context.queue("ephemeral_volume")
        self._pods.on_change(self._pod_changed)
        self._claims.on_change(self._claim_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        for pod in self._pods.cache.values():
            self._enqueue(pod)
        await run_workers(self._queue, self._reconcile, controller="ephemeral-volume")

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None and (old is None or old.metadata.uid != new.metadata.uid):
            self._enqueue(new)

    def _claim_changed(self, old: PartialObject | None, new: PartialObject | None) -> None:
        """A claim is gone: its pod gets another one."""
        owner = None if new is not None or old is None else old.metadata.controller()
        if old is None or owner is None or owner.kind != "Pod":
            return
        pod = self._pods.cache.get(old.metadata.namespace, owner.name)
        if pod is not None:
            self._enqueue(pod)

    def _enqueue(self, pod: Pod) -> None:
        if _wants_claims(pod):
            self._queue.add((pod.metadata.namespace, pod.metadata.name))

    async def _reconcile(self, key: Key) -> float | None:
        pod = self._pods.cache.get(*key)
        if pod is None or not _wants_claims(pod):
            return None
        with suppress(NotFound):  # the pod is gone: so are its wishes
            tree = await self._client.request("GET", PODS.path(*key))
            for volume in tree["spec"].get("volumes") or ():
                if "ephemeral" in volume and tree["metadata"]["uid"] == pod.metadata.uid:
                    await self._make(pod, volume)
        return None

    async def _make(self, pod: Pod, volume: JsonObject) -> None:
        namespace, name = pod.metadata.namespace, claim_of_volume(pod, volume["name"])
        why = ""
        try:
            await self._client.create(CLAIMS, claim_tree(pod, volume), namespace)
        except AlreadyExists:
            found = await self._client.get(CLAIMS, PartialObject, name, namespace)
            why = not_of_pod(found.metadata, pod)
        except ApiError as error:
            why = f"create PVC {name}: {error}"
        if why:
            text = f"ephemeral volume {volume['name']}: {why}"
            self._recorder.event(pod_reference(pod), "Warning", "FailedBinding", text)
            raise ReconcileError(f"pod {namespace}/{pod.metadata.name}, {text}")


def claim_tree(pod: Pod, volume: JsonObject) -> JsonObject:
    """The claim for an ephemeral volume of a pod."""
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    meta = template.get("metadata") or {}
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod.metadata.name,
        "uid": pod.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata: JsonObject = {
        "name": claim_of_volume(pod, volume["name"]),
        "ownerReferences": [owner],
        **{key: meta[key] for key in ("annotations", "labels") if meta.get(key)},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }


def _wants_claims(pod: Pod) -> bool:
    if pod.metadata.deletion_timestamp is not None:
        return False
    return any(volume.ephemeral is not None for volume in pod.spec.volumes)
