"""The pieces of a binding: each takes an object and gives it as it should be. Pure.

Source: spec persistentvolume-controller 2. Invariant: what is right already is given back as it is,
the same object, so that only what differs is written.
"""

from enum import StrEnum
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.helpers.volumebinding import annotated_with, bound_volume
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.storageobjects import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIMS,
    VOLUMES,
    YES,
    PersistentVolume,
    PersistentVolumeClaim,
)
from kubeherd.controller.workload.events import Event

Stored: TypeAlias = PersistentVolume | PersistentVolumeClaim


class VolumePhase(StrEnum):
    """status.phase of a volume."""

    AVAILABLE = "Available"
    BOUND = "Bound"
    RELEASED = "Released"
    FAILED = "Failed"


class ClaimPhase(StrEnum):
    """status.phase of a claim."""

    PENDING = "Pending"
    BOUND = "Bound"
    LOST = "Lost"


class Update(msgspec.Struct, frozen=True):
    """Write an object, or its status, as it is here."""

    obj: Stored
    status: bool = False

    @property
    def resource(self) -> Resource:
        return VOLUMES if isinstance(self.obj, PersistentVolume) else CLAIMS


class Create(msgspec.Struct, frozen=True):
    """Create a volume; one of its name that is there already is as good."""

    tree: JsonObject


class Delete(msgspec.Struct, frozen=True):
    """Delete a volume."""

    volume: PersistentVolume


class Said(msgspec.Struct, frozen=True):
    """An event on a claim or a volume."""

    subject: Stored
    event: Event


class Plan(msgspec.Struct, frozen=True):
    """What to write, in this order, and what to say when all is written."""

    writes: tuple[Update | Create | Delete, ...] = ()
    events: tuple[Said, ...] = ()


def bind(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Plan:
    """Both sides of a binding, the volume first: whoever sees it half done can finish it."""
    bound = bound_volume(volume, claim)
    showing = volume_in(bound, VolumePhase.BOUND)
    completed = bound_claim(claim, volume)
    satisfied = claim_in(completed, ClaimPhase.BOUND, bound)
    return Plan(
        (
            *_update(volume, bound),
            *_update(bound, showing, status=True),
            *_update(claim, completed),
            *_update(completed, satisfied, status=True),
        )
    )


def volume_status(volume: PersistentVolume, phase: VolumePhase, message: str = "") -> Plan:
    """Only the phase of a volume."""
    return Plan(_update(volume, volume_in(volume, phase, message), status=True))


def claim_status(claim: PersistentVolumeClaim, phase: ClaimPhase) -> Plan:
    """Only the phase of a claim that has no volume."""
    return Plan(_update(claim, claim_in(claim, phase, None), status=True))


def unbind(volume: PersistentVolume) -> Plan:
    """Roll back the binding of a volume; what its creator reserved stays reserved."""
    free = _unbound(volume)
    return Plan(
        (
            *_update(volume, free),
            *_update(free, volume_in(free, VolumePhase.AVAILABLE), status=True),
        )
    )


def _update(before: Stored, after: Stored, *, status: bool = False) -> tuple[Update, ...]:
    return () if after is before else (Update(after, status),)


def volume_in(volume: PersistentVolume, phase: VolumePhase, message: str = "") -> PersistentVolume:
    """The volume in this phase; in it already, its message stays."""
    if volume.phase == phase:
        return volume
    rest = {key: value for key, value in volume.status.items() if key != "message"}
    told = {"message": message} if message else {}
    return replace(volume, status={**rest, **told, "phase": phase.value})


def bound_claim(claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolumeClaim:
    """The claim with the volume as its own."""
    name = volume.metadata.name
    if claim.volume_name == name:
        annotated = annotated_with(claim.metadata, {BIND_COMPLETED: YES})
        return claim if annotated is claim.metadata else replace(claim, metadata=annotated)
    annotated = annotated_with(claim.metadata, {BOUND_BY_CONTROLLER: YES, BIND_COMPLETED: YES})
    return replace(claim, metadata=annotated, spec={**claim.spec, "volumeName": name})


def claim_in(
    claim: PersistentVolumeClaim, phase: ClaimPhase, volume: PersistentVolume | None
) -> PersistentVolumeClaim:
    """The claim in this phase, with what it has of its volume.

    The capacity is taken over when the claim becomes bound only: after that the two may differ,
    while a file system has not grown with its volume.
    """
    status = {key: value for key, value in claim.status.items() if value is not None}
    status["phase"] = phase.value
    if volume is None:
        for key in ("accessModes", "capacity", "currentVolumeAttributesClassName"):
            status.pop(key, None)
        return claim if status == claim.status else replace(claim, status=status)
    if modes := volume.spec.get("accessModes"):
        status["accessModes"] = modes
    if claim.phase != phase and claim.capacity != volume.capacity:
        status["capacity"] = volume.spec.get("capacity") or {}
    if claim.phase == ClaimPhase.PENDING and volume.attributes_class:
        status["currentVolumeAttributesClassName"] = volume.attributes_class
    return claim if status == claim.status else replace(claim, status=status)


def _unbound(volume: PersistentVolume) -> PersistentVolume:
    meta, spec = volume.metadata, dict(volume.spec)
    if BOUND_BY_CONTROLLER in meta.annotations:
        spec.pop("claimRef", None)
        kept = {k: v for k, v in meta.annotations.items() if k != BOUND_BY_CONTROLLER}
        return replace(volume, metadata=replace(meta, annotations=kept), spec=spec)
    reference = spec.get("claimRef") or {}
    if "uid" not in reference:
        return volume
    spec["claimRef"] = {key: value for key, value in reference.items() if key != "uid"}
    return replace(volume, spec=spec)
