"""What becomes of a claim: bound, provisioned for, left waiting, lost, grown. Pure.

Source: spec persistentvolume-controller 3 to 5 (v1.36, pv_controller.go: syncClaim). Invariants: a
claim that was bound once is never bound to another volume; the same claim seen twice gives nothing
new to write once the first plan was carried out.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.helpers import volumebinding
from kubeherd.cluster.api.storageobjects import (
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.controller.volume import binding, provisioning
from kubeherd.controller.volume.binding import ClaimPhase, Plan, Said, Update
from kubeherd.controller.workload.events import Event, EventType

NO_VOLUME: Final = "no persistent volumes available for this claim and no storage class is set"
NO_CONSUMER: Final = "waiting for first consumer to be created before binding"
LOST_REFERENCE: Final = (
    "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
)
LOST_VOLUME: Final = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
MISBOUND: Final = "Two claims are bound to the same volume, this one is bound incorrectly"


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of the cluster when a claim is decided about."""

    named: PersistentVolume | None = None
    """The volume of `spec.volumeName`."""
    candidates: Sequence[PersistentVolume] = ()
    """Volumes of its class that nobody has, and those that are reserved for it or are its own."""
    storage_class: StorageClass | None = None
    default_class: StorageClass | None = None
    waiting_pods: Sequence[str] = ()
    """Names of pods that use the claim and have no node."""
    nodes: frozenset[str] = frozenset()
    """Whether the selected node is there: the names of those that are, of interest."""


def plan(claim: PersistentVolumeClaim, sight: Sight) -> Plan:
    """What to write and say about one claim."""
    if claim.bind_completed:
        return _bound(claim, sight)
    return _reserved(claim, sight) if claim.volume_name else _unbound(claim, sight)


# --- claims that were never bound ---


def _unbound(claim: PersistentVolumeClaim, sight: Sight) -> Plan:
    found = sight.storage_class
    delayed = found is not None and found.waits_for_consumer
    volume = volumebinding.best_match(claim, sight.candidates, delayed=delayed)
    if volume is not None:
        return binding.bind(volume, claim)
    if claim.storage_class is None and sight.default_class is not None:
        spec = {**claim.spec, "storageClassName": sight.default_class.metadata.name}
        return Plan((Update(replace(claim, spec=spec)),))
    if delayed and SELECTED_NODE not in claim.metadata.annotations:
        return _pending(claim, _waiting(sight.waiting_pods))
    if claim.storage_class:
        return provisioning.provision(claim, found, sight.nodes)
    return _pending(claim, Event(EventType.NORMAL, "FailedBinding", NO_VOLUME))


def _waiting(pods: Sequence[str]) -> Event:
    if not pods:
        return Event(EventType.NORMAL, "WaitForFirstConsumer", NO_CONSUMER)
    which = f"pods {','.join(pods)}" if len(pods) > 1 else f"pod {pods[0]}"
    return Event(EventType.NORMAL, "WaitForPodScheduled", f"waiting for {which} to be scheduled")


def _reserved(claim: PersistentVolumeClaim, sight: Sight) -> Plan:
    """A claim that asks for one volume by name."""
    volume = sight.named
    if volume is None:
        return binding.claim_status(claim, ClaimPhase.PENDING)
    name = volume.metadata.name
    if volume.claim is None:
        why = volumebinding.mismatch(volume, claim)
        if not why:
            return binding.bind(volume, claim)
        text = f'Cannot bind to requested volume "{name}": {why}'
        return _pending(claim, Event(EventType.WARNING, "VolumeMismatch", text))
    if volumebinding.is_bound_to(volume, claim):
        return binding.bind(volume, claim)
    text = f'volume "{name}" already bound to a different claim.'
    event = Event(EventType.WARNING, "FailedBinding", text)
    if BOUND_BY_CONTROLLER in claim.metadata.annotations:
        return Plan(events=(Said(claim, event),))
    return _pending(claim, event)


def _pending(claim: PersistentVolumeClaim, event: Event) -> Plan:
    status = binding.claim_status(claim, ClaimPhase.PENDING)
    return Plan(status.writes, (Said(claim, event),))


# --- claims that were bound ---


def _bound(claim: PersistentVolumeClaim, sight: Sight) -> Plan:
    volume = sight.named
    if not claim.volume_name:
        return _lost(claim, "ClaimLost", LOST_REFERENCE)
    if volume is None:
        return _lost(claim, "ClaimLost", LOST_VOLUME)
    if volume.claim is not None and volume.claim.uid != claim.metadata.uid:
        return _lost(claim, "ClaimMisbound", MISBOUND)
    settled = binding.bind(volume, claim)
    if settled.writes:
        return settled
    return provisioning.grow(claim, volume, sight.storage_class)


def _lost(claim: PersistentVolumeClaim, reason: str, message: str) -> Plan:
    if claim.phase == ClaimPhase.LOST:
        return Plan()
    status = binding.claim_status(claim, ClaimPhase.LOST)
    return Plan(status.writes, (Said(claim, Event(EventType.WARNING, reason, message)),))
