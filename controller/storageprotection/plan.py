"""Whether a claim, a volume or a class is in use. Pure."""

from collections.abc import Iterable

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject

CLAIMS = kinds.PERSISTENTVOLUMECLAIMS
VOLUMES = kinds.PERSISTENTVOLUMES
CLASSES = kinds.resource("storage.k8s.io", "v1", "volumeattributesclasses")

FINALIZERS = {
    CLAIMS: "kubernetes.io/pvc-protection",
    VOLUMES: "kubernetes.io/pv-protection",
    CLASSES: "kubernetes.io/vac-protection",
}
RECHECK_S = 30.0
"""When to look again at what is in use, should no change announce that it no longer is."""


def claim_in_use(name: str, pods: Iterable[JsonObject]) -> bool:
    """Whether one of the pods of its namespace uses a claim: only scheduled ones do."""
    return any(_uses(pod, name) for pod in pods if (pod.get("spec") or {}).get("nodeName"))


def _uses(pod: JsonObject, claim: str) -> bool:
    meta = pod["metadata"]
    shut_down = meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds") == 0
    for volume in pod["spec"].get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim:
            return True
        if "ephemeral" in volume and not shut_down and f"{meta['name']}-{volume['name']}" == claim:
            return True
    return False


def volume_in_use(volume: JsonObject) -> bool:
    """Whether a volume is bound to a claim."""
    return bool((volume.get("status") or {}).get("phase") == "Bound")


def class_in_use(name: str, volumes: Iterable[JsonObject], claims: Iterable[JsonObject]) -> bool:
    """Whether a volume or a claim has, or is about to get, the attributes of a class."""
    if any(volume["spec"].get("volumeAttributesClassName") == name for volume in volumes):
        return True
    for claim in claims:
        status = claim.get("status") or {}
        target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
        current = status.get("currentVolumeAttributesClassName")
        if name in (claim["spec"].get("volumeAttributesClassName"), current, target):
            return True
    return False


def released(tree: JsonObject, finalizer: str) -> JsonObject | None:
    """An object that is being deleted without the finalizer; None if it need not be written."""
    meta = tree["metadata"]
    finalizers = meta.get("finalizers") or []
    if not meta.get("deletionTimestamp") or finalizer not in finalizers:
        return None
    kept = [one for one in finalizers if one != finalizer]
    return {**tree, "metadata": {**meta, "finalizers": kept}}
