"""Object references for the events of controllers (spec api-machinery, 19)."""

from kubeherd.cluster.api.objects import Node, ObjectMeta, Pod
from kubeherd.cluster.client.events import ObjectReference


def reference(api_version: str, kind: str, meta: ObjectMeta) -> ObjectReference:
    """A reference to any object by its metadata."""
    return ObjectReference(
        api_version=api_version,
        kind=kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )


def pod_reference(pod: Pod) -> ObjectReference:
    """A reference to a pod."""
    return reference("v1", "Pod", pod.metadata)


def node_reference(node: Node) -> ObjectReference:
    """A reference to a node with its real uid."""
    return reference("v1", "Node", node.metadata)
