"""The watches of pods and Nodes that the nodes of a process share, and who is told what of them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.listwatch import ListWatch
from kubeherd.cluster.client.reflector import Reflector
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng


class Listener(Protocol):
    """Who is told of one node: its pods, and its Node."""

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """A pod of the node changed; `old` None: it is new, `new` None: it is gone."""

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        """The Node changed, as `pod_changed`."""

    def relisted(self, node: Node | None, pods: Sequence[Pod]) -> None:
        """All that there is now, whatever was told before."""


Tap = Callable[[Listener], Listener]
"""Makes what stands between the watches and a listener."""


class Watches:
    """The watches of pods and Nodes that one or all nodes of the process use."""

    def __init__(self, client: ApiClient, clock: Clock, rng: Rng, names: Sequence[str]) -> None:
        """`names`: the nodes; of a single one by the field selectors that a kubelet uses."""
        alone = len(names) == 1
        several = frozenset(() if alone else names)
        pods = ListWatch(
            PODS,
            Pod,
            field_selector=f"spec.nodeName={names[0]}" if alone else "spec.nodeName!=",
            nodes=several,
        )
        nodes = ListWatch(
            NODES,
            Node,
            field_selector=f"metadata.name={names[0]}" if alone else "",
            nodes=several,
        )
        self.pods = Reflector(client, pods, clock=clock, rng=rng.child("pods"))
        self.nodes = Reflector(client, nodes, clock=clock, rng=rng.child("nodes"))
        self._listeners: dict[str, Listener] = {}
        self._taps: dict[str, Tap] = {}
        self._told: dict[str, Listener] = {}
        """The listeners, or what stands before them."""
        self.pods.on_change(self._pod_changed)
        self.nodes.on_change(self._node_changed)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Run both watches as tasks of the owner."""
        tasks.create_task(self.pods.run(), name="watch-pods")
        tasks.create_task(self.nodes.run(), name="watch-nodes")

    def attach(self, name: str, listener: Listener) -> None:
        """From now on tell the listener of this node; begins with all that is known."""
        self._listeners[name] = listener
        self._route(name)
        self._bring_up_to_date(name)

    def detach(self, name: str) -> None:
        """The node's listener is told nothing more."""
        self._listeners.pop(name, None)
        self._route(name)

    def divert(self, name: str, tap: Tap | None) -> None:
        """What the node's listener is told, the present one and those after it, goes through a tap
        from now on; None: straight to it again, which begins with all that is known."""
        if tap is not None:
            self._taps[name] = tap
        else:
            self._taps.pop(name, None)
        self._route(name)
        if tap is None:
            self._bring_up_to_date(name)

    def _route(self, name: str) -> None:
        listener, tap = self._listeners.get(name), self._taps.get(name)
        if listener is None:
            self._told.pop(name, None)
        else:
            self._told[name] = listener if tap is None else tap(listener)

    def _bring_up_to_date(self, name: str) -> None:
        """Pods that have an address come first: it stays theirs."""
        told = self._told.get(name)
        if told is not None:
            known = [pod for pod in self.pods.cache.values() if pod.spec.node_name == name]
            known.sort(key=lambda pod: not pod.status.pod_ip)
            told.relisted(self.nodes.cache.get("", name), known)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and old.spec.node_name != new.spec.node_name:
            # After a list: another pod of the same name, and the end of the first went unseen.
            self._pod_changed(old, None)
            self._pod_changed(None, new)
            return
        pod = new or old
        told = self._told.get(pod.spec.node_name) if pod is not None else None
        if told is not None:
            told.pod_changed(old, new)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        changed = new or old
        told = self._told.get(changed.metadata.name) if changed is not None else None
        if told is not None:
            told.node_changed(old, new)
