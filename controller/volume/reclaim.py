"""What becomes of a volume: available, bound, released, reclaimed by its policy. Pure.

Source: spec persistentvolume-controller 6 (v1.36, pv_controller.go: syncVolume, reclaimVolume).
Invariant: a volume is deleted or recycled only when its claim is gone or bound elsewhere.
"""

import re
from typing import Final

from kubeherd.cluster.api.storageobjects import (
    MIGRATED_TO,
    PROVISIONED_BY,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.controller.volume import binding, provisioning
from kubeherd.controller.volume.binding import Delete, Plan, Said, VolumePhase
from kubeherd.controller.workload.events import Event, EventType

RECYCLED: Final = "Volume recycled"
UNKNOWN_POLICY: Final = "Volume has unrecognized PersistentVolumeReclaimPolicy"

_IN_TREE: Final = "kubernetes.io/"
_OVER: Final = (VolumePhase.RELEASED, VolumePhase.FAILED)
_DELETABLE_PATH: Final = re.compile(r"/tmp/.+")  # noqa: S108 - a name, nothing is there
_RECYCLABLE: Final = ("hostPath", "nfs")
_UNDELETABLE: Final = ("nfs", "local")
_EXTERNAL: Final = ("csi",)


def plan(
    volume: PersistentVolume,
    claim: PersistentVolumeClaim | None,
    storage_class: StorageClass | None = None,
) -> Plan:
    """What to write and say about one volume; `claim`: that of its reference, of any uid."""
    reference = volume.claim
    if reference is None or not reference.uid:
        return binding.volume_status(volume, VolumePhase.AVAILABLE)
    if claim is None or claim.metadata.uid != reference.uid:
        return _released(volume, storage_class)
    if not claim.volume_name:
        return _half_bound(volume, claim)
    if claim.volume_name == volume.metadata.name:
        return binding.volume_status(volume, VolumePhase.BOUND)
    if PROVISIONED_BY in volume.metadata.annotations and volume.reclaim_policy == "Delete":
        return _released(volume, storage_class)
    return binding.unbind(volume)


def _half_bound(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Plan:
    """The claim's turn completes the binding, unless it never can."""
    if volume.volume_mode == claim.volume_mode:
        return Plan()
    of_volume = (
        "Cannot bind PersistentVolume to requested PersistentVolumeClaim "
        f'"{claim.metadata.name}" due to incompatible volumeMode.'
    )
    of_claim = (
        f'Cannot bind PersistentVolume "{volume.metadata.name}" to requested '
        "PersistentVolumeClaim due to incompatible volumeMode."
    )
    return Plan(
        events=(
            Said(volume, Event(EventType.WARNING, "VolumeMismatch", of_volume)),
            Said(claim, Event(EventType.WARNING, "VolumeMismatch", of_claim)),
        )
    )


def _released(volume: PersistentVolume, storage_class: StorageClass | None) -> Plan:
    """Released first, so that everybody sees why the volume goes; then by its policy."""
    if volume.phase not in _OVER:
        volume_after = binding.volume_in(volume, VolumePhase.RELEASED)
        then = _reclaim(volume_after, storage_class)
        released = binding.volume_status(volume, VolumePhase.RELEASED)
        return Plan((*released.writes, *then.writes), then.events)
    return _reclaim(volume, storage_class)


def _reclaim(volume: PersistentVolume, storage_class: StorageClass | None) -> Plan:
    if MIGRATED_TO in volume.metadata.annotations:
        return Plan()
    match volume.reclaim_policy:
        case "Retain":
            return Plan()
        case "Recycle":
            return _recycle(volume)
        case "Delete":
            return _delete(volume, storage_class)
    return _failed(volume, "VolumeUnknownReclaimPolicy", UNKNOWN_POLICY)


def _recycle(volume: PersistentVolume) -> Plan:
    if not any(source in volume.spec for source in _RECYCLABLE):
        text = "No recycler plugin found for the volume!"
        return _failed(volume, "VolumeFailedRecycle", text)
    event = Said(volume, Event(EventType.NORMAL, "VolumeRecycled", RECYCLED))
    return Plan(binding.unbind(volume).writes, (event,))


def _delete(volume: PersistentVolume, storage_class: StorageClass | None) -> Plan:
    provisioner = volume.metadata.annotations.get(PROVISIONED_BY, "")
    ours = storage_class is not None and provisioning.provisions(storage_class)
    if provisioner and (ours or provisioning.is_fake(provisioner)):
        return Plan((Delete(volume),))
    if provisioner and not provisioner.startswith(_IN_TREE):
        return Plan()  # whoever provisioned it deletes it
    if any(source in volume.spec for source in _EXTERNAL):
        return Plan()
    if "hostPath" not in volume.spec:
        kind = "deletable volume" if any(s in volume.spec for s in _UNDELETABLE) else "volume"
        text = (
            f'error getting deleter volume plugin for volume "{volume.metadata.name}": '
            f"no {kind} plugin matched"
        )
        return _failed(volume, "VolumeFailedDelete", text)
    path = str(volume.spec["hostPath"].get("path"))
    if _DELETABLE_PATH.fullmatch(path):
        return Plan((Delete(volume),))
    text = f"host_path deleter only supports /tmp/.+ but received provided {path}"
    return _failed(volume, "VolumeFailedDelete", text)


def _failed(volume: PersistentVolume, reason: str, message: str) -> Plan:
    if volume.phase == VolumePhase.FAILED:
        return Plan()
    status = binding.volume_status(volume, VolumePhase.FAILED, message)
    return Plan(status.writes, (Said(volume, Event(EventType.WARNING, reason, message)),))
