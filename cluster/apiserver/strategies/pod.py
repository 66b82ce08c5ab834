"""Pods: the first status, generation, and what ``/status`` and the other subresources may change.

Source: spec api-machinery, sections 4, 9, 13 and 17.
"""

from collections.abc import Iterator

from kubeherd.cluster.api.helpers import qos
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.pods.labelkeys import MATCH, MISMATCH
from kubeherd.cluster.apiserver.strategies.base import Strategy, keep
from kubeherd.cluster.apiserver.write.context import RequestContext

_GATED = "Scheduling is blocked due to non-empty scheduling gates"


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class PodStrategy(Strategy):
    def initial_status(self, tree: JsonObject) -> JsonObject:
        status: JsonObject = {"phase": "Pending"}
        if tree["spec"].get("schedulingGates"):
            status["conditions"] = [{
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": None,
                "reason": "SchedulingGated",
                "message": _GATED,
            }]  # fmt: skip
        status["qosClass"] = qos.qos_class(tree)
        return status

    def prepare_create(self, tree: JsonObject, ctx: RequestContext) -> None:
        tree.setdefault("spec", {})
        super().prepare_create(tree, ctx)
        _mend_grace(tree["spec"])
        _merge_label_keys(tree)
        tree["metadata"]["generation"] = 1
        for condition in tree["status"].get("conditions", ()):
            condition["lastTransitionTime"] = ctx.timestamp

    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_update(new, old, ctx)
        _mend_grace(new.get("spec") or {})
        self.count_spec_change(new, old)

    def count_spec_change(self, new: JsonObject, old: JsonObject) -> None:
        """metadata.generation + 1 iff the spec differs."""
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1

    def prepare_status(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        super().prepare_status(new, old, ctx)
        old_status = old.get("status") or {}
        status = new.setdefault("status", {})
        if not status.get("qosClass") and "qosClass" in old_status:
            status["qosClass"] = old_status["qosClass"]
        if not status.get("observedGeneration") and "observedGeneration" in old_status:
            status["observedGeneration"] = old_status["observedGeneration"]
        observed = {
            condition.get("type"): condition.get("observedGeneration")
            for condition in old_status.get("conditions") or ()
        }
        conditions = status.get("conditions")
        if conditions and any(observed.values()):
            status["conditions"] = [
                {**one, "observedGeneration": observed[one["type"]]}
                if not one.get("observedGeneration") and observed.get(one.get("type"))
                else one
                for one in conditions
            ]

    def prepare_ephemeral_containers(
        self, new: JsonObject, old: JsonObject, ctx: RequestContext
    ) -> None:
        """A write to ``/ephemeralcontainers``: nothing else of the pod may change."""
        wanted = new.get("spec") or {}
        self._keep_but_spec(new, old)
        new["spec"] = dict(old["spec"])
        keep(new["spec"], wanted, "ephemeralContainers")
        self.count_spec_change(new, old)

    def prepare_resize(self, new: JsonObject, old: JsonObject, ctx: RequestContext) -> None:
        """A write to ``/resize``: only the resources and resize policies of containers change."""
        wanted = {c.get("name"): c for c in (new.get("spec") or {}).get("containers") or ()}
        self._keep_but_spec(new, old)
        containers = []
        for container in old["spec"].get("containers") or ():
            resized = dict(container)
            if (source := wanted.get(container.get("name"))) is not None:
                keep(resized, source, "resources")
                keep(resized, source, "resizePolicy")
            containers.append(resized)
        new["spec"] = {**old["spec"], "containers": containers}
        self.count_spec_change(new, old)

    def _keep_but_spec(self, new: JsonObject, old: JsonObject) -> None:
        meta = dict(old["metadata"])
        keep(meta, new["metadata"], "managedFields")
        keep(meta, new["metadata"], "resourceVersion")
        new.clear()
        new.update(old)
        new["metadata"] = meta


def _mend_grace(spec: JsonObject) -> None:
    """A negative grace period is an old way to say one second."""
    grace = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:
        spec["terminationGracePeriodSeconds"] = 1


def _merge_label_keys(pod: JsonObject) -> None:
    """The pod's labels that a term names join its label selector (MatchLabelKeysInPodAffinity,
    MatchLabelKeysInPodTopologySpreadSelectorMerge)."""
    labels = pod["metadata"].get("labels") or {}
    for term in _selecting_terms(pod["spec"]):
        if term.get("labelSelector") is None:
            continue
        added = [
            {"key": key, "operator": operator, "values": [labels[key]]}
            for field, operator in ((MATCH, "In"), (MISMATCH, "NotIn"))
            for key in term.get(field) or ()
            if key in labels
        ]
        if added:
            selector = term["labelSelector"]
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *added]


def _selecting_terms(spec: JsonObject) -> Iterator[JsonObject]:
    yield from spec.get("topologySpreadConstraints") or ()
    for name in ("podAffinity", "podAntiAffinity"):
        affinity = (spec.get("affinity") or {}).get(name) or {}
        yield from affinity.get(_REQUIRED) or ()
        for weighted in affinity.get(_PREFERRED) or ():
            yield weighted.get("podAffinityTerm") or {}
