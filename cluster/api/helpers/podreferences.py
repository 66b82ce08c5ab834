"""Which other API objects a pod refers to by name (pure, on JSON trees).

Source: Kubernetes v1.36, pkg/api/pod/util.go. What a kubelet may read follows from this, so a
source of volumes that is not known here counts as a reference (`first`).
"""

from collections.abc import Iterator

from kubeherd.cluster.api.jsontypes import JsonObject

_SECRET_NAMES = ("azureFile", "secret")
_SECRET_REFS = {
    "cephfs": "secretRef", "cinder": "secretRef", "flexVolume": "secretRef", "iscsi": "secretRef",
    "rbd": "secretRef", "scaleIO": "secretRef", "storageos": "secretRef",
    "csi": "nodePublishSecretRef",
}  # fmt: skip
_HARMLESS = frozenset({
    "awsElasticBlockStore", "azureDisk", "cephfs", "cinder", "downwardAPI", "emptyDir", "fc",
    "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "hostPath", "image", "iscsi", "nfs",
    "photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos",
    "vsphereVolume",
})  # fmt: skip
"""Volumes that are no API objects; the secrets that some of them need are found by `secrets`."""
_REFERRING = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
_PROJECTED = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


def secrets(pod: JsonObject) -> Iterator[str]:
    """The names of secrets in its own namespace that a pod needs."""
    spec = pod.get("spec") or {}
    for reference in spec.get("imagePullSecrets") or ():
        yield from _named(reference)
    yield from _environment(spec, "secretRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        for source in _SECRET_NAMES:
            yield from _named(volume.get(source), "secretName")
        for source, key in _SECRET_REFS.items():
            yield from _named((volume.get(source) or {}).get(key))
        for projection in projections(volume):
            yield from _named(projection.get("secret"))


def config_maps(pod: JsonObject) -> Iterator[str]:
    """The names of config maps that a pod needs."""
    spec = pod.get("spec") or {}
    yield from _environment(spec, "configMapRef", "configMapKeyRef")
    for volume in spec.get("volumes") or ():
        yield from _named(volume.get("configMap"))
        for projection in projections(volume):
            yield from _named(projection.get("configMap"))


def claims(pod: JsonObject) -> Iterator[str]:
    """The names of persistent volume claims, those made for ephemeral volumes included."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        yield from _named(volume.get("persistentVolumeClaim"), "claimName")
        if "ephemeral" in volume:
            yield f"{pod['metadata']['name']}-{volume.get('name', '')}"


def resource_claims(pod: JsonObject) -> Iterator[str]:
    """The names of resource claims, those made from templates included once they exist."""
    status = pod.get("status") or {}
    made = {
        entry.get("name", ""): entry.get("resourceClaimName", "")
        for entry in status.get("resourceClaimStatuses") or ()
    }
    for claim in (pod.get("spec") or {}).get("resourceClaims") or ():
        name = claim.get("resourceClaimName") or made.get(claim.get("name", ""), "")
        if name:
            yield name
    yield from _named(status.get("extendedResourceClaimStatus"), "resourceClaimName")


def projections(volume: JsonObject) -> list[JsonObject]:
    """The sources of a projected volume; none for other volumes."""
    return (volume.get("projected") or {}).get("sources") or []


def first(pod: JsonObject) -> str:
    """The plural of the first kind of object that a pod refers to (with the way in which, as in
    the refusals of Kubernetes), "" if it refers to nothing; ValueError for an unknown volume."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    if any(secrets(pod)):
        return "secrets"
    if any(config_maps(pod)):
        return "configmaps"
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for volume in spec.get("volumes") or ():
        if found := _of_volume(volume):
            return found
    return ""


def _of_volume(volume: JsonObject) -> str:
    name = volume.get("name", "")
    for source in volume.keys() - {"name", "projected"}:
        if source in _REFERRING:
            return _REFERRING[source]
        if source not in _HARMLESS:
            raise ValueError(f'unknown volume type for volume  "{name}"')
    for projection in projections(volume):
        for source in projection:
            if source in _PROJECTED:
                return _PROJECTED[source]
            if source != "downwardAPI":
                raise ValueError(f'unknown source for projected volume "{name}"')
    return ""


def _named(reference: JsonObject | None, key: str = "name") -> Iterator[str]:
    name = (reference or {}).get(key)
    if name:
        yield name


def _environment(spec: JsonObject, from_key: str, value_key: str) -> Iterator[str]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(group) or ():
            for source in container.get("envFrom") or ():
                yield from _named(source.get(from_key))
            for variable in container.get("env") or ():
                yield from _named((variable.get("valueFrom") or {}).get(value_key))
