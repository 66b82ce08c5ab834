"""Which pods and revisions belong to a DaemonSet, and which change hands (spec section 7).

Invariants: an object controlled by somebody else is never touched; nothing is adopted by, or for,
an object that is being deleted; only objects of the same namespace are adopted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import ControllerRevision, DaemonSet, OwnerReference, Pod

T = TypeVar("T", Pod, ControllerRevision)


@dataclass(frozen=True)
class Claim(Generic[T]):
    """`claimed` are owned and to be adopted; `adopt` and `release` need a patch."""

    claimed: list[T]
    adopt: list[T]
    release: list[T]


def claim(daemonset: DaemonSet, selector: Selector, candidates: Iterable[T]) -> Claim[T]:
    """Sort candidates by the table of section 7."""
    uid, namespace = daemonset.metadata.uid, daemonset.metadata.namespace
    deleting = daemonset.metadata.deletion_timestamp is not None
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


def owner_reference(daemonset: DaemonSet) -> JsonObject:
    """The controller reference that pods and revisions of this DaemonSet carry."""
    return {
        "apiVersion": DAEMONSETS.api_version,
        "kind": DAEMONSETS.kind,
        "name": daemonset.metadata.name,
        "uid": daemonset.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def adopt_patch(daemonset: DaemonSet, target_uid: str) -> JsonObject:
    """Strategic merge patch; the uid makes the server refuse it if the target was re-created."""
    return {"metadata": {"uid": target_uid, "ownerReferences": [owner_reference(daemonset)]}}


def release_patch(daemonset: DaemonSet, target_uid: str) -> JsonObject:
    """Strategic merge patch that takes this DaemonSet out of the owners."""
    gone = {"$patch": "delete", "uid": daemonset.metadata.uid}
    return {"metadata": {"uid": target_uid, "ownerReferences": [gone]}}


def is_daemonset_reference(reference: OwnerReference | None) -> bool:
    """Whether a controller reference names a DaemonSet; its group is not compared (section 2)."""
    return reference is not None and reference.kind == DAEMONSETS.kind
