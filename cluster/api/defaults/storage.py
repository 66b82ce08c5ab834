"""Defaults of storage.k8s.io (pkg/apis/storage/v1/defaults.go)."""

from kubeherd.cluster.api.jsontypes import JsonObject

_CSI_DRIVER: JsonObject = {
    "attachRequired": True, "podInfoOnMount": False, "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType", "requiresRepublish": False, "seLinuxMount": False,
}  # fmt: skip


def storage_class(tree: JsonObject) -> None:
    """StorageClass: volumes are deleted with their claim and bound at once."""
    tree.setdefault("reclaimPolicy", "Delete")
    tree.setdefault("volumeBindingMode", "Immediate")


def csi_driver(tree: JsonObject) -> None:
    """CSIDriver: volumes are attached, and live longer than pods."""
    spec = tree.setdefault("spec", {})
    for name, value in _CSI_DRIVER.items():
        spec.setdefault(name, value)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
