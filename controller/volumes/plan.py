"""When a volume or a claim that is being deleted may go. Pure.

Source: pkg/controller/volume/pvcprotection and pvprotection, v1.36.
"""

from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ObjectMeta, Wire

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


class Source(Wire, frozen=True, kw_only=True):
    """A volume of a pod, as far as it may be a claim."""

    name: str = ""
    persistent_volume_claim: JsonObject | None = None
    ephemeral: JsonObject | None = None


class UserSpec(Wire, frozen=True, kw_only=True):
    node_name: str = ""
    volumes: list[Source] = msgspec.field(default_factory=list)


class UserStatus(Wire, frozen=True, kw_only=True):
    phase: str = ""


class User(Wire, frozen=True, kw_only=True):
    """A pod, as far as it uses claims."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: UserSpec = msgspec.field(default_factory=UserSpec)
    status: UserStatus = msgspec.field(default_factory=UserStatus)


class Phase(Wire, frozen=True, kw_only=True):
    """An object, as far as its phase goes."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    status: UserStatus = msgspec.field(default_factory=UserStatus)


def waits(metadata: ObjectMeta, finalizer: str) -> bool:
    """Whether an object is being deleted and only kept by its protection."""
    return metadata.deletion_timestamp is not None and finalizer in metadata.finalizers


def in_use(claim: str, pods: Iterable[User]) -> bool:
    """Whether one of the namespace's pods uses the claim: one that is on a node and not over."""
    return any(
        pod.spec.node_name and pod.status.phase not in ("Succeeded", "Failed") and _uses(pod, claim)
        for pod in pods
    )


def _uses(pod: User, claim: str) -> bool:
    return any(
        (volume.persistent_volume_claim or {}).get("claimName") == claim
        or (volume.ephemeral is not None and f"{pod.metadata.name}-{volume.name}" == claim)
        for volume in pod.spec.volumes
    )


def released(metadata: ObjectMeta, finalizer: str) -> JsonObject:
    """The merge patch that takes the protection away, from this version of the object only."""
    kept = [name for name in metadata.finalizers if name != finalizer]
    changes = {"finalizers": kept or None, "resourceVersion": metadata.resource_version}
    return {"metadata": changes}
