"""Promises about single pods: their phase, and the node to which they are bound."""

from collections import deque
from collections.abc import Iterator

from kubeherd.checks.objects import about, ended, items, number, part, text, uid_of
from kubeherd.checks.placement import may_be_bound
from kubeherd.checks.writes import ACCOUNT, MANAGER, WriteChecker
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
            yield self.violation(write, what, about(write))


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
                write, f"{pod} is bound to {name}, which does not exist", about(write)
            )
        elif not any(may_be_bound(before, one) for one in (*states, *([node] if node else ()))):
            yield self.violation(
                write, f"{pod} is bound to {name}, where it may not run", about(write)
            )


def _decisive(node: Object) -> tuple[object, object]:
    return part(node, "metadata").get("labels"), part(node, "spec").get("taints")


class EndedByTheirNode(WriteChecker):
    """Ends of pods that were bound, where it is known who wrote them."""

    name = "pods-end-where-they-run"
    promise = (
        "As long as its node exists, a controller neither declares a bound pod ended nor removes "
        "it before the node has: nobody else knows whether it still runs."
    )
    source = "docs/spec/node-lifecycle.md 8, 9; Tasks: Force Delete StatefulSet Pods"
    resources = frozenset({"pods", "nodes"})

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[str, float] = {}
        """When each node that exists began to."""

    def note(self, write: Write, before: Object | None) -> None:
        """Nodes come and go."""
        if write.resource != "nodes":
            return
        if write.verb is Verb.DELETE:
            self._since.pop(write.name, None)
        elif before is None:
            self._since[write.name] = write.at

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """The write with which a pod ends or goes."""
        if write.resource != "pods" or before is None or ended(before):
            return
        node = text(before, "spec", "nodeName")
        removed = write.verb is Verb.DELETE
        if not node or not (removed or ended(write.object)) or write.actor is None:
            return
        self.looked_at += 1
        user = write.actor.user
        if user != MANAGER and not user.startswith(ACCOUNT):
            return
        if node not in self._since or self._since[node] > write.at - self.lag_s:
            return
        if (removed and _needs_no_node(before)) or self._is_out_of_service(node):
            return
        did = "removed" if removed else "declared ended"
        what = f"pod {write.namespace}/{write.name} is {did} by {user}, and not by its node {node}"
        yield self.violation(write, what, about(write), f"nodes {node}")

    def _is_out_of_service(self, node: str) -> bool:
        tree = self.live.get("nodes", "", node) or {}
        taints = items(tree, "spec", "taints")
        return any(taint.get("key") == "node.kubernetes.io/out-of-service" for taint in taints)


def _needs_no_node(pod: Object) -> bool:
    """Whether its node has let it go (a finalizer kept it), or has no time to be asked for."""
    if "deletionGracePeriodSeconds" in part(pod, "metadata"):
        return number(pod, "metadata", "deletionGracePeriodSeconds") == 0
    return number(pod, "spec", "terminationGracePeriodSeconds", default=30) == 0
