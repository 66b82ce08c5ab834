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
            found.append(PodClaim(claim_of_volume(pod, volume.name), ephemeral=True))
    return found


def waited_for(pod: Pod) -> tuple[str, ...]:
    """For an index: `namespace/name` of the claims of a pod that has no node yet."""
    if pod.spec.node_name or pod.terminal or not pod.spec.volumes:
        return ()
    return tuple(f"{pod.metadata.namespace}/{claim.name}" for claim in pod_claims(pod))


def claim_of_volume(pod: Pod, volume: str) -> str:
    """The name of the claim that is made for an ephemeral volume of a pod."""
    return f"{pod.metadata.name}-{volume}"


def not_of_pod(claim: ObjectMeta, pod: Pod) -> str:
    """Why a claim of this name cannot be used for a pod's ephemeral volume; "" if it can."""
    owner = claim.controller()
    if owner is not None and owner.uid == pod.metadata.uid:
        return ""
    namespace = pod.metadata.namespace
    return (
        f"PVC {namespace}/{claim.name} was not created for pod {namespace}/{pod.metadata.name} "
        "(pod is not owner)"
    )
