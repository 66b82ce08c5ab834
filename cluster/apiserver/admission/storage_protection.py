"""StorageObjectInUseProtection: a volume or claim that is in use is not removed at once.

A finalizer keeps it; `controller/volumes` takes it away when nobody uses the object any more.
"""

from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
}


def protect(request: AdmissionRequest, lookup: Lookup) -> None:
    """Add the finalizer of the kind to a new object."""
    meta = (request.new or {}).setdefault("metadata", {})
    finalizer = FINALIZERS[request.target]
    if finalizer not in (meta.get("finalizers") or ()):
        meta["finalizers"] = [*(meta.get("finalizers") or ()), finalizer]
