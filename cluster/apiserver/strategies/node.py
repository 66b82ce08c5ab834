"""Nodes: a kubelet registers a node together with its status; allocatable follows capacity.

Source: spec api-machinery, sections 13 and 17; node-lifecycle, section 16.
"""

from cluster.api.jsontypes import JsonObject
from cluster.apiserver.context import RequestContext
from cluster.apiserver.strategies.base import Strategy


class NodeStrategy(Strategy):
    def initial_status(self, tree: JsonObject) -> None:
        return None

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        tree.setdefault("spec", {})
        tree.setdefault("status", {})
