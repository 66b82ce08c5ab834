"""RollingUpdate: which old pods to replace now (spec section 8).

Invariants: of the available old pods no more are deleted than maxUnavailable leaves room for; with
surge no more nodes have a second pod than maxSurge, but for nodes whose old pod does not work
anyway. `Gate` lets the rollout controls (`rollout.py`) narrow what is chosen, never widen it.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto

import msgspec

from kubeherd.cluster.api.helpers.podutil import is_available, is_terminating
from kubeherd.cluster.api.objects import DaemonSet, Node, Pod
from kubeherd.controller.daemonset.model import Now
from kubeherd.controller.daemonset.placement import NodePods, Placement, is_updated
from kubeherd.controller.daemonset.template import template_generation


class StrategyError(Exception):
    """The rolling step could not be computed; the sync fails with this text."""


class NodeState(Enum):
    """What is on a node, terminating pods apart (the rows of the tables in 8.3 and 8.4)."""

    NOT_OK = auto()
    EMPTY = auto()
    BOTH = auto()
    NEW = auto()
    OLD = auto()


class Found(msgspec.Struct, frozen=True):
    """A node with its updated and its old pod."""

    node_name: str
    state: NodeState
    new: Pod | None = None
    old: Pod | None = None
    new_available: bool = False
    old_available: bool = False


class Gate(msgspec.Struct, frozen=True):
    """What rollout controls leave open: at most `limit` nodes (None: any) out of those allowed."""

    limit: int | None = None
    allows: Callable[[Node | None], bool] = lambda _node: True


OPEN = Gate()


class Step(msgspec.Struct):
    """One rolling step: node names to create pods on (surge), pods to delete."""

    creates: list[str] = msgspec.field(default_factory=list)
    deletes: list[Pod] = msgspec.field(default_factory=list)


def find(pods_by_node: NodePods, daemonset: DaemonSet, hash_: str, now: Now) -> list[Found]:
    """Look at every node of the map with its empty entries (8.1)."""
    generation = template_generation(daemonset)
    min_ready_s = daemonset.spec.min_ready_seconds
    return [
        _look(name, pods, hash_, generation, min_ready_s, now)
        for name, pods in pods_by_node.items()
    ]


def _look(
    name: str, pods: list[Pod], hash_: str, generation: int | None, min_ready_s: int, now: Now
) -> Found:
    new: Pod | None = None
    old: Pod | None = None
    for pod in pods:
        if is_terminating(pod):
            continue
        if is_updated(pod, hash_, generation):
            if new is not None:
                return Found(name, NodeState.NOT_OK)
            new = pod
        else:
            if old is not None:
                return Found(name, NodeState.NOT_OK)
            old = pod
    if new is not None:
        state = NodeState.NEW if old is None else NodeState.BOTH
    else:
        state = NodeState.EMPTY if old is None else NodeState.OLD
    return Found(
        name,
        state,
        new,
        old,
        new is not None and is_available(new, min_ready_s, now.age_s),
        old is not None and is_available(old, min_ready_s, now.age_s),
    )


def without_surge(
    found: Sequence[Found], placement: Placement, max_unavailable: int, gate: Gate = OPEN
) -> Step:
    """Section 8.3: all unavailable old pods, and available ones as far as the budget goes."""
    unavailable = 0
    replace: list[Pod] = []
    candidates: list[Pod] = []
    for node in found:
        if node.state is NodeState.NEW:
            unavailable += not node.new_available
        elif node.state is NodeState.OLD and node.old is not None:
            unavailable += not node.old_available
            if gate.allows(placement.nodes.get(node.node_name)):
                (candidates if node.old_available else replace).append(node.old)
        else:
            unavailable += 1
    room = max(0, max_unavailable - unavailable)
    return Step(deletes=[*replace, *candidates[:room]][: gate.limit])


def with_surge(
    found: Sequence[Found], placement: Placement, max_surge: int, gate: Gate = OPEN
) -> Step:
    """Section 8.4: a second pod on some nodes; the old one goes when the new one is available."""
    surge = 0
    available = 0
    always: list[str] = []
    candidates: list[str] = []
    unwanted: list[Pod] = []
    step = Step()
    for node in found:
        if node.state is NodeState.NOT_OK:
            surge += 1
            continue
        available += node.old_available if node.old is not None else node.new_available
        if node.old is None:
            continue
        if node.state is NodeState.BOTH:
            if node.new_available:
                step.deletes.append(node.old)
            else:
                surge += 1
            continue
        here = placement.nodes.get(node.node_name)
        if here is None:
            name = node.node_name
            raise StrategyError(
                f'couldn\'t get node for nodeName "{name}": node "{name}" not found'
            )
        if not placement.decisions[node.node_name].should_run:
            (unwanted if node.old_available else step.deletes).append(node.old)
        elif gate.allows(here):
            (candidates if node.old_available else always).append(node.node_name)
    step.deletes += unwanted[: max(0, available - placement.desired)]
    room = max(0, max_surge - surge)
    step.creates = [*always, *candidates[:room]][: gate.limit]
    return step
