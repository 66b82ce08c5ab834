"""Which volume suits a claim: what the binder and the scheduler must answer alike. Pure.

Source: Kubernetes v1.36, component-helpers/storage/volume/pv_helpers.go and
pkg/volume/util/storageclass.go; spec persistentvolume-controller 3.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.helpers.scheduling import compile_term
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Node, ObjectMeta
from kubeherd.cluster.api.storageobjects import (
    BOUND_BY_CONTROLLER,
    YES,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)


def is_bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether a volume is the claim's, or reserved for a claim of its name."""
    reference = volume.claim
    return (
        reference is not None
        and (reference.namespace, reference.name) == claim.key
        and reference.uid in ("", claim.metadata.uid)
    )


def free_in(volume: PersistentVolume) -> tuple[str, ...]:
    """For an index: the class of a volume that nobody has."""
    return (volume.storage_class,) if volume.claim is None else ()


def reserved_for(volume: PersistentVolume) -> tuple[str, ...]:
    """For an index: `namespace/name` of the claim whose a volume is or is to be."""
    claim = volume.claim
    return () if claim is None else (f"{claim.namespace}/{claim.name}",)


def best_match(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], *, delayed: bool
) -> PersistentVolume | None:
    """The volume that the binder gives to a claim, None if there is none.

    Volumes with the fewest access modes go first, of these one that is reserved for the claim,
    else the smallest; `delayed`: only one that is reserved, the scheduler finds the others.
    """
    by_modes: dict[tuple[int, tuple[str, ...]], list[PersistentVolume]] = {}
    for volume in volumes:
        modes = volume.access_modes
        if claim.access_modes <= modes:
            by_modes.setdefault((len(modes), tuple(sorted(modes))), []).append(volume)
    for group in sorted(by_modes):
        found = _smallest(claim, by_modes[group], None, delayed=delayed)
        if found is not None:
            return found
    return None


def match_on_node(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    node: Node,
    taken: Collection[str],
) -> PersistentVolume | None:
    """The volume that the scheduler would give to a claim on this node; `taken`: names of those
    that other claims of the pod get."""
    free = [volume for volume in volumes if volume.metadata.name not in taken]
    return _smallest(claim, free, node, delayed=True)


def _smallest(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    node: Node | None,
    *,
    delayed: bool,
) -> PersistentVolume | None:
    selector_tree = claim.spec.get("selector")
    selector = None if selector_tree is None else labels.from_selector(selector_tree)
    found: PersistentVolume | None = None
    for volume in volumes:
        if volume.claim is not None and not is_bound_to(volume, claim):
            continue
        if not _can_serve(volume, claim):
            continue
        reachable = node is None or reachable_from(volume, node)
        if is_bound_to(volume, claim):
            return volume if reachable else None
        if (node is None and delayed) or volume.phase != "Available" or not reachable:
            continue
        if selector is not None and not selector.matches(volume.metadata.labels):
            continue
        if volume.storage_class != (claim.storage_class or ""):
            continue
        if node is not None and not claim.access_modes <= volume.access_modes:
            continue
        if found is None or (volume.capacity, volume.metadata.name) < (
            found.capacity,
            found.metadata.name,
        ):
            found = volume
    return found


def _can_serve(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (
        volume.capacity >= claim.request
        and volume.volume_mode == claim.volume_mode
        and volume.attributes_class == claim.attributes_class
        and volume.metadata.deletion_timestamp is None
    )


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why a volume that a claim names does not satisfy it; "" if it does."""
    if volume.metadata.deletion_timestamp is not None:
        return f'the volume is marked for deletion "{volume.metadata.name}"'
    if volume.capacity.value() < claim.request.value():
        return "requested PV is too small"
    if volume.storage_class != (claim.storage_class or ""):
        return "storageClassName does not match"
    if volume.attributes_class != claim.attributes_class:
        return "volumeAttributesClassName does not match"
    if volume.volume_mode != claim.volume_mode:
        return "incompatible volumeMode"
    return "" if claim.access_modes <= volume.access_modes else "incompatible accessMode"


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """The newest of the classes that are marked as default, of several the first by name."""
    marked = sorted((one for one in classes if one.is_default), key=lambda one: one.metadata.name)
    return max(marked, key=lambda one: one.metadata.creation_timestamp, default=None)


def reachable_from(volume: PersistentVolume, node: Node) -> bool:
    """Whether the volume's node affinity lets pods on this node use it."""
    required: JsonObject | None = (volume.spec.get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    meta = node.metadata
    terms = (compile_term(term) for term in required.get("nodeSelectorTerms") or ())
    return any(term is not None and term(meta.labels, meta.name) for term in terms)


def in_topology(storage_class: StorageClass, node_labels: Mapping[str, str]) -> bool:
    """Whether a class may provision volumes for a node with these labels."""
    terms = storage_class.allowed_topologies
    return not terms or any(
        all(
            node_labels.get(str(expression.get("key"))) in (expression.get("values") or ())
            for expression in term.get("matchLabelExpressions") or ()
        )
        for term in terms
        if term.get("matchLabelExpressions")
    )


def bound_volume(volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
    """The volume with the claim as its own; as it is, if it is that already."""
    reference, meta = volume.claim, claim.metadata
    annotations = {} if is_bound_to(volume, claim) else {BOUND_BY_CONTROLLER: YES}
    annotated = annotated_with(volume.metadata, annotations)
    if reference is not None and (reference.namespace, reference.name, reference.uid) == (
        meta.namespace,
        meta.name,
        meta.uid,
    ):
        return volume if annotated is volume.metadata else replace(volume, metadata=annotated)
    spec = {**volume.spec, "claimRef": claim_reference(claim)}
    return replace(volume, metadata=annotated, spec=spec)


def claim_reference(claim: PersistentVolumeClaim) -> JsonObject:
    """A volume's reference to its claim."""
    meta = claim.metadata
    return {
        "kind": "PersistentVolumeClaim",
        "namespace": meta.namespace,
        "name": meta.name,
        "uid": meta.uid,
        "apiVersion": "v1",
        "resourceVersion": meta.resource_version,
    }


def annotated_with(metadata: ObjectMeta, wanted: Mapping[str, str]) -> ObjectMeta:
    """With these annotations; those that are there already keep their values."""
    missing = {key: value for key, value in wanted.items() if key not in metadata.annotations}
    if not missing:
        return metadata
    return replace(metadata, annotations={**metadata.annotations, **missing})
