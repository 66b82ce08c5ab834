"""CustomResourceDefinitions: a status of their own making, and a deletion that takes its time.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition. Names are accepted,
objects deleted and the definition removed by `apiserver.customresources.controller`.
"""

from datetime import datetime

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write import deletion
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import Action, DeleteOptions, DeletePlan


class DefinitionStrategy(Strategy):
    def initial_status(self, tree: JsonObject) -> JsonObject:
        stored = [v.get("name", "") for v in _versions(tree) if v.get("storage")]
        return {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": stored[:1],
        }

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        ctx.warnings += _warnings(tree, {})

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        status = dict(new.get("status") or {})
        known = list(status.get("storedVersions") or ())
        stored = [v.get("name", "") for v in _versions(new) if v.get("storage")]
        known += [name for name in stored if name not in known]
        new["status"] = {**status, "storedVersions": known}
        ctx.warnings += _warnings(new, old)

    def plan_delete(
        self, resource: Resource, tree: JsonObject, options: DeleteOptions, now: datetime
    ) -> DeletePlan:
        if tree["metadata"].get("deletionTimestamp"):
            return deletion.plan(resource, tree, options, now)
        from kubeherd.cluster.api.customresources import naming  # noqa: PLC0415 - seldom needed

        meta = {**tree["metadata"], "deletionTimestamp": format_time(now)}
        finalizers = list(meta.get("finalizers") or ())
        if naming.CLEANUP not in finalizers:
            finalizers.append(naming.CLEANUP)
        marked = naming.with_condition(
            {**tree, "metadata": {**meta, "finalizers": finalizers}},
            naming.TERMINATING,
            True,
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            format_time(now),
        )
        return DeletePlan(Action.MARK, marked)


def _versions(tree: JsonObject) -> list[JsonObject]:
    return (tree.get("spec") or {}).get("versions") or []


def _warnings(new: JsonObject, old: JsonObject) -> list[str]:
    from kubeherd.cluster.api.customresources import definitionrules  # noqa: PLC0415 - large

    return definitionrules.warnings(new, old)
