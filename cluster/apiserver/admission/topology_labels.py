"""PodTopologyLabels: a binding carries the node's zone and region over to the pod.

Source: spec api-machinery, section 20.
"""

import orjson

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

_KEYS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


def copy_node_labels(request: AdmissionRequest, lookup: Lookup) -> None:
    """Copy the topology labels of the target node onto the Binding, if the node exists."""
    binding = request.new or {}
    name = (binding.get("target") or {}).get("name", "")
    stored = lookup.json(kinds.NODES, "", name) if name else None
    if stored is None or not any(key.encode() in stored for key in _KEYS):
        return
    labels = orjson.loads(stored)["metadata"].get("labels") or {}
    copied = {key: labels[key] for key in _KEYS if key in labels}
    if copied:
        meta = binding.setdefault("metadata", {})
        meta["labels"] = {**(meta.get("labels") or {}), **copied}
