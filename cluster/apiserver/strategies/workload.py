"""Small rules of kinds that need no module of their own."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy, keep
from kubeherd.cluster.apiserver.write.context import RequestContext


class PhasePendingStrategy(Strategy):
    """Volumes and claims begin Pending."""

    def initial_status(self, tree: JsonObject) -> JsonObject:
        return {"phase": "Pending"}


class DeploymentStrategy(Strategy):
    """A changed annotation is a new generation too; ``/status`` leaves the labels alone
    (pkg/registry/apps/deployment)."""

    def content_changed(self, new: JsonObject, old: JsonObject) -> bool:
        return super().content_changed(new, old) or _metadata_differs(new, old, "annotations")

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_status(new, old, ctx)
        keep(new["metadata"], old["metadata"], "labels")


class EndpointSliceStrategy(Strategy):
    """A changed label is a new generation too (pkg/registry/discovery/endpointslice)."""

    def content_changed(self, new: JsonObject, old: JsonObject) -> bool:
        return super().content_changed(new, old) or _metadata_differs(new, old, "labels")


class CSIDriverStrategy(Strategy):
    """Without a generation until it is changed (pkg/registry/storage/csidriver)."""

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        if self.content_changed(new, old):
            new["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1


class PriorityClassStrategy(Strategy):
    """Generation 1 for ever (pkg/registry/scheduling/priorityclass)."""

    def content_changed(self, new: JsonObject, old: JsonObject) -> bool:
        return False


def _metadata_differs(new: JsonObject, old: JsonObject, name: str) -> bool:
    return (new["metadata"].get(name) or {}) != (old["metadata"].get(name) or {})


class LeaseStrategy(Strategy):
    """Coordinated leader election is off by default, and its fields with it
    (pkg/registry/coordination/lease)."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        _drop_elections(tree, {})

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        _drop_elections(new, old)


def _drop_elections(new: JsonObject, old: JsonObject) -> None:
    """Unless the old object has them already."""
    before = old.get("spec") or {}
    for name in ("strategy", "preferredHolder"):
        if name not in before:
            (new.get("spec") or {}).pop(name, None)
