"""Promises about single pods: their phase, and the node to which they are bound."""

from collections import deque
from collections.abc import Iterator

from kubeherd.checks.objects import ended, part, text, uid_of
from kubeherd.checks.placement import may_be_bound
from kubeherd.checks.safety.metadata import label
from kubeherd.checks.writes import WriteChecker
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object


class LastPhase(WriteChecker):
    """Pod phases."""

    name = "ended-pods-stay-ended"
    promise = "A pod that has succeeded or failed never runs again; another pod may take its place."
    source = "Concepts: Pod Lifecycle, Pod phase"
    resources = frozenset({"pods"})

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Compare the phases."""
        if before is None or not ended(before) or uid_of(before) != uid_of(write.object):
            return
        self.looked_at += 1
        was, now = text(before, "status", "phase"), text(write.object, "status", "phase")
        if was != now:
            what = f"pod {write.namespace}/{write.name} is {now or 'nothing'} after {was}"
            yield self.violation(write, what, label(write))


class BoundWhereAllowed(WriteChecker):
    """Bindings."""

    name = "pods-bound-where-they-may-run"
    promise = (
        "A pod is bound only to a node that exists, that its nodeSelector and required node "
        "affinity choose, and whose taints it tolerates."
    )
    source = "Concepts: Kubernetes Scheduler; Assigning Pods to Nodes; Taints and Tolerations"
    resources = frozenset({"pods", "nodes"})

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, deque[tuple[float, Object]]] = {}
        """What nodes were before they changed in a way that matters, and until when."""

    def note(self, write: Write, before: Object | None) -> None:
        """A scheduler may not know yet of the newest change of a node."""
        if write.resource != "nodes" or before is None:
            return
        if write.verb is not Verb.DELETE and _decisive(before) == _decisive(write.object):
            return
        self._forget(write.at)
        self._before.setdefault(write.name, deque()).append((write.at, before))

    def _forget(self, now: float) -> None:
        for name, states in list(self._before.items()):
            while states and states[0][0] < now - self.lag_s:
                states.popleft()
            if not states:
                del self._before[name]

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """Whether the node was ever right within the last moments."""
        if write.resource != "pods" or before is None or uid_of(before) != uid_of(write.object):
            return
        name = text(write.object, "spec", "nodeName")
        if not name or text(before, "spec", "nodeName"):
            return
        self.looked_at += 1
        self._forget(write.at)
        node = self.live.get("nodes", "", name)
        states = [state for _, state in self._before.get(name, ())]
        pod = f"pod {write.namespace}/{write.name}"
        if node is None and not states:
            yield self.violation(
                write, f"{pod} is bound to {name}, which does not exist", label(write)
            )
        elif not any(may_be_bound(before, one) for one in (*states, *([node] if node else ()))):
            yield self.violation(
                write, f"{pod} is bound to {name}, where it may not run", label(write)
            )


def _decisive(node: Object) -> tuple[object, object]:
    return part(node, "metadata").get("labels"), part(node, "spec").get("taints")
