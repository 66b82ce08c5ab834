"""Small rules of kinds that need no module of their own."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.strategies.base import Strategy, keep
from kubeherd.cluster.apiserver.write.context import RequestContext

_TOKENS_MAY_BE_LOGGED = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to "
    "prevent possible logging of tokens in volume attributes"
)
_TOPOLOGY = "deprecatedTopology"
_HOSTNAME = "kubernetes.io/hostname"


class DeploymentStrategy(Strategy):
    """A changed annotation is a new generation too; ``/status`` leaves the labels alone
    (pkg/registry/apps/deployment)."""

    def content_changed(self, new: JsonObject, old: JsonObject) -> bool:
        return super().content_changed(new, old) or _metadata_differs(new, old, "annotations")

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_status(new, old, ctx)
        keep(new["metadata"], old["metadata"], "labels")


class EndpointSliceStrategy(Strategy):
    """A changed label is a new generation too; the topology of v1beta1 is dropped, but a node that
    it named stays named (pkg/registry/discovery/endpointslice)."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        _drop_topology(tree, {})

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        if new.get("endpoints") != old.get("endpoints"):
            _drop_topology(new, old)

    def content_changed(self, new: JsonObject, old: JsonObject) -> bool:
        return super().content_changed(new, old) or _metadata_differs(new, old, "labels")


def _drop_topology(new: JsonObject, old: JsonObject) -> None:
    nodes = {
        (endpoint.get(_TOPOLOGY) or {}).get(_HOSTNAME) for endpoint in old.get("endpoints") or ()
    }
    for endpoint in new.get("endpoints") or ():
        node = (endpoint.pop(_TOPOLOGY, None) or {}).get(_HOSTNAME)
        if node and "nodeName" not in endpoint and node in nodes:
            endpoint["nodeName"] = node


class CSIDriverStrategy(Strategy):
    """Without a generation until it is changed (pkg/registry/storage/csidriver)."""

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        if self.content_changed(new, old):
            new["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1

    def warnings(self, new: JsonObject, old: JsonObject) -> list[str]:
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        requests = spec.get("tokenRequests")
        changed = requests and requests != before.get("tokenRequests")
        told = changed and spec.get("serviceAccountTokenInSecrets") is None
        return [_TOKENS_MAY_BE_LOGGED] if told else []


class ServersOwnStrategy(Strategy):
    """What the server makes itself has its status from the start."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        status = tree.get("status")
        super().prepare_create(tree, ctx)
        if ctx.user is SERVER and status:
            tree["status"] = status


class StatusOnlyStrategy(Strategy):
    """``/status`` leaves all metadata alone (ResetObjectMetaForStatus)."""

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_status(new, old, ctx)
        for name in ("labels", "annotations", "finalizers", "ownerReferences"):
            keep(new["metadata"], old["metadata"], name)


class ServiceCIDRStrategy(StatusOnlyStrategy, ServersOwnStrategy):
    """The range that the server is started with is ready from the start."""


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
