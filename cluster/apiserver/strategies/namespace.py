"""Namespaces: phase, the finalizer of the namespace controller, the name label.

Source: spec api-machinery, sections 8 and 9. ``spec.finalizers`` changes through
``/finalize`` only.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy, keep
from kubeherd.cluster.apiserver.write.context import RequestContext

NAME_LABEL = "kubernetes.io/metadata.name"
CONTROLLER_FINALIZER = "kubernetes"


class NamespaceStrategy(Strategy):
    def initial_status(self, tree: JsonObject) -> JsonObject:
        return {"phase": "Active"}

    def normalise(self, tree: JsonObject) -> None:
        force_name_label(tree)

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        spec = dict(tree.get("spec") or {})
        finalizers = list(spec.get("finalizers") or ())
        if CONTROLLER_FINALIZER not in finalizers:
            finalizers.append(CONTROLLER_FINALIZER)
        tree["spec"] = {**spec, "finalizers": finalizers}
        force_name_label(tree)

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        keep(new, old, "spec")

    def prepare_finalize(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        """A write to ``/finalize``: the finalizers of the spec change, nothing else."""
        spec = new.get("spec") or {}
        meta = dict(old["metadata"])
        keep(meta, new["metadata"], "managedFields")
        keep(meta, new["metadata"], "resourceVersion")
        new.clear()
        new.update(old)
        new["metadata"] = meta
        new["spec"] = {key: value for key, value in spec.items() if key != "finalizers" or value}


def force_name_label(tree: JsonObject) -> None:
    """Set the label ``kubernetes.io/metadata.name`` to the name (absent with generateName)."""
    meta = tree["metadata"]
    name = meta.get("name")
    if name:
        meta["labels"] = {**(meta.get("labels") or {}), NAME_LABEL: name}
