"""The fake provisioner: volumes for claims, and room for those that grow. Pure.

There is no storage, so a volume is nothing but its object. Which classes are provisioned for here
is decided by `provisions`; all others wait for a provisioner of the user's own, as upstream for one
outside of the controller manager (spec persistentvolume-controller 4).
"""

from typing import Final

from msgspec.structs import replace

from kubeherd.cluster.api.helpers.volumebinding import claim_reference
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.storageobjects import (
    BETA_STORAGE_PROVISIONER,
    BOUND_BY_CONTROLLER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.controller.volume.binding import ClaimPhase, Create, Plan, Said, Update
from kubeherd.controller.workload.events import Event, EventType

FAKE: Final = "kubeherd.io/fake"
LOCAL_PATH: Final = "rancher.io/local-path"
"""The provisioner of kind's default class: its volumes stay on the node of their first pod."""
ASKED_FOR: Final = "kubeherd.io/provision"
"""The annotation of a class with which any provisioner is stood in for."""

_IN_TREE: Final = "kubernetes.io/"
_HOSTNAME: Final = "kubernetes.io/hostname"
_DIRECTORIES: Final = {LOCAL_PATH: "/var/local-path-provisioner"}
_DIRECTORY: Final = "/var/lib/kubeherd/volumes"


def provisions(storage_class: StorageClass) -> bool:
    """Whether the volumes of a class are made here."""
    asked = storage_class.metadata.annotations.get(ASKED_FOR) == "true"
    return asked or is_fake(storage_class.provisioner)


def is_fake(provisioner: str) -> bool:
    """Whether this provisioner is always stood in for."""
    return provisioner in (FAKE, LOCAL_PATH)


def provision(
    claim: PersistentVolumeClaim, storage_class: StorageClass | None, nodes: frozenset[str]
) -> Plan:
    """A volume for a claim, or why there is none; `storage_class` None: there is no such class.

    `nodes`: the selected node, if it exists.
    """
    if storage_class is None:
        return _failed(claim, f'storageclass.storage.k8s.io "{claim.storage_class}" not found')
    provisioner = storage_class.provisioner
    if provisions(storage_class):
        return _made(claim, storage_class, nodes)
    if provisioner.startswith(_IN_TREE):
        return _failed(claim, f"no volume plugin matched name: {provisioner}")
    text = (
        "Waiting for a volume to be created either by the external provisioner "
        f"'{provisioner}' or manually by the system administrator. If volume creation is delayed, "
        "please verify that the provisioner is running and correctly registered."
    )
    event = Event(EventType.NORMAL, "ExternalProvisioning", text)
    return Plan(_annotate(claim, provisioner), (Said(claim, event),))


def _made(claim: PersistentVolumeClaim, storage_class: StorageClass, nodes: frozenset[str]) -> Plan:
    if claim.metadata.deletion_timestamp is not None:
        return Plan()
    selected = claim.metadata.annotations.get(SELECTED_NODE, "")
    if selected and selected not in nodes:
        return _failed(claim, f'Failed to get target node: node "{selected}" not found')
    tree = volume_tree(claim, storage_class, selected)
    name = tree["metadata"]["name"]
    text = f"Successfully provisioned volume {name} using {storage_class.provisioner}"
    return Plan(
        (*_annotate(claim, storage_class.provisioner), Create(tree)),
        (Said(claim, Event(EventType.NORMAL, "ProvisioningSucceeded", text)),),
    )


def _failed(claim: PersistentVolumeClaim, message: str) -> Plan:
    return Plan(events=(Said(claim, Event(EventType.WARNING, "ProvisioningFailed", message)),))


def _annotate(claim: PersistentVolumeClaim, provisioner: str) -> tuple[Update, ...]:
    """The claim says who provisions for it."""
    meta = claim.metadata
    if meta.annotations.get(STORAGE_PROVISIONER) == provisioner:
        return ()
    own = {BETA_STORAGE_PROVISIONER: provisioner, STORAGE_PROVISIONER: provisioner}
    return (Update(replace(claim, metadata=replace(meta, annotations=meta.annotations | own))),)


def volume_tree(
    claim: PersistentVolumeClaim, storage_class: StorageClass, selected: str
) -> JsonObject:
    """The volume for a claim, whose name depends on the claim alone: made twice, it is one."""
    name = f"pvc-{claim.metadata.uid}"
    provisioner = storage_class.provisioner
    directory = _DIRECTORIES.get(provisioner, _DIRECTORY)
    path = f"{directory}/{name}_{claim.metadata.namespace}_{claim.metadata.name}"
    spec: JsonObject = {
        "capacity": {"storage": str(claim.request)},
        "accessModes": claim.spec.get("accessModes") or [],
        "volumeMode": claim.volume_mode,
        "persistentVolumeReclaimPolicy": storage_class.reclaim_policy,
        "storageClassName": claim.storage_class,
        "claimRef": claim_reference(claim),
        "hostPath": {"path": path, "type": "DirectoryOrCreate"},
    }
    if storage_class.mount_options:
        spec["mountOptions"] = storage_class.mount_options
    if claim.attributes_class:
        spec["volumeAttributesClassName"] = claim.attributes_class
    if selected and provisioner == LOCAL_PATH:
        own_node = {"key": _HOSTNAME, "operator": "In", "values": [selected]}
        spec["nodeAffinity"] = {
            "required": {"nodeSelectorTerms": [{"matchExpressions": [own_node]}]}
        }
    annotations = {BOUND_BY_CONTROLLER: "yes", PROVISIONED_BY: provisioner}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }


def grow(
    claim: PersistentVolumeClaim, volume: PersistentVolume, storage_class: StorageClass | None
) -> Plan:
    """A bound claim that asks for more than it has gets it, where its volume is one of ours."""
    if (
        claim.request <= claim.capacity
        or claim.phase != ClaimPhase.BOUND
        or storage_class is None
        or not storage_class.allow_volume_expansion
        or not provisions(storage_class)
    ):
        return Plan()
    capacity = {"storage": str(claim.request)}
    larger: tuple[Update, ...] = ()
    if volume.capacity < claim.request:
        larger = (Update(replace(volume, spec={**volume.spec, "capacity": capacity})),)
    grown = replace(claim, status={**claim.status, "capacity": capacity})
    event = Event(EventType.NORMAL, "VolumeResizeSuccessful", "Resize volume succeeded")
    return Plan((*larger, Update(grown, status=True)), (Said(claim, event),))
