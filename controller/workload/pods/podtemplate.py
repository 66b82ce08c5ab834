"""A pod made from a workload's template (pkg/controller/controller_utils.go, GetPodFromTemplate).

Invariant: the tree shares all below its metadata with the template; nobody changes either.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import PODS
from kubeherd.controller.workload.claim import Owner, owner_reference


def pod_from_template(owner: Owner, template: JsonObject) -> JsonObject:
    """The pod to create, without a name: labels, annotations, finalizers and spec are the
    template's, all else of its metadata is dropped."""
    wanted = template.get("metadata") or {}
    metadata: JsonObject = {
        "generateName": f"{owner.metadata.name}-",
        "namespace": owner.metadata.namespace,
        "ownerReferences": [owner_reference(owner)],
    }
    for copied in ("labels", "annotations", "finalizers"):
        if wanted.get(copied):
            metadata[copied] = wanted[copied]
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }
