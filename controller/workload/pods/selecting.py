"""Pods that a selector selects in a namespace, found without looking at those of others."""

from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.cache import Cache

_INDEX = "namespace"


def add_index(cache: Cache[Pod]) -> None:
    """Index a cache of pods by namespace; whoever comes second gets the same index."""
    cache.add_index(_INDEX, lambda pod: pod.metadata.namespace)


def selected(cache: Cache[Pod], namespace: str, selector: Selector) -> list[Pod]:
    """The pods of a namespace that match."""
    return [
        pod for pod in cache.by_index(_INDEX, namespace) if selector.matches(pod.metadata.labels)
    ]
