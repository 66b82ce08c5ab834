"""Jobs: the selector and the labels by which a Job knows its pods (pkg/registry/batch/job)."""

from kubeherd.cluster.api.helpers.joblabels import CONTROLLER_UID_LABELS, JOB_NAME_LABELS
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.strategies.base import Strategy
from kubeherd.cluster.apiserver.write.context import RequestContext


class JobStrategy(Strategy):
    """A Job selects its pods by its uid, unless it says that it has a selector of its own."""

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        super().prepare_create(tree, ctx)
        spec, meta = tree["spec"], tree["metadata"]
        if spec.get("manualSelector"):
            return
        template = spec["template"].setdefault("metadata", {})
        generated = {
            **dict.fromkeys(JOB_NAME_LABELS, meta.get("name", "")),
            **dict.fromkeys(CONTROLLER_UID_LABELS, meta["uid"]),
        }
        template["labels"] = {**generated, **(template.get("labels") or {})}
        if not meta.get("labels"):  # as when Kubernetes reads it back, and defaults it again
            meta["labels"] = dict(template["labels"])
        selector = dict(spec.get("selector") or {})
        wanted = {CONTROLLER_UID_LABELS[0]: meta["uid"]}
        selector["matchLabels"] = {**wanted, **(selector.get("matchLabels") or {})}
        spec["selector"] = selector
