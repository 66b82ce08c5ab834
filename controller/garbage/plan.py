"""What happens to an object with owner references (spec api-machinery, 7: the table).

Pure: the shell has looked up the owners; here is decided. Invariant: an object with one solid owner
is never deleted, and nothing is deleted whose owners could not all be looked up.
"""

from collections.abc import Sequence
from enum import Enum

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import OwnerReference
from kubeherd.controller.garbage.graph import FOREGROUND, ORPHAN, Item


class Owner(Enum):
    """What became of an owner."""

    SOLID = "solid"
    DANGLING = "dangling"
    WAITING = "waiting"


class Propagation(Enum):
    """The propagationPolicy of a DELETE."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


class Keep(msgspec.Struct, frozen=True):
    """The object stays; the references to these uids go (none: nothing to do)."""

    drop: tuple[str, ...] = ()


class Delete(msgspec.Struct, frozen=True):
    """The object goes; ``unblock`` first, where owner and dependent wait for each other."""

    propagation: Propagation
    unblock: bool = False


def decide(
    owners: Sequence[tuple[OwnerReference, Owner]], item: Item, dependents: Sequence[Item]
) -> Keep | Delete:
    """The row of the table that applies to ``item``, whose owners are what they are."""
    if not owners:
        return Keep()
    states = {state for _ref, state in owners}
    if Owner.SOLID in states:
        return Keep(tuple(ref.uid for ref, state in owners if state is not Owner.SOLID))
    if Owner.WAITING in states and dependents:
        in_circle = any(dependent.deleting_dependents for dependent in dependents)
        blocks = any(ref.block_owner_deletion for ref in item.owners)
        return Delete(Propagation.FOREGROUND, unblock=in_circle and blocks)
    if ORPHAN in item.finalizers:
        return Delete(Propagation.ORPHAN)
    if FOREGROUND in item.finalizers:
        return Delete(Propagation.FOREGROUND)
    return Delete(Propagation.BACKGROUND)


def blocking(item: Item, dependents: Sequence[Item]) -> list[Item]:
    """The dependents that keep an object in foreground deletion from going."""
    return [
        dependent
        for dependent in dependents
        if any(ref.uid == item.uid and ref.block_owner_deletion for ref in dependent.owners)
    ]


def drop_references_patch(uid: str, owners: Sequence[str]) -> JsonObject:
    """A strategic merge patch that takes owner references off; only if the uid still fits."""
    return {
        "metadata": {
            "uid": uid,
            "ownerReferences": [{"$patch": "delete", "uid": owner} for owner in owners],
        }
    }


def drop_references_merge_patch(meta: JsonObject, owners: Sequence[str]) -> JsonObject:
    """The same as a JSON merge patch, for kinds without strategic merge (custom resources)."""
    gone = set(owners)
    left = [ref for ref in meta.get("ownerReferences") or () if ref.get("uid") not in gone]
    return {
        "metadata": {
            "uid": meta.get("uid"),
            "resourceVersion": meta.get("resourceVersion"),
            "ownerReferences": left,
        }
    }


def unblock_patch(item: Item) -> JsonObject:
    """A strategic merge patch after which the object blocks none of its owners."""
    return {
        "metadata": {
            "uid": item.uid,
            "ownerReferences": [
                {"uid": ref.uid, "blockOwnerDeletion": False}
                for ref in item.owners
                if ref.block_owner_deletion
            ],
        }
    }


def coordinates(ref: OwnerReference, namespace: str) -> str:
    """An owner reference as the event names it."""
    return (
        f"[{ref.api_version}/{ref.kind}, namespace: {namespace}, name: {ref.name}, uid: {ref.uid}]"
    )
