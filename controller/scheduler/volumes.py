"""What the volumes of a pod mean for where it can go: the plugin VolumeBinding (spec 8).

Pure. Source: Kubernetes v1.36, pkg/scheduler/framework/plugins/volumebinding. Invariants: a volume
that is about to be given to one claim is offered to no other; a claim whose node is chosen fits no
other node.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from kubeherd.cluster.api.helpers import volumebinding
from kubeherd.cluster.api.helpers.podclaims import PodClaim, not_of_pod, pod_claims
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.storageobjects import (
    NO_PROVISIONER,
    SELECTED_NODE,
    Key,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)

PLUGIN: Final = "VolumeBinding"
UNBOUND: Final = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT: Final = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT: Final = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


class BindingFailed(Exception):
    """The claims of a pod cannot be bound as decided; the text says why."""


class Binding(NamedTuple):
    """A claim and the volume that it is to get."""

    claim: PersistentVolumeClaim
    volume: PersistentVolume


class Decision(msgspec.Struct, frozen=True):
    """What has to be written before a pod can be bound to this node."""

    node: Node
    static: tuple[Binding, ...] = ()
    provisioned: tuple[PersistentVolumeClaim, ...] = ()
    """Claims for which a volume is to be made for this node."""

    @property
    def is_empty(self) -> bool:
        """Whether all of the pod's claims are bound."""
        return not self.static and not self.provisioned


class Assumed(msgspec.Struct):
    """What is about to be written: it counts before the caches show it."""

    volumes: dict[str, Key] = msgspec.field(default_factory=dict)
    """Names of volumes, and the claims that get them."""
    nodes: dict[Key, str] = msgspec.field(default_factory=dict)
    """Claims, and the nodes for which volumes are made."""

    def add(self, decision: Decision) -> None:
        """A decision is being carried out."""
        node = decision.node.metadata.name
        for claim, volume in decision.static:
            self.volumes[volume.metadata.name] = claim.key
        for claim in decision.provisioned:
            self.nodes[claim.key] = node

    def remove(self, decision: Decision) -> None:
        """It is, or it failed."""
        for _, volume in decision.static:
            self.volumes.pop(volume.metadata.name, None)
        for claim in decision.provisioned:
            self.nodes.pop(claim.key, None)


class Stock(NamedTuple):
    """Where claims, volumes and classes are looked up."""

    claim: Callable[[Key], PersistentVolumeClaim | None]
    volume: Callable[[str], PersistentVolume | None]
    candidates: Callable[[PersistentVolumeClaim], Sequence[PersistentVolume]]
    """Volumes of the claim's class that nobody has, and those that are reserved for it."""
    storage_class: Callable[[str], StorageClass | None]


class PodVolumes(msgspec.Struct, frozen=True):
    """The claims of a pod that no refusal kept from being looked at node by node."""

    bound: tuple[PersistentVolume | None, ...]
    """The volumes of bound claims, None for one that does not exist."""
    delayed: tuple[PersistentVolumeClaim, ...]
    """Claims whose volume is chosen with the node, the smallest first."""
    candidates: Mapping[Key, Sequence[PersistentVolume]]
    selected: Mapping[Key, str]
    """Claims whose node was chosen before."""
    classes: Mapping[str, StorageClass]

    def reasons(self, node: Node) -> tuple[str, ...]:
        """Why this node is no place for the pod; empty if it is one."""
        found = []
        present = [volume for volume in self.bound if volume is not None]
        if not all(volumebinding.reachable_from(volume, node) for volume in present):
            found.append(NODE_CONFLICT)
        if self.decision(node) is None:
            found.append(BIND_CONFLICT)
        if len(present) < len(self.bound):
            found.append(NO_VOLUME)
        return tuple(found)

    def decision(self, node: Node) -> Decision | None:
        """How the unbound claims would be bound on this node; None: they cannot be."""
        static: list[Binding] = []
        provisioned: list[PersistentVolumeClaim] = []
        taken: set[str] = set()
        for claim in self.delayed:
            selected = self.selected.get(claim.key)
            if selected not in (None, node.metadata.name):
                return None
            match = None
            if selected is None:
                match = volumebinding.match_on_node(claim, self.candidates[claim.key], node, taken)
            if match is not None:
                taken.add(match.metadata.name)
                static.append(Binding(claim, match))
            elif self._can_be_provisioned(claim, node):
                provisioned.append(claim)
            else:
                return None
        return Decision(node, tuple(static), tuple(provisioned))

    def _can_be_provisioned(self, claim: PersistentVolumeClaim, node: Node) -> bool:
        storage_class = self.classes[claim.storage_class or ""]
        return storage_class.provisioner not in (
            "",
            NO_PROVISIONER,
        ) and volumebinding.in_topology(storage_class, node.metadata.labels)


def examine(pod: Pod, stock: Stock, assumed: Assumed) -> PodVolumes | str | None:
    """The pod's volumes; why no node can be a place for it; None: it has no claims."""
    wanted = pod_claims(pod)
    if not wanted:
        return None
    claims: dict[Key, PersistentVolumeClaim] = {}
    for one in wanted:
        key = (pod.metadata.namespace, one.name)
        claim = stock.claim(key)
        if claim is None or (refusal := _refusal(one, claim, pod)):
            return refusal if claim is not None else _missing(one)
        claims[key] = claim
    bound = [claim for claim in claims.values() if claim.fully_bound]
    unbound = [claim for claim in claims.values() if not claim.fully_bound]
    classes = {
        name: found
        for claim in unbound
        if (name := claim.storage_class or "") and (found := stock.storage_class(name))
    }
    if not all(_is_delayed(claim, classes) for claim in unbound):
        return UNBOUND
    return _pod_volumes(bound, unbound, classes, stock, assumed)


def _pod_volumes(
    bound: Sequence[PersistentVolumeClaim],
    delayed: Sequence[PersistentVolumeClaim],
    classes: Mapping[str, StorageClass],
    stock: Stock,
    assumed: Assumed,
) -> PodVolumes:
    selected = {
        claim.key: node
        for claim in delayed
        if (node := assumed.nodes.get(claim.key) or claim.metadata.annotations.get(SELECTED_NODE))
    }
    candidates = {
        claim.key: [
            volume
            for volume in stock.candidates(claim)
            if assumed.volumes.get(volume.metadata.name, claim.key) == claim.key
        ]
        for claim in delayed
    }
    by_size = sorted(delayed, key=lambda claim: claim.request)
    volumes = tuple(stock.volume(claim.volume_name) for claim in bound)
    return PodVolumes(volumes, tuple(by_size), candidates, selected, classes)


def _missing(wanted: PodClaim) -> str:
    if wanted.ephemeral:
        return (
            "waiting for ephemeral volume controller to create the persistentvolumeclaim "
            f'"{wanted.name}"'
        )
    return f'persistentvolumeclaim "{wanted.name}" not found'


def _refusal(wanted: PodClaim, claim: PersistentVolumeClaim, pod: Pod) -> str:
    """Why a claim that is there cannot be used; "" if it can."""
    name = claim.metadata.name
    if claim.phase == "Lost":
        return (
            f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume '
            f'"{claim.volume_name}"'
        )
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    return not_of_pod(claim.metadata, pod) if wanted.ephemeral else ""


def _is_delayed(claim: PersistentVolumeClaim, classes: Mapping[str, StorageClass]) -> bool:
    found = classes.get(claim.storage_class or "")
    return found is not None and found.waits_for_consumer and not claim.volume_name
