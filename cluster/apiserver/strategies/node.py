"""Nodes: a kubelet registers a node together with its status; allocatable follows capacity.

Source: spec api-machinery, sections 13 and 17; node-lifecycle, section 16.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext


class NodeStrategy(Strategy):
    def initial_status(self, tree: JsonObject) -> None:
        return None

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        tree.setdefault("spec", {})
        tree.setdefault("status", {})
        _drop_config(tree, {})

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        _drop_config(new, old)

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_status(new, old, ctx)
        _drop_config(new, old)


def _drop_config(new: JsonObject, old: JsonObject) -> None:
    """Kubelets no longer read their configuration from the API; an old object may still say so."""
    for part, name in (("spec", "configSource"), ("status", "config")):
        if name not in (old.get(part) or {}):
            (new.get(part) or {}).pop(name, None)
