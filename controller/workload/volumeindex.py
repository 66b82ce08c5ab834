"""The indices by which a claim finds the volumes that it could have, and the pods that wait for it.

The scheduler and the binder ask the same caches the same: whoever comes second gets the indices
that the first one made.
"""

from typing import Final

from kubeherd.cluster.api.helpers.podclaims import waited_for
from kubeherd.cluster.api.helpers.volumebinding import free_in, reserved_for
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.api.storageobjects import PersistentVolume, PersistentVolumeClaim
from kubeherd.cluster.client.cache import Cache

_FREE: Final = "free"
_RESERVED: Final = "reserved"
_WAITING: Final = "claims-of-waiting"


def add_index(volumes: Cache[PersistentVolume], pods: Cache[Pod]) -> None:
    """Index volumes by the class that they are free for and by the claim that they are kept for,
    pods by the claims that they wait for."""
    volumes.add_index(_FREE, free_in)
    volumes.add_index(_RESERVED, reserved_for)
    pods.add_index(_WAITING, waited_for)


def reserved(
    volumes: Cache[PersistentVolume], claim: PersistentVolumeClaim
) -> list[PersistentVolume]:
    """The volumes that are kept for a claim."""
    return volumes.by_index(_RESERVED, "/".join(claim.key))


def candidates(
    volumes: Cache[PersistentVolume], claim: PersistentVolumeClaim
) -> list[PersistentVolume]:
    """The volumes that a claim could be bound to, by its class and by its name."""
    return [*volumes.by_index(_FREE, claim.storage_class or ""), *reserved(volumes, claim)]


def waiting_pods(pods: Cache[Pod], claim: PersistentVolumeClaim) -> list[Pod]:
    """The pods without a node that use a claim."""
    return pods.by_index(_WAITING, "/".join(claim.key))
