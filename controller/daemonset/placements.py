"""The placements of all DaemonSets, kept up to date from the caches.

An event only notes which pod or node has changed; the next sync of the DaemonSet reads that from
the caches. Invariants: a placement that is returned agrees with the caches; only DaemonSets that
are in the cache have one. A DaemonSet that is not synced must not collect notes for ever: when
there are too many its placement is dropped, and made anew by the next sync.
"""

from kubeherd.cluster.api.objects import DaemonSet, Node, Pod
from kubeherd.cluster.client.cache import Cache
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.daemonset.placement import Placement
from kubeherd.controller.daemonset.site import PodKey, key_of
from kubeherd.controller.daemonset.template import Template
from kubeherd.controller.workload.pods import podindex

NOTED_LIMIT = 1000
"""So many changed pods, or nodes, may be noted, and two more for each that there is."""


class _Kept:
    """A placement, and the pods and nodes that have changed since the last sync."""

    __slots__ = ("namespace", "nodes", "placement", "pods")

    def __init__(self, placement: Placement, namespace: str) -> None:
        self.placement = placement
        self.namespace = namespace
        self.pods: set[PodKey] = set()
        self.nodes: set[str] = set()


class Placements:
    """A placement for each DaemonSet that was synced."""

    def __init__(self, daemonsets: Cache[DaemonSet], pods: Cache[Pod], nodes: Cache[Node]) -> None:
        """`pods` has the indices of `podindex.add_index`."""
        self._daemonsets = daemonsets
        self._pods = pods
        self._nodes = nodes
        self._kept: dict[str, _Kept] = {}

    def current(self, daemonset: DaemonSet, template: Template) -> Placement:
        """The placement of a DaemonSet, by this template, as the caches are now."""
        metadata = daemonset.metadata
        kept = self._kept.get(metadata.uid)
        if kept is None or kept.placement.template is not template:
            placement = self._make(daemonset, template)
            cached = self._daemonsets.get(metadata.namespace, metadata.name)
            if cached is not None and cached.metadata.uid == metadata.uid:
                self._kept[metadata.uid] = _Kept(placement, metadata.namespace)
            return placement
        for name in kept.nodes:
            kept.placement.put_node(name, self._nodes.get("", name))
        for key in kept.pods:
            kept.placement.put_pod(key, self._pods.get(*key))
        kept.nodes.clear()
        kept.pods.clear()
        return kept.placement

    def forget(self, daemonset: DaemonSet) -> None:
        """The DaemonSet is gone."""
        self._kept.pop(daemonset.metadata.uid, None)

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """A pod was added (`old` None), deleted (`new` None) or updated."""
        before = None if old is None else old.metadata.owner_references
        if old is not None and (new is None or before != new.metadata.owner_references):
            self._note_of(old)
        if new is not None:
            self._note_of(new)

    def node_changed(self, name: str) -> None:
        """A node was added or deleted, or what decides about its pods was changed."""
        for uid, kept in list(self._kept.items()):
            kept.nodes.add(name)
            if len(kept.nodes) > NOTED_LIMIT + 2 * len(self._nodes):
                del self._kept[uid]

    def _make(self, daemonset: DaemonSet, template: Template) -> Placement:
        placement = Placement(owner(daemonset), template)
        for node in self._nodes.values():
            placement.put_node(node.metadata.name, node)
        for pod in podindex.candidates(self._pods, daemonset.metadata):
            placement.put_pod(key_of(pod), pod)
        return placement

    def _note_of(self, pod: Pod) -> None:
        controller = pod.metadata.controller()
        if controller is None:
            self._note_orphan(pod)
        elif controller.uid in self._kept:
            self._note(controller.uid, key_of(pod))

    def _note_orphan(self, pod: Pod) -> None:
        """Note a pod without a controller for all DaemonSets of its namespace: any may adopt it."""
        namespace = pod.metadata.namespace
        for uid in [uid for uid, kept in self._kept.items() if kept.namespace == namespace]:
            self._note(uid, key_of(pod))

    def _note(self, uid: str, key: PodKey) -> None:
        kept = self._kept[uid]
        kept.pods.add(key)
        if len(kept.pods) > NOTED_LIMIT + 2 * len(kept.placement.pods):
            del self._kept[uid]
