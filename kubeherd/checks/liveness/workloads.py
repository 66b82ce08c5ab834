"""Every workload is what it should be, on nodes that are all there again."""

from collections.abc import Iterator

from kubeherd.checks.live import Live
from kubeherd.checks.liveness.settled import SettledChecker
from kubeherd.checks.objects import (
    condition,
    ended,
    going,
    items,
    labels,
    name_of,
    number,
    part,
    ready,
    target_node,
    text,
    uid_of,
)
from kubeherd.checks.placement import daemon_fit
from kubeherd.checks.writes import generation
from kubeherd.history import Step, Violation
from kubeherd.history.records import Object

_HASH = "controller-revision-hash"
_REVISIONS = "controllerrevisions.apps"
_REPLICAS = ("replicas", "readyReplicas")


def unobserved(tree: Object) -> str:
    """Words for a spec that its controller has not come to yet; "" if it has."""
    observed = number(tree, "status", "observedGeneration")
    if observed == generation(tree):
        return ""
    return f"has observed generation {observed} of {generation(tree)}"


def _says(tree: Object, wanted: int, *counts: str) -> str:
    """Words for a count in a status that is not what was found; "" if all are."""
    for count in counts:
        has = number(tree, "status", count)
        if has != wanted:
            return f"says {has} {count} of {wanted}"
    return ""


class NodesRecover(SettledChecker):
    """Nodes."""

    name = "nodes-recover"
    promise = "When nothing is hurt any more, every node is Ready and no taint says otherwise."
    source = "docs/spec/node-lifecycle.md; Concepts: Nodes, Node heartbeats"
    resources = frozenset({"nodes"})

    def settled(self, step: Step) -> Iterator[Violation]:
        """Nodes that never had a kubelet do not count."""
        for name, node in self.live.all("nodes").items():
            state = condition(node, "Ready")
            if not state or state.get("reason") == "NodeStatusNeverUpdated":
                continue
            self.looked_at += 1
            taints = [
                text(taint, "key")
                for taint in items(node, "spec", "taints")
                if text(taint, "key")
                in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
            ]
            if not ready(node) or taints:
                what = f"node {name} is {'' if ready(node) else 'not '}Ready"
                told = f", with the taints {', '.join(taints)}" if taints else ""
                yield self.violation(step, what + told, f"nodes {name}")


def current_hash(live: Live, uid: str) -> str:
    """The hash of the newest revision of a DaemonSet or StatefulSet; "" if none is known."""
    newest = max(
        live.owned(uid, _REVISIONS), key=lambda revision: number(revision, "revision"), default=None
    )
    if newest is None:
        return ""
    return str(labels(newest).get(_HASH) or name_of(newest))


