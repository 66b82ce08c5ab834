"""The ReplicaSet that a Deployment makes for a template (section 6).

Invariant: name, labels, selector and template follow from the Deployment's template and collision
count alone, so that the same Deployment never makes two.
"""

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DEPLOYMENTS, REPLICASETS
from kubeherd.cluster.api.objects import LabelSelector, ObjectMeta
from kubeherd.controller.deployment import annotations
from kubeherd.controller.deployment.template import HASH_LABEL, replica_set_name, with_hash
from kubeherd.controller.workload.apps import Deployment, ReplicaSet, ReplicaSetSpec
from kubeherd.controller.workload.claim import Owner, owner_reference
from kubeherd.controller.workload.gohash import template_hash


def owner(deployment: Deployment) -> Owner:
    """The Deployment as what claims ReplicaSets."""
    return Owner(DEPLOYMENTS, deployment.metadata)


def new_replica_set(deployment: Deployment, revision: int) -> ReplicaSet:
    """The ReplicaSet, as yet without pods."""
    hash_ = template_hash(deployment.spec.template, deployment.status.collision_count)
    template = with_hash(deployment.spec.template, hash_)
    selector = deployment.spec.selector or LabelSelector()
    noted = annotations.of_new(deployment, {}, revision)
    return ReplicaSet(
        metadata=ObjectMeta(
            name=replica_set_name(deployment.metadata.name, hash_),
            namespace=deployment.metadata.namespace,
            labels=template["metadata"]["labels"],
            annotations=annotations.with_sizes(noted, deployment),
        ),
        spec=ReplicaSetSpec(
            replicas=0,
            min_ready_seconds=deployment.spec.min_ready_seconds,
            selector=msgspec.structs.replace(
                selector, match_labels={**selector.match_labels, HASH_LABEL: hash_}
            ),
            template=template,
        ),
    )


def tree_of(deployment: Deployment, new: ReplicaSet) -> JsonObject:
    """What is sent to make it."""
    tree: JsonObject = msgspec.to_builtins(new)
    tree["metadata"]["ownerReferences"] = [owner_reference(owner(deployment))]
    return {"apiVersion": REPLICASETS.api_version, "kind": REPLICASETS.kind, **tree}
