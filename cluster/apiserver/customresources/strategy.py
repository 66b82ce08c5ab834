"""What distinguishes custom resources in create, update and delete.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource (strategy.go,
status_strategy.go): everything but metadata counts in metadata.generation, and a write to the
status changes no metadata.
"""

from kubeherd.cluster.api import errors, names
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.strategies.base import Strategy, keep
from kubeherd.cluster.apiserver.write.context import RequestContext

_TERMINATING = "create not allowed while custom resource definition is terminating"
_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})


class CustomStrategy(Strategy):
    """One version of a definition."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource)
        self.tracks_generation = True
        self.allows_create_on_update = False
        self.allows_unconditional_update = False
        self.returns_deleted_object = False

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        if self.resource.custom is not None and self.resource.custom.terminating:
            raise errors.forbidden(self.resource, tree["metadata"].get("name", ""), _TERMINATING)
        tree["metadata"]["generation"] = 1
        if self.has_status:
            tree.pop("status", None)
        ctx.warnings += _finalizer_warnings(tree, {})

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        ctx.warnings += _finalizer_warnings(new, old)

    def content_changed(self, new: JsonObject, old: JsonObject) -> bool:
        keys = (new.keys() | old.keys()) - {"kind", "apiVersion", "metadata"}
        return any(new.get(key) != old.get(key) for key in keys)

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        meta = dict(old["metadata"])
        keep(meta, new["metadata"], "managedFields")
        keep(meta, new["metadata"], "resourceVersion")
        status = {"status": new["status"]} if "status" in new else {}
        new.clear()
        new.update({key: value for key, value in old.items() if key != "status"})
        new["metadata"] = meta
        new.update(status)


def _finalizer_warnings(new: JsonObject, old: JsonObject) -> list[str]:
    known = set((old.get("metadata") or {}).get("finalizers") or ())
    warnings = []
    for name in sorted(set(new["metadata"].get("finalizers") or ()) - known):
        at = f"metadata.finalizers: {quoted(name)}: "
        warnings += [at + problem for problem in names.qualified_name(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            path = " including a path (/)" if "." in name else ""
            warnings.append(
                f"{at}prefer a domain-qualified finalizer name{path} to avoid accidental "
                "conflicts with other finalizer writers"
            )
    return warnings
