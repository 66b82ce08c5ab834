"""Pod templates of Deployments and of their ReplicaSets (section 4).

Invariant: two templates are the same exactly when Go's values of them are (`semantic`), whatever
hash label they carry; a ReplicaSet's name follows from the Deployment's name and template alone,
so that making it twice is refused.
"""

from collections.abc import Callable

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.controller.deployment import semantic
from kubeherd.controller.workload.apps import Deployment, ReplicaSet

HASH_LABEL = "pod-template-hash"
_STRUCT = "core.v1.PodTemplateSpec"
_MAX_NAME_LENGTH = 253


def same_template(one: JsonObject, other: JsonObject) -> bool:
    """Whether two templates differ in nothing but the hash label."""
    return semantic.equal(_STRUCT, without_hash(one), without_hash(other))


def is_template_of(deployment: Deployment) -> Callable[[ReplicaSet], bool]:
    """Tells whether a ReplicaSet has the template of this Deployment."""
    wanted = without_hash(deployment.spec.template)
    return lambda one: semantic.equal(_STRUCT, wanted, without_hash(one.spec.template))


def without_hash(template: JsonObject) -> JsonObject:
    """The template without the hash label; what does not carry it is shared."""
    metadata = template.get("metadata") or {}
    labels = metadata.get("labels") or {}
    if HASH_LABEL not in labels:
        return template
    rest = {key: value for key, value in labels.items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": rest}}


def with_hash(template: JsonObject, hash_: str) -> JsonObject:
    """The template with the hash label."""
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: hash_}
    return {**template, "metadata": {**metadata, "labels": labels}}


def replica_set_name(deployment_name: str, hash_: str) -> str:
    """``NAME-HASH``, the name cut off if both are too long for an object's name."""
    room = _MAX_NAME_LENGTH - len(hash_) - 1
    kept = deployment_name[:room] if room > 0 else deployment_name
    return f"{kept}-{hash_}"
