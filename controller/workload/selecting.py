"""Pods that a selector selects in a namespace, found without looking at those of others."""

from collections.abc import Iterable, Mapping

from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.objects import LabelSelector, Pod
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


def go_text(selector: LabelSelector | None) -> str:
    """A selector as messages of Kubernetes show it: what ``String()`` of the Go struct gives."""
    if selector is None:
        return "nil"
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one.key},Operator:{one.operator},"
        f"Values:[{' '.join(one.values)}],}},"
        for one in selector.match_expressions
    )
    return (
        f"&LabelSelector{{MatchLabels:{_map_text(selector.match_labels)},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def _map_text(labels: Mapping[str, str]) -> str:
    pairs: Iterable[str] = (f"{key}: {labels[key]}," for key in sorted(labels))
    return f"map[string]string{{{''.join(pairs)}}}"
