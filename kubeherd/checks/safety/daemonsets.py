"""Promises about DaemonSets: how many pods a node has, and which are never evicted."""

from collections.abc import Iterator

from kubeherd.checks.live import Recent
from kubeherd.checks.objects import (
    about,
    condition,
    ended,
    going,
    items,
    labels,
    names,
    owner_uid,
    part,
    scaled,
    target_node,
    text,
    uid_of,
)
from kubeherd.checks.placement import tolerates
from kubeherd.checks.writes import ACCOUNT, WriteChecker
from kubeherd.history import Verb, Violation, Write
from kubeherd.history.records import Object

HASH = "controller-revision-hash"
_EVICTOR = ACCOUNT + "node-controller"
"""As whom taint eviction acts, as nothing else that deletes pods does."""


def surge_of(daemonset: Object) -> bool:
    """Whether a rolling update may have an old and a new pod on a node."""
    update = part(daemonset, "spec", "updateStrategy")
    if text(update, "type") not in ("", "RollingUpdate"):
        return False
    return scaled(part(update, "rollingUpdate").get("maxSurge"), 1, up=True) > 0


class OnePodPerNode(WriteChecker):
    """Pods of a DaemonSet on a node."""

    name = "daemonset-one-pod-per-node"
    promise = (
        "A node gets no second live pod of a DaemonSet; with maxSurge one of another revision, "
        "and never a third."
    )
    source = "docs/spec/daemonset-controller.md 5.2; Concepts: DaemonSet; Perform a Rolling Update"
    resources = frozenset({"daemonsets.apps", "pods"})

    def __init__(self) -> None:
        super().__init__()
        self._surge: dict[str, Recent] = {}
        self._pods: dict[tuple[str, str], dict[str, Object]] = {}
        """By DaemonSet and node."""

    def note(self, write: Write, before: Object | None) -> None:
        """Whether there is surge, by DaemonSet; and the pods."""
        if write.resource == "pods":
            for tree in (before, write.object):
                self._note_pod(write, tree or {})
            return
        uid = uid_of(write.object)
        if write.verb is Verb.DELETE:
            self._surge.pop(uid, None)
        else:
            surge = self._surge.setdefault(uid, Recent())
            surge.set(write.at, int(surge_of(write.object)), self.lag_s)

    def _note_pod(self, write: Write, tree: Object) -> None:
        """`tree` is the pod before or after the write."""
        uid, node = owner_uid(tree, "DaemonSet"), target_node(tree)
        if not uid or not node:
            return
        pods = self._pods.setdefault((uid, node), {})
        pods.pop(write.name, None)
        if tree is write.object and write.verb is not Verb.DELETE:
            pods[write.name] = tree
        if not pods:
            del self._pods[uid, node]

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A new pod, and those that its node has already."""
        uid = owner_uid(write.object, "DaemonSet")
        if write.resource != "pods" or write.verb is not Verb.CREATE or not uid:
            return
        node, surge = target_node(write.object), self._surge.get(uid)
        if not node or surge is None or ended(write.object):
            return
        self.looked_at += 1
        others = [
            pod
            for pod in self._pods.get((uid, node), {}).values()
            if pod is not write.object and not ended(pod)
        ]
        if surge.most(write.at, self.lag_s):
            revision = labels(write.object).get(HASH)
            others = [pod for pod in others if not going(pod)]
            same = [pod for pod in others if labels(pod).get(HASH) == revision]
            others = same or (others if len(others) > 1 else [])
        if others:
            what = f"{node} gets pod {write.namespace}/{write.name} beside {names(iter(others))}"
            yield self.violation(write, what, about(write))


class NeverEvicted(WriteChecker):
    """Taint eviction."""

    name = "daemon-pods-are-not-evicted-for-silence"
    promise = (
        "A DaemonSet's pod stays on a node that is not ready or not reachable: taint eviction does "
        "not delete it."
    )
    source = "Concepts: Taints and Tolerations, taint based evictions; DaemonSet, tolerations"
    resources = frozenset({"nodes", "pods"})

    def __init__(self) -> None:
        super().__init__()
        self._others: dict[str, float] = {}
        """When a node last had a taint that evicts for another reason."""

    def note(self, write: Write, before: Object | None) -> None:
        """Taints that a user or a controller set for another reason."""
        if write.resource == "nodes":
            for tree in (before or {}, write.object):
                if any(_evicts(taint) for taint in items(tree, "spec", "taints")):
                    self._others[write.name] = write.at
            if write.verb is Verb.DELETE:
                self._others.pop(write.name, None)

    def judge(self, write: Write, before: Object | None) -> Iterator[Violation]:
        """A pod that is marked or deleted by taint eviction."""
        pod = write.object
        if write.resource != "pods" or not owner_uid(pod, "DaemonSet"):
            return
        if write.verb is not Verb.DELETE and not going(pod) and not _marked(pod):
            return
        self.looked_at += 1
        deleted = (
            before is not None and not going(before) and (write.verb is Verb.DELETE or going(pod))
        )
        evicted = bool(deleted and write.actor and write.actor.user == _EVICTOR) or (
            _marked(pod) and not _marked(before or {})
        )
        name = text(pod, "spec", "nodeName")
        node = self.live.get("nodes", "", name)
        if not evicted or node is None:
            return
        if name in self._others and self._others[name] >= write.at - self.lag_s:
            return
        if any(_evicts(t) and not tolerates(pod, t) for t in items(node, "spec", "taints")):
            return
        what = f"pod {write.namespace}/{write.name} of a DaemonSet is evicted from {name}"
        yield self.violation(write, what, about(write), f"nodes {name}")


def _evicts(taint: Object) -> bool:
    silence = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return taint.get("effect") == "NoExecute" and taint.get("key") not in silence


def _marked(pod: Object) -> bool:
    return condition(pod, "DisruptionTarget").get("reason") == "DeletionByTaintManager"
