"""PersistentVolumes and PersistentVolumeClaims: first status, and the two names of a data source.

Source: pkg/registry/core/persistentvolume and persistentvolumeclaim, pkg/api/persistentvolumeclaim,
v1.36.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext

_SNAPSHOT = ("VolumeSnapshot", "snapshot.storage.k8s.io")


class VolumeStrategy(Strategy):
    """A volume begins Pending, and remembers when its phase changed."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        tree["status"] = {"phase": "Pending", "lastPhaseTransitionTime": ctx.timestamp}

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_status(new, old, ctx)
        status, before = new.get("status") or {}, old.get("status") or {}
        field = "lastPhaseTransitionTime"
        if status.get("phase") != before.get("phase"):
            if status.get(field) in (None, before.get(field)):
                status[field] = ctx.timestamp
        elif status.get(field) is None and field in before:
            status[field] = before[field]


class ClaimStrategy(Strategy):
    """A claim begins Pending; dataSource and dataSourceRef say the same."""

    def initial_status(self, tree: JsonObject) -> JsonObject:
        return {"phase": "Pending"}

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        _settle_sources(tree.setdefault("spec", {}), {})

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        _settle_sources(new.setdefault("spec", {}), old.get("spec") or {})


def _settle_sources(spec: JsonObject, before: JsonObject) -> None:
    """Sources in other namespaces are an alpha feature, and dropped; kinds that a claim cannot be
    made from are dropped from dataSource, where they once went unnoticed."""
    reference = spec.get("dataSourceRef")
    if reference and reference.get("namespace") and "dataSourceRef" not in before:
        del spec["dataSourceRef"]
    source = spec.get("dataSource")
    if "dataSourceRef" not in spec and "dataSource" not in before and not _restorable(source):
        spec.pop("dataSource", None)
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        fields = ("apiGroup", "kind", "name")
        spec["dataSource"] = {key: reference[key] for key in fields if key in reference}


def _restorable(source: JsonObject | None) -> bool:
    if source is None:
        return False
    pair = (source.get("kind"), source.get("apiGroup") or "")
    return pair in (("PersistentVolumeClaim", ""), _SNAPSHOT)