class DaemonSetsSettle(SettledChecker):
    """DaemonSets."""

    name = "daemonsets-settle"
    promise = (
        "In the end each eligible node has exactly one pod of a DaemonSet, ready and of the "
        "current revision, other nodes have none, and its status says so."
    )
    source = "docs/spec/daemonset-controller.md 4, 5, 8; Concepts: DaemonSet"
    resources = frozenset({"daemonsets.apps", _REVISIONS, "pods", "nodes"})

    def settled(self, step: Step) -> Iterator[Violation]:
        """Each node of each DaemonSet."""
        for key, daemonset in self.live.all("daemonsets.apps").items():
            if going(daemonset):
                continue
            if wrong := unobserved(daemonset) or self._says(daemonset):
                yield self.violation(step, f"DaemonSet {key} {wrong}", f"daemonsets.apps {key}")
            by_node: dict[str, list[Object]] = {}
            for pod in self.live.owned(uid_of(daemonset), "pods"):
                by_node.setdefault(target_node(pod), []).append(pod)
            for name in sorted(self.live.all("nodes").keys() | by_node.keys()):
                self.looked_at += 1
                wrong = self._wrong(daemonset, name, by_node.get(name, []))
                if wrong:
                    what = f"DaemonSet {key}: {name or 'no node'} {wrong}"
                    yield self.violation(step, what, f"daemonsets.apps {key}", f"nodes {name}")

    def _says(self, daemonset: Object) -> str:
        template = part(daemonset, "spec", "template")
        nodes = self.live.all("nodes").values()
        wanted = sum(daemon_fit(template, node).should_run for node in nodes)
        updated = ("updatedNumberScheduled",) if self._wanted_hash(daemonset) else ()
        counts = ("desiredNumberScheduled", "numberReady", "numberAvailable", *updated)
        return _says(daemonset, wanted, *counts)

    def _wrong(self, daemonset: Object, name: str, pods: list[Object]) -> str:
        node = self.live.all("nodes").get(name)
        if node is None:
            return f"has {name_of(pods[0])}, and is not there" if pods else ""
        fit = daemon_fit(part(daemonset, "spec", "template"), node)
        if not pods:
            return "has no pod" if fit.should_run else ""
        if not fit.may_stay:
            return f"has {name_of(pods[0])}, which may not run there"
        if len(pods) > 1:
            return f"has {len(pods)} pods: {', '.join(sorted(map(name_of, pods)))}"
        if not fit.should_run:
            return ""  # it was there before the taint, and may stay
        return _unsettled(pods[0], self._wanted_hash(daemonset))

    def _wanted_hash(self, daemonset: Object) -> str:
        """ "" where a rollout may be held."""
        held = any(
            one.startswith("kubeherd.io/rollout-")
            for one in part(daemonset, "metadata", "annotations")
        )
        if held or text(daemonset, "spec", "updateStrategy", "type") == "OnDelete":
            return ""
        return current_hash(self.live, uid_of(daemonset))


def _unsettled(pod: Object, wanted_hash: str) -> str:
    """What is wrong with a pod that should be ready and, if `wanted_hash`, of that revision."""
    name = name_of(pod)
    if going(pod):
        return f"has {name}, which is being deleted"
    if ended(pod) or not ready(pod):
        return f"has {name}, which is not ready ({text(pod, 'status', 'phase') or 'no phase'})"
    if wanted_hash and labels(pod).get(_HASH) != wanted_hash:
        return f"has {name} of revision {labels(pod).get(_HASH)}, not {wanted_hash}"
    return ""


class ReplicaSetsSettle(SettledChecker):
    """ReplicaSets."""

    name = "replicasets-settle"
    promise = (
        "In the end a ReplicaSet has exactly as many pods as it wants, all of them ready, and its "
        "status says so."
    )
    source = "Concepts: ReplicaSet"
    resources = frozenset({"replicasets.apps", "pods"})

    def settled(self, step: Step) -> Iterator[Violation]:
        """Count the pods."""
        for key, tree in self.live.all("replicasets.apps").items():
            if going(tree):
                continue
            self.looked_at += 1
            wanted = number(tree, "spec", "replicas", default=1)
            pods = self.live.owned(uid_of(tree), "pods")
            active = [pod for pod in pods if not going(pod) and not ended(pod)]
            good = sum(map(ready, active))
            wrong = unobserved(tree) or _says(tree, wanted, *_REPLICAS)
            if not wanted == len(active) == good:
                wrong = f"has {len(active)} pods, {good} ready; {wanted} are wanted"
            if wrong:
                yield self.violation(step, f"ReplicaSet {key} {wrong}", f"replicasets.apps {key}")


