"""A DaemonSet's pod template, compiled: everything that depends on the template alone.

Made once per DaemonSet generation and kept by the controller, so that a sync costs what its nodes
and pods cost, and creating a pod costs one shallow copy (spec sections 6, 9.1, 9.3). Invariant: the
trees handed out are shared; nobody changes them.
"""

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import DaemonSet
from kubeherd.controller.daemonset.model import GENERATION_ANNOTATION, GENERATION_LABEL, HASH_LABEL
from kubeherd.controller.daemonset.nodes import NodeRule, with_default_tolerations
from kubeherd.controller.daemonset.owner import owner
from kubeherd.controller.workload.pods.podtemplate import pod_from_template
from kubeherd.controller.workload.revisions import revision_data

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class Template:
    """The compiled template of one generation of a DaemonSet."""

    def __init__(self, daemonset: DaemonSet) -> None:
        self.selector = labels.from_selector(daemonset.spec.selector)
        self.rule = NodeRule(daemonset.spec.template)
        self.data = revision_data(daemonset.spec.template)
        self._daemonset = daemonset
        self._pod: JsonObject = {}
        self._pod_key: tuple[str, int | None] | None = None

    def pod(self, daemonset: DaemonSet, hash_: str, node_name: str) -> JsonObject:
        """The pod to create for a node; only the path to the node's name is not shared."""
        generation = template_generation(daemonset)
        if self._pod_key != (hash_, generation):
            self._pod = pod_tree(daemonset, hash_, generation)
            self._pod_key = (hash_, generation)
        return with_target_node(self._pod, node_name)


def template_generation(daemonset: DaemonSet) -> int | None:
    """The template's generation number from its annotation; None if absent or no integer."""
    text = daemonset.metadata.annotations.get(GENERATION_ANNOTATION, "")
    try:
        return int(text)
    except ValueError:
        return None


def pod_tree(daemonset: DaemonSet, hash_: str, generation: int | None) -> JsonObject:
    """The pod of a DaemonSet as it is for every node, still without its target (section 6)."""
    tree = pod_from_template(owner(daemonset), daemonset.spec.template)
    metadata, spec = tree["metadata"], dict(tree["spec"])
    metadata["labels"] = pod_labels(metadata.get("labels") or {}, hash_, generation)
    spec.pop("nodeName", None)
    spec["tolerations"] = with_default_tolerations(
        spec.get("tolerations") or (), host_network=bool(spec.get("hostNetwork"))
    )
    return {**tree, "spec": spec}


def pod_labels(template: dict[str, str], hash_: str, generation: int | None) -> dict[str, str]:
    """The template's labels with generation and hash added where they are known."""
    out = dict(template)
    if generation is not None:
        out[GENERATION_LABEL] = str(generation)
    if hash_:
        out[HASH_LABEL] = hash_
    return out


def with_target_node(pod: JsonObject, node_name: str) -> JsonObject:
    """The pod aimed at a node: its required node affinity is replaced (section 6)."""
    spec = pod["spec"]
    affinity = spec.get("affinity") or {}
    field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    node_affinity = {**(affinity.get("nodeAffinity") or {}), _REQUIRED: required}
    return {**pod, "spec": {**spec, "affinity": {**affinity, "nodeAffinity": node_affinity}}}
