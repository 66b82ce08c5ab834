"""Small rules of kinds that need no module of their own."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext


class SigningRequestStrategy(Strategy):
    """A CertificateSigningRequest names who asked for it, whatever the client says."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        spec = tree.setdefault("spec", {})
        for key in ("username", "uid", "groups", "extra"):
            spec.pop(key, None)
        spec.update(ctx.user.to_json())
