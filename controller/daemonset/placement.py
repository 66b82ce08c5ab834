"""Which pods are on, or on their way to, which node (spec sections 5.1, 5.3, 8.1).

Invariant: a pod is at exactly one node or at none; pods are compared in one order everywhere.
"""

from collections.abc import Iterable, Sequence
from copy import copy

from kubeherd.cluster.api.helpers.podutil import is_terminal, is_terminating
from kubeherd.cluster.api.helpers.scheduling import target_node_name
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.controller.daemonset.model import GENERATION_LABEL, HASH_LABEL
from kubeherd.controller.daemonset.nodes import Decision, NodeRule

NodePods = dict[str, list[Pod]]


class Placement:
    """The nodes with their decisions, and the pods of each node name.

    `pods` may have keys of nodes that do not exist. Pods that are both terminal and terminating are
    not in it (5.1).
    """

    def __init__(self, rule: NodeRule, nodes: Sequence[Node], pods: Iterable[Pod]) -> None:
        self.decisions: dict[str, Decision] = {
            node.metadata.name: rule.decide(node) for node in nodes
        }
        self.nodes: dict[str, Node] = {node.metadata.name: node for node in nodes}
        self.pods = by_node(pods)
        self.desired = sum(decision.should_run for decision in self.decisions.values())

    def after(self, creates: Sequence[str], deletes: Sequence[Pod]) -> "Placement":
        """The placement once these pods are terminating, and others are on their way to nodes.

        A node that a pod is on its way to counts as empty: there is nothing to update on it.
        """
        if not creates and not deletes:
            return self
        gone = {(pod.metadata.namespace, pod.metadata.name) for pod in deletes}
        pods = {
            name: [p for p in found if (p.metadata.namespace, p.metadata.name) not in gone]
            for name, found in self.pods.items()
        }
        pods.update((name, []) for name in creates)
        later = copy(self)
        later.pods = pods
        return later

    def with_empty_entries(self) -> NodePods:
        """The pods by node, with an empty entry for each node that should run but has none (8.1).

        Nodes come in the order of the node list, node names that do not exist last.
        """
        out: NodePods = {}
        for name, decision in self.decisions.items():
            pods = self.pods.get(name)
            if pods is not None:
                out[name] = pods
            elif decision.should_run:
                out[name] = []
        for name, pods in self.pods.items():
            if name not in out:
                out[name] = pods
        return out


def by_node(pods: Iterable[Pod], *, keep_finished: bool = False) -> NodePods:
    """Group pods by target node; `keep_finished` keeps those that are terminal and terminating."""
    out: NodePods = {}
    for pod in pods:
        if not keep_finished and is_terminating(pod) and is_terminal(pod):
            continue
        node = pod.spec.node_name or target_node_name(pod)
        if node:
            out.setdefault(node, []).append(pod)
    return out


def order(pod: Pod) -> tuple[bool, str, str]:
    """Sort key: bound pods before unbound, older before younger, then by name (5.3)."""
    metadata = pod.metadata
    return (not pod.spec.node_name, metadata.creation_timestamp, metadata.name)


def is_updated(pod: Pod, hash_: str, generation: int | None) -> bool:
    """Whether the pod is of the current template (8.1): by hash, or by template generation."""
    labels = pod.metadata.labels
    if hash_ and labels.get(HASH_LABEL) == hash_:
        return True
    return generation is not None and labels.get(GENERATION_LABEL) == str(generation)
