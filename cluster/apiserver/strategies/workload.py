"""Small rules of kinds that need no module of their own."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy


class PhasePendingStrategy(Strategy):
    """Volumes and claims begin Pending."""

    def initial_status(self, tree: JsonObject) -> JsonObject:
        return {"phase": "Pending"}
