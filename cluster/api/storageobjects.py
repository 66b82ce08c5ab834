"""Read-only views of claims, volumes and classes, and the annotations by which they are bound.

Unlike most views these keep spec and status as trees: whoever binds them writes whole objects, and
must not lose what it does not know. Source of the annotations: Kubernetes v1.36,
component-helpers/storage/volume.
"""

from typing import Final, TypeAlias

import msgspec

from kubeherd.cluster.api import kinds, quantity
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ObjectMeta, Wire

CLAIMS: Final = kinds.PERSISTENTVOLUMECLAIMS
VOLUMES: Final = kinds.PERSISTENTVOLUMES
CLASSES: Final = kinds.STORAGECLASSES

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
MIGRATED_TO: Final = "pv.kubernetes.io/migrated-to"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER: Final = "volume.beta.kubernetes.io/storage-provisioner"
BETA_STORAGE_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
BETA_DEFAULT_CLASS: Final = "storageclass.beta.kubernetes.io/is-default-class"
YES: Final = "yes"
"""The value of the annotations that only have to be there."""
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"

Key: TypeAlias = tuple[str, str]
"""Namespace and name."""

_TRUE: Final = "true"


class ClaimReference(Wire, frozen=True, kw_only=True):
    """A volume's claim; without uid it is only reserved for a claim of this name."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class Bindable(Wire, frozen=True, kw_only=True):
    """What claims and volumes have in common: the two sides of a binding."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: JsonObject = msgspec.field(default_factory=dict)
    status: JsonObject = msgspec.field(default_factory=dict)

    @property
    def phase(self) -> str:
        """Of volumes Available, Bound, Released, Failed (Pending or "" when new); of claims
        Pending, Bound or Lost."""
        return str(self.status.get("phase") or "")

    @property
    def access_modes(self) -> frozenset[str]:
        return frozenset(self.spec.get("accessModes") or ())

    @property
    def volume_mode(self) -> str:
        return str(self.spec.get("volumeMode") or "Filesystem")

    @property
    def attributes_class(self) -> str:
        return str(self.spec.get("volumeAttributesClassName") or "")


class PersistentVolume(Bindable, frozen=True, kw_only=True):
    """A volume."""

    @property
    def claim(self) -> ClaimReference | None:
        """Whose it is or is to be."""
        tree = self.spec.get("claimRef")
        return None if tree is None else msgspec.convert(tree, ClaimReference)

    @property
    def storage_class(self) -> str:
        return _class_of(self.metadata, self.spec) or ""

    @property
    def capacity(self) -> quantity.Quantity:
        return _storage(self.spec.get("capacity"))

    @property
    def reclaim_policy(self) -> str:
        return str(self.spec.get("persistentVolumeReclaimPolicy") or "")


class PersistentVolumeClaim(Bindable, frozen=True, kw_only=True):
    """A claim."""

    @property
    def key(self) -> Key:
        return self.metadata.namespace, self.metadata.name

    @property
    def volume_name(self) -> str:
        return str(self.spec.get("volumeName") or "")

    @property
    def storage_class(self) -> str | None:
        """The class that it asks for: "" for a volume without one, None: whichever is default."""
        return _class_of(self.metadata, self.spec)

    @property
    def request(self) -> quantity.Quantity:
        return _storage((self.spec.get("resources") or {}).get("requests"))

    @property
    def capacity(self) -> quantity.Quantity:
        return _storage(self.status.get("capacity"))

    @property
    def bind_completed(self) -> bool:
        """Whether it has been bound, whatever became of it."""
        return BIND_COMPLETED in self.metadata.annotations

    @property
    def fully_bound(self) -> bool:
        """Whether both sides of its binding are written."""
        return bool(self.volume_name) and self.bind_completed


class StorageClass(Wire, frozen=True, kw_only=True):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    provisioner: str = ""
    reclaim_policy: str = "Delete"
    mount_options: list[str] = msgspec.field(default_factory=list)
    allow_volume_expansion: bool = False
    volume_binding_mode: str = "Immediate"
    allowed_topologies: list[JsonObject] = msgspec.field(default_factory=list)

    @property
    def waits_for_consumer(self) -> bool:
        """Whether the scheduler of the first pod decides where a claim's volume is."""
        return self.volume_binding_mode == "WaitForFirstConsumer"

    @property
    def is_default(self) -> bool:
        """Whether it is marked as the class of claims that name none."""
        annotations = self.metadata.annotations
        return _TRUE in (annotations.get(DEFAULT_CLASS), annotations.get(BETA_DEFAULT_CLASS))


def _class_of(metadata: ObjectMeta, spec: JsonObject) -> str | None:
    beta = metadata.annotations.get(BETA_STORAGE_CLASS)
    found: str | None = spec.get("storageClassName") if beta is None else beta
    return found


def _storage(amounts: JsonObject | None) -> quantity.Quantity:
    return quantity.parse((amounts or {}).get("storage") or "0")
