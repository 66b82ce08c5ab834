"""ServiceAccounts: of the Secrets that they list only the names are kept.

Source: pkg/registry/core/serviceaccount/strategy.go, v1.36.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext


class ServiceAccountStrategy(Strategy):
    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        _keep_names(tree)

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        _keep_names(new)


def _keep_names(tree: JsonObject) -> None:
    if tree.get("secrets"):
        names = [secret.get("name") for secret in tree["secrets"]]
        tree["secrets"] = [{"name": name} if name else {} for name in names]
