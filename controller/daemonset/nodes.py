"""On which nodes a DaemonSet's pods should run, and where they may stay (spec section 4).

Invariant: the answer depends on the template and on the node's name, labels and taints alone; not
on conditions, resources, ports or `spec.unschedulable`. A `NodeRule` is compiled once per template;
what it decided of a node is kept by whoever asked (`placement`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from kubeherd.cluster.api.helpers.scheduling import (
    NO_EXECUTE,
    TaintEffect,
    first_untolerated,
    required_node_match,
)
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Node, PodSpec, Taint

_DEFAULT_TOLERATIONS = (
    ("node.kubernetes.io/not-ready", TaintEffect.NO_EXECUTE),
    ("node.kubernetes.io/unreachable", TaintEffect.NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", TaintEffect.NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", TaintEffect.NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", TaintEffect.NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", TaintEffect.NO_SCHEDULE),
)
_NETWORK_UNAVAILABLE = ("node.kubernetes.io/network-unavailable", TaintEffect.NO_SCHEDULE)
_IDENTITY = ("key", "effect", "operator", "value")


class Decision(NamedTuple):
    """Whether a node should get a pod, and whether a pod that is there may stay."""

    should_run: bool
    should_continue: bool


NEVER = Decision(should_run=False, should_continue=False)
ALWAYS = Decision(should_run=True, should_continue=True)


def with_default_tolerations(
    tolerations: Sequence[JsonObject], *, host_network: bool
) -> list[JsonObject]:
    """The tolerations of a daemon pod: the user's, then those every daemon pod has (4.2).

    A user's toleration with the same key, effect, operator and value is overwritten in place.
    """
    out = list(tolerations)
    wanted = (*_DEFAULT_TOLERATIONS, *((_NETWORK_UNAVAILABLE,) if host_network else ()))
    for key, effect in wanted:
        default: JsonObject = {"key": key, "operator": "Exists", "effect": effect.value}
        for index, toleration in enumerate(out):
            if all((toleration.get(name) or "") == default.get(name, "") for name in _IDENTITY):
                out[index] = default
                break
        else:
            out.append(default)
    return out


class NodeRule:
    """The decision of section 4 for one pod template (a JSON tree)."""

    def __init__(self, template: JsonObject) -> None:
        tree = dict(template.get("spec") or {})
        tree["tolerations"] = with_default_tolerations(
            tree.get("tolerations") or (), host_network=bool(tree.get("hostNetwork"))
        )
        spec = msgspec.convert(tree, PodSpec)
        self._node_name = spec.node_name
        self._match = required_node_match(spec.node_selector, spec.affinity)
        self._tolerations = spec.tolerations

    def decide(self, node: Node) -> Decision:
        """The decision for this node."""
        name = node.metadata.name
        if self._node_name and self._node_name != name:
            return NEVER
        if self._match is not None and not self._match(node.metadata.labels, name):
            return NEVER
        taints: list[Taint] = node.spec.taints
        if not taints or first_untolerated(taints, self._tolerations) is None:
            return ALWAYS
        evicted = first_untolerated(taints, self._tolerations, NO_EXECUTE) is not None
        return Decision(should_run=False, should_continue=not evicted)
