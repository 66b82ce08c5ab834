"""Claims, volumes and classes: protection while in use, default class, growth.

Source: Kubernetes v1.36, plugin/pkg/admission/storage: StorageObjectInUseProtection,
DefaultStorageClass, PersistentVolumeClaimResize. Who takes the finalizers away again is
`controller.storageprotection`.
"""

from kubeherd.cluster.api import kinds, quantity
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_STORAGE_CLASSES = kinds.resource("storage.k8s.io", "v1", "storageclasses")
_INGRESS_CLASSES = kinds.resource("networking.k8s.io", "v1", "ingressclasses")
_FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses": "kubernetes.io/vac-protection",
}
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_STORAGE_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_INGRESS_ANNOTATION = "kubernetes.io/ingress.class"
_DEFAULT_INGRESS_CLASS = ("ingressclass.kubernetes.io/is-default-class",)


def protect_while_used(request: AdmissionRequest, lookup: Lookup) -> None:
    """Give a new object the finalizer that keeps it while something uses it."""
    meta = (request.new or {})["metadata"]
    finalizer = _FINALIZERS[request.resource.plural]
    if finalizer not in (meta.get("finalizers") or ()):
        meta["finalizers"] = [*(meta.get("finalizers") or ()), finalizer]


def set_default_class(request: AdmissionRequest, lookup: Lookup) -> None:
    """A new claim that asks for no class gets the default one, if there is one."""
    claim = request.new or {}
    spec = claim.get("spec") or {}
    if spec.get("storageClassName") is None and _CLASS_ANNOTATION not in _annotations(claim):
        _set_default(spec, "storageClassName", lookup, _STORAGE_CLASSES, _DEFAULT_STORAGE_CLASS)


def set_default_ingress_class(request: AdmissionRequest, lookup: Lookup) -> None:
    """The same for a new Ingress (DefaultIngressClass)."""
    ingress = request.new or {}
    spec = ingress.get("spec") or {}
    if spec.get("ingressClassName") is None and _INGRESS_ANNOTATION not in _annotations(ingress):
        _set_default(spec, "ingressClassName", lookup, _INGRESS_CLASSES, _DEFAULT_INGRESS_CLASS)


def check_growth(request: AdmissionRequest, lookup: Lookup) -> None:
    """Only a bound claim whose class allows it can ask for more storage."""
    new, old = request.new or {}, request.old or {}
    if _storage(new) <= _storage(old):
        return
    if (old.get("status") or {}).get("phase") != "Bound":
        raise request.forbidden("Only bound persistent volume claims can be expanded")
    name = _class(new)
    found = lookup.get(_STORAGE_CLASSES, "", name) if name and name == _class(old) else None
    if found is None or not found.get("allowVolumeExpansion"):
        raise request.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions "
            "the pvc must support resize"
        )


def _set_default(
    spec: JsonObject, key: str, lookup: Lookup, resource: Resource, marks: tuple[str, ...]
) -> None:
    """The newest of the classes marked as default; of several as new the first by name."""
    marked = [
        one for one in lookup.list(resource)
        if any(_annotations(one).get(mark) == "true" for mark in marks)
    ]  # fmt: skip
    marked.sort(key=lambda one: one["metadata"]["name"])
    if marked:
        newest = max(marked, key=lambda one: str(one["metadata"].get("creationTimestamp", "")))
        spec[key] = newest["metadata"]["name"]


def _annotations(tree: JsonObject) -> JsonObject:
    return tree["metadata"].get("annotations") or {}


def _storage(claim: JsonObject) -> quantity.Quantity:
    wanted = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return quantity.parse(wanted.get("storage", "0"))


def _class(claim: JsonObject) -> str:
    annotation = _annotations(claim).get(_CLASS_ANNOTATION)
    return str(annotation or (claim.get("spec") or {}).get("storageClassName") or "")
