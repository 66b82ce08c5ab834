"""Which objects belong to a workload, and which change hands (spec daemonset-controller 7).

Invariants: an object controlled by somebody else is never touched; nothing is adopted by, or for,
an object that is being deleted; only objects of the same namespace are adopted.
"""

from collections.abc import Iterable, Sequence
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


def claim(owner: Owner, selector: Selector, candidates: Iterable[T]) -> Claim[T]:
    """Sort candidates by the table of section 7."""
    uid, namespace = owner.metadata.uid, owner.metadata.namespace
    deleting = owner.metadata.deletion_timestamp is not None
    result: Claim[T] = Claim([], [], [])
    for candidate in candidates:
        metadata = candidate.metadata
        controller = metadata.controller()
        if controller is not None and controller.uid != uid:
            continue
        matches = selector.matches(metadata.labels)
        if controller is not None:
            if matches:
                result.claimed.append(candidate)
            elif not deleting:
                result.release.append(candidate)
        elif (
            matches
            and not deleting
            and metadata.deletion_timestamp is None
            and metadata.namespace == namespace
        ):
            result.adopt.append(candidate)
            result.claimed.append(candidate)
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
