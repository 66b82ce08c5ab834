"""The PersistentVolumeClaims of a pod: names, contents, and who owns them (spec section 6).

The retention policy is kept by owner references alone: what has to go with the StatefulSet or with
a pod that is scaled away is owned by it, and the garbage collector does the rest. Invariants: a
claim that an earlier StatefulSet or pod of the same name owns is not touched; nor is one that
somebody else controls, save that it loses references of ours.
"""

from collections.abc import Iterable, Sequence

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PERSISTENTVOLUMECLAIMS, PODS, STATEFULSETS, Resource
from kubeherd.cluster.api.objects import OwnerReference, Pod
from kubeherd.controller.statefulset.identity import ordinals, parse, pod_name
from kubeherd.controller.workload.apps import ClaimRetentionPolicy, StatefulSet

_RETAIN_ALL = ClaimRetentionPolicy()
DELETE = "Delete"


class Identified(msgspec.Struct, frozen=True):
    """An object as owner references name it; `uid` is "" of a pod that is not made yet."""

    resource: Resource
    name: str
    uid: str

    def is_meant(self, reference: OwnerReference) -> bool:
        """Whether a reference names this object, this one or an earlier one of its name."""
        return (
            reference.api_version == self.resource.api_version
            and reference.kind == self.resource.kind
            and reference.name == self.name
        )

    def owns(self, references: Iterable[OwnerReference]) -> bool:
        """Whether one of them is to exactly this object, as a controller or not."""
        return any(reference.uid == self.uid for reference in references)

    def is_stale(self, references: Iterable[OwnerReference]) -> bool:
        """Whether the first that names it means an earlier object of its name."""
        named = next((one for one in references if self.is_meant(one)), None)
        return named is not None and named.uid != self.uid

    def reference(self) -> OwnerReference:
        """The controller reference to it."""
        return OwnerReference(
            api_version=self.resource.api_version,
            kind=self.resource.kind,
            name=self.name,
            uid=self.uid,
            controller=True,
            block_owner_deletion=True,
        )


class Owners(msgspec.Struct, frozen=True):
    """The two that may own a claim, and which of them the policy wants to (6.3)."""

    statefulset: Identified
    pod: Identified
    retains_all: bool
    by_set: bool
    by_pod: bool

    @property
    def wanted(self) -> list[OwnerReference]:
        """The references that the policy wants."""
        by_pod = [self.pod.reference()] if self.by_pod else []
        return [*by_pod, *([self.statefulset.reference()] if self.by_set else ())]

    def has_foreign_controller(self, references: Iterable[OwnerReference]) -> bool:
        """Whether something else manages the claim, so that the policy is ignored (6.4)."""
        if self.retains_all:
            return False
        for reference in references:
            ours = next((o for o in (self.statefulset, self.pod) if o.is_meant(reference)), None)
            if ours is None:
                if reference.controller:
                    return True
            elif reference.uid != ours.uid:
                return True
        return False

    def are_right(self, references: Sequence[OwnerReference]) -> bool:
        """Whether a claim with these references is left alone (6.4)."""
        statefulset, pod = self.statefulset, self.pod
        if statefulset.is_stale(references) or pod.is_stale(references):
            return True
        if self.has_foreign_controller(references):
            return not statefulset.owns(references) and not pod.owns(references)
        if any(one.uid in (statefulset.uid, pod.uid) and not one.controller for one in references):
            return False
        return statefulset.owns(references) == self.by_set and pod.owns(references) == self.by_pod

    def put_right(self, references: Sequence[OwnerReference]) -> list[OwnerReference]:
        """The references that the claim should have (6.4)."""
        others = [
            one
            for one in references
            if not self.statefulset.is_meant(one) and not self.pod.is_meant(one)
        ]
        if self.has_foreign_controller(references):
            return others
        known = {one.uid for one in others}
        return others + [one for one in self.wanted if one.uid not in known]


def owners(statefulset: StatefulSet, ordinal: int, pod: Pod | None) -> Owners:
    """Who should own the claims of the pod with an ordinal, which may not be there yet."""
    metadata = statefulset.metadata
    policy = statefulset.spec.persistent_volume_claim_retention_policy or _RETAIN_ALL
    scaled, deleted = policy.when_scaled == DELETE, policy.when_deleted == DELETE
    is_condemned = ordinal not in ordinals(statefulset)
    pod_uid = "" if pod is None else pod.metadata.uid
    return Owners(
        statefulset=Identified(STATEFULSETS, metadata.name, metadata.uid),
        pod=Identified(PODS, pod_name(statefulset, ordinal), pod_uid),
        retains_all=not scaled and not deleted,
        by_set=deleted and not (scaled and is_condemned),
        by_pod=scaled and is_condemned,
    )


def claim_names(statefulset: StatefulSet, ordinal: int) -> dict[str, str]:
    """By the name of the template, which is that of the volume: the name of the claim (6.1)."""
    name = statefulset.metadata.name
    return {
        template["metadata"]["name"]: f"{template['metadata']['name']}-{name}-{ordinal}"
        for template in statefulset.spec.volume_claim_templates
    }


def claim_tree(
    statefulset: StatefulSet, template: JsonObject, ordinal: int, references: list[JsonObject]
) -> JsonObject:
    """The claim to create from a template (6.1)."""
    metadata = dict(template["metadata"])
    selector = statefulset.spec.selector
    labels = {
        **(metadata.get("labels") or {}),
        **(selector.match_labels if selector is not None else {}),
    }
    name = f"{metadata['name']}-{statefulset.metadata.name}-{ordinal}"
    metadata.update(name=name, namespace=statefulset.metadata.namespace)
    metadata.pop("creationTimestamp", None)
    if labels:
        metadata["labels"] = labels
    if references:
        metadata["ownerReferences"] = references
    return {
        "apiVersion": PERSISTENTVOLUMECLAIMS.api_version,
        "kind": PERSISTENTVOLUMECLAIMS.kind,
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }


def is_storage_right(statefulset: StatefulSet, pod: Pod) -> bool:
    """Whether the pod mounts each claim of its ordinal (3.3)."""
    if not statefulset.spec.volume_claim_templates:
        return True
    mounted = {
        volume.name: volume.persistent_volume_claim.claim_name
        for volume in pod.spec.volumes
        if volume.persistent_volume_claim is not None
    }
    wanted = claim_names(statefulset, parse(pod.metadata.name).ordinal)
    return all(mounted.get(volume) == claim for volume, claim in wanted.items())


def volumes(
    statefulset: StatefulSet, ordinal: int, present: Sequence[JsonObject]
) -> list[JsonObject]:
    """The volumes of a pod: one per claim, then those of `present` with other names (3.3)."""
    claimed = claim_names(statefulset, ordinal)
    return [
        {"name": name, "persistentVolumeClaim": {"claimName": claim}}
        for name, claim in claimed.items()
    ] + [volume for volume in present if volume.get("name", "") not in claimed]
