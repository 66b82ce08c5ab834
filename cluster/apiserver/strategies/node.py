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
