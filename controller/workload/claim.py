"""Which objects belong to a workload, and which change hands (spec daemonset-controller 7).

Invariants: an object controlled by somebody else is never touched; nothing is adopted by, or for,
an object that is being deleted; only objects of the same namespace are adopted.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import ObjectMeta


class _HasMetadata(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...


T = TypeVar("T", bound=_HasMetadata)


class Claim(msgspec.Struct, Generic[T], frozen=True):
    """`claimed` are owned and to be adopted; `adopt` and `release` need a patch."""

    claimed: list[T]
    adopt: list[T]
    release: list[T]


class Owner(msgspec.Struct, frozen=True):
    """The workload that claims: its kind and its metadata."""

    resource: Resource
    metadata: ObjectMeta


class Standing(Enum):
    """What an object is to a workload (the rows of the table of section 7)."""

    FOREIGN = auto()
    OWNED = auto()
    ADOPTED = auto()
    """It has no owner yet, and gets this one."""
    RELEASED = auto()
    """It is owned, and is so no longer."""


def standing(owner: Owner, selector: Selector, candidate: _HasMetadata) -> Standing:
    """What an object is to the workload, by the table of section 7."""
    metadata = candidate.metadata
    deleting = owner.metadata.deletion_timestamp is not None
    controller = metadata.controller()
    if controller is not None:
        if controller.uid != owner.metadata.uid:
            return Standing.FOREIGN
        if selector.matches(metadata.labels):
            return Standing.OWNED
        return Standing.FOREIGN if deleting else Standing.RELEASED
    if (
        deleting
        or metadata.deletion_timestamp is not None
        or metadata.namespace != owner.metadata.namespace
        or not selector.matches(metadata.labels)
    ):
        return Standing.FOREIGN
    return Standing.ADOPTED


def claim(owner: Owner, selector: Selector, candidates: Iterable[T]) -> Claim[T]:
    """Sort candidates by what they are to the workload."""
    result: Claim[T] = Claim([], [], [])
    for candidate in candidates:
        found = standing(owner, selector, candidate)
        if found is Standing.RELEASED:
            result.release.append(candidate)
        elif found is not Standing.FOREIGN:
            result.claimed.append(candidate)
            if found is Standing.ADOPTED:
                result.adopt.append(candidate)
    return result


def owner_reference(owner: Owner) -> JsonObject:
    """The controller reference that pods and revisions of this workload carry."""
    return {
        "apiVersion": owner.resource.api_version,
        "kind": owner.resource.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def adopt_patch(owner: Owner, target_uid: str, finalizers: Sequence[str] = ()) -> JsonObject:
    """Strategic merge patch; the uid makes the server refuse it if the target was re-created."""
    metadata: JsonObject = {"uid": target_uid, "ownerReferences": [owner_reference(owner)]}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"metadata": metadata}


def release_patch(owner: Owner, target_uid: str, finalizers: Sequence[str] = ()) -> JsonObject:
    """Strategic merge patch that takes this workload out of the owners."""
    gone = {"$patch": "delete", "uid": owner.metadata.uid}
    metadata: JsonObject = {"uid": target_uid, "ownerReferences": [gone]}
    if finalizers:
        metadata["$deleteFromPrimitiveList/finalizers"] = list(finalizers)
    return {"metadata": metadata}
