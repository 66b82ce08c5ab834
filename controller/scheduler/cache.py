"""The scheduler's picture of the cluster: nodes, what runs there, what it has just assumed.

Pure. Invariants: an assumed pod counts on its node from the moment a binding is sent until the
watch confirms it or the binding fails; `nodes` holds only nodes that exist, so that its length is
the N of ``0/N nodes``. Pods that name a node which is not there wait in `strays` for it.
"""

import msgspec

from kubeherd.cluster.api.helpers.scheduling import first_untolerated
from kubeherd.cluster.api.objects import Node, ObjectMeta, Pod
from kubeherd.controller.scheduler.nodeinfo import (
    NodeInfo,
    Placement,
    PodInfo,
    counts_on_node,
    pod_info,
)
from kubeherd.controller.scheduler.topology import Place, Rules, Terms, rules


class Cache(msgspec.Struct):
    """Built from watch events; every method is synchronous and costs one pod or one node."""

    nodes: dict[str, NodeInfo] = msgspec.field(default_factory=dict)
    strays: dict[str, NodeInfo] = msgspec.field(default_factory=dict)
    _node_of: dict[str, str] = msgspec.field(default_factory=dict)
    """By pod uid, assumed pods included."""
    _assumed: set[str] = msgspec.field(default_factory=set)
    _averse: dict[str, Terms] = msgspec.field(default_factory=dict)
    """Pods with required anti-affinity, by uid."""
    nominated: dict[str, list[PodInfo]] = msgspec.field(default_factory=dict)
    _nomination_of: dict[str, str] = msgspec.field(default_factory=dict)

    def set_node(self, node: Node) -> None:
        """A node appeared or changed."""
        name = node.metadata.name
        info = self.nodes.get(name)
        if info is None:
            stray = self.strays.pop(name, None)
            info = self.nodes[name] = NodeInfo(name) if stray is None else stray
        info.set_node(node)

    def remove_node(self, name: str) -> None:
        """A node is gone; its pods stay known in case it returns."""
        info = self.nodes.pop(name, None)
        if info is not None and info.pods:
            info.node = None
            info.allocatable = {}
            self.strays[name] = info

    def set_pod(self, pod: Pod) -> bool:
        """A bound pod appeared or changed; returns whether it gave room back (ended, shrank)."""
        uid = pod.metadata.uid
        self._assumed.discard(uid)
        before = self._node_of.get(uid)
        if not counts_on_node(pod):
            return self.remove_pod(uid) is not None
        if before is not None and before != pod.spec.node_name:
            self.remove_pod(uid)
        target = self._info(pod.spec.node_name)
        if target.refresh(pod):
            return False
        info = pod_info(pod)
        old = target.pods.get(uid)
        target.add(info)
        self._node_of[uid] = pod.spec.node_name
        if info.terms is not None and info.terms.anti:
            self._averse[uid] = info.terms
        return old is not None and any(
            info.requests.get(name, 0) < amount for name, amount in old.requests.items()
        )

    def remove_pod(self, uid: str) -> str | None:
        """A pod is gone or over; returns the node where it was counted, or None."""
        self._assumed.discard(uid)
        self._averse.pop(uid, None)
        name = self._node_of.pop(uid, None)
        if name is None:
            return None
        info = self.nodes.get(name) or self.strays.get(name)
        if info is not None:
            info.remove(uid)
            if info.node is None and not info.pods:
                self.strays.pop(name, None)
        return name

    def assume(self, info: PodInfo, node: str) -> None:
        """Count a pod on a node whose binding is on its way."""
        self._info(node).add(info)
        self._node_of[info.uid] = node
        if info.terms is not None and info.terms.anti:
            self._averse[info.uid] = info.terms
        self._assumed.add(info.uid)

    def forget(self, uid: str) -> str | None:
        """The binding failed: give the room back. Returns the node; None if it was confirmed."""
        return self.remove_pod(uid) if uid in self._assumed else None

    def is_assumed(self, uid: str) -> bool:
        """Whether a binding of this pod is on its way."""
        return uid in self._assumed

    def rules_for(self, info: PodInfo, where: Placement) -> Rules | None:
        """Which topology domains are open to a waiting pod; None if nobody has such terms."""
        if info.terms is None and not self._averse:
            return None
        averse = [
            (Place(node.metadata.labels, ()), terms)
            for uid, terms in self._averse.items()
            if (node := self._node(self._node_of.get(uid, ""))) is not None
        ]
        places = (
            [self._place(info, where, node) for node in self.nodes.values()] if info.terms else []
        )
        return rules(info.pod, info.terms, places, averse)

    def _node(self, name: str) -> Node | None:
        known = self.nodes.get(name)
        return None if known is None else known.node

    @staticmethod
    def _place(info: PodInfo, where: Placement, on: NodeInfo) -> Place:
        metadata = on.node.metadata if on.node is not None else ObjectMeta()
        taints = on.node.spec.taints if on.node is not None else []
        return Place(
            metadata.labels,
            [other.pod for other in on.pods.values()],
            where.match is None or where.match(metadata.labels, on.name),
            not taints or first_untolerated(taints, info.pod.spec.tolerations) is None,
        )

    def nominate(self, info: PodInfo, node: str) -> None:
        """Keep room on a node for a pod that preempted there; empty ``node``: no more."""
        self.drop_nomination(info.uid)
        if node:
            self.nominated.setdefault(node, []).append(info)
            self._nomination_of[info.uid] = node

    def drop_nomination(self, uid: str) -> None:
        """The pod is bound, gone, or lost its nomination."""
        node = self._nomination_of.pop(uid, None)
        if node is not None:
            left = [other for other in self.nominated.pop(node, []) if other.uid != uid]
            if left:
                self.nominated[node] = left

    def forget_all(self) -> None:
        """Forget every assumption: nobody is writing bindings any more."""
        for uid in list(self._assumed):
            self.forget(uid)

    def _info(self, name: str) -> NodeInfo:
        info = self.nodes.get(name) or self.strays.get(name)
        if info is None:
            info = self.strays[name] = NodeInfo(name)
        return info