class DeploymentsSettle(SettledChecker):
    """Deployments."""

    name = "deployments-settle"
    promise = (
        "In the end a Deployment's newest ReplicaSet has all its replicas, the others none, and "
        "its status says so."
    )
    source = "Concepts: Deployments, Complete Deployment"
    resources = frozenset({"deployments.apps", "replicasets.apps"})

    def settled(self, step: Step) -> Iterator[Violation]:
        """The status, and the ReplicaSets themselves."""
        for key, tree in self.live.all("deployments.apps").items():
            if going(tree):
                continue
            self.looked_at += 1
            wrong = self._wrong(tree)
            if wrong:
                yield self.violation(step, f"Deployment {key} {wrong}", f"deployments.apps {key}")

    def _wrong(self, tree: Object) -> str:
        wanted = number(tree, "spec", "replicas", default=1)
        if behind := unobserved(tree):
            return behind
        sets = self.live.owned(uid_of(tree), "replicasets.apps")
        sizes = {name_of(one): number(one, "spec", "replicas", default=1) for one in sets}
        if sum(sizes.values()) != wanted:
            return f"wants {wanted} pods, and its ReplicaSets {sum(sizes.values())}"
        if part(tree, "spec").get("paused") is True:
            return ""
        used = sorted(name for name, size in sizes.items() if size)
        if len(used) > 1:
            return f"is between {' and '.join(used)}"
        return _says(tree, wanted, *_REPLICAS, "updatedReplicas", "availableReplicas")


class StatefulSetsSettle(SettledChecker):
    """StatefulSets."""

    name = "statefulsets-settle"
    promise = (
        "In the end each ordinal of a StatefulSet has its pod, ready and, from the partition on, "
        "of the current revision, there are no others, and its status says so."
    )
    source = "Concepts: StatefulSets; docs/spec/statefulset-controller.md"
    resources = frozenset({"statefulsets.apps", _REVISIONS, "pods"})

    def settled(self, step: Step) -> Iterator[Violation]:
        """Each ordinal of each StatefulSet."""
        for key, tree in self.live.all("statefulsets.apps").items():
            if going(tree):
                continue
            wanted = number(tree, "spec", "replicas", default=1)
            if wrong := unobserved(tree) or _says(tree, wanted, *_REPLICAS):
                yield self.violation(step, f"StatefulSet {key} {wrong}", f"statefulsets.apps {key}")
            pods = {name_of(pod): pod for pod in self.live.owned(uid_of(tree), "pods")}
            first = number(tree, "spec", "ordinals", "start")
            for ordinal in range(first, first + wanted):
                self.looked_at += 1
                name = f"{name_of(tree)}-{ordinal}"
                pod = pods.pop(name, None)
                wrong = (
                    f"has no pod {name}"
                    if pod is None
                    else _unsettled(pod, self._hash(tree, ordinal))
                )
                if wrong:
                    yield self.violation(
                        step, f"StatefulSet {key} {wrong}", f"statefulsets.apps {key}"
                    )
            if pods:
                what = f"StatefulSet {key} has {', '.join(sorted(pods))} too many"
                yield self.violation(step, what, f"statefulsets.apps {key}")

    def _hash(self, tree: Object, ordinal: int) -> str:
        update = part(tree, "spec", "updateStrategy")
        if text(update, "type") == "OnDelete":
            return ""
        if ordinal < number(update, "rollingUpdate", "partition"):
            return ""
        return current_hash(self.live, uid_of(tree))


class JobsFinish(SettledChecker):
    """Jobs."""

    name = "jobs-finish"
    promise = "In the end every Job that is not suspended is Complete or has Failed."
    source = "Concepts: Jobs, Terminal Job conditions"
    resources = frozenset({"jobs.batch"})

    def settled(self, step: Step) -> Iterator[Violation]:
        """Their conditions."""
        for key, job in self.live.all("jobs.batch").items():
            other = text(job, "spec", "managedBy") not in ("", "kubernetes.io/job-controller")
            if going(job) or other or part(job, "spec").get("suspend") is True:
                continue
            self.looked_at += 1
            if not any(condition(job, t).get("status") == "True" for t in ("Complete", "Failed")):
                counts = ", ".join(
                    f"{number(job, 'status', count)} {count}"
                    for count in ("active", "succeeded", "failed")
                )
                yield self.violation(
                    step, f"Job {key} has not ended: {counts}", f"jobs.batch {key}"
                )
