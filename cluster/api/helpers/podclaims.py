"""Which claims a pod uses. Source: Kubernetes v1.36, component-helpers/storage/ephemeral."""

from typing import NamedTuple

from kubeherd.cluster.api.objects import ObjectMeta, Pod


class PodClaim(NamedTuple):
    """A claim that a pod names, or (`ephemeral`) that is made for the pod."""

    name: str
    ephemeral: bool


def pod_claims(pod: Pod) -> list[PodClaim]:
    """The claims of a pod's volumes, in their order."""
    found = []
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            found.append(PodClaim(volume.persistent_volume_claim.claim_name, ephemeral=False))
        elif volume.ephemeral is not None:
            found.append(PodClaim(f"{pod.metadata.name}-{volume.name}", ephemeral=True))
    return found


def claim_names(pod: Pod) -> list[str]:
    """Only the names."""
    return [claim.name for claim in pod_claims(pod)]


def is_of_pod(claim: ObjectMeta, pod: Pod) -> bool:
    """Whether a claim was made for this pod."""
    owner = claim.controller()
    return owner is not None and owner.uid == pod.metadata.uid
