"""Which Services select a pod, and which pods a Service selects, by indices of their caches.

Invariant: neither question looks at more than the Services that share a label with the pod, or the
pods that have one of the Service's labels. Source: spec endpoints-controllers 1; upstream
k8s.io/endpointslice/util/controller_utils.go.
"""

from collections.abc import Mapping

from kubeherd.cluster.api.objects import Pod
from kubeherd.cluster.client.cache import Cache, Key, key_of
from kubeherd.controller.endpoints import pods
from kubeherd.controller.endpoints.objects import Service

_INDEX = "endpoints"


class Matching:
    """The two caches, seen together. Several may look at the same ones."""

    def __init__(self, services: Cache[Service], selectable: Cache[Pod]) -> None:
        self._services = services
        self._pods = selectable
        services.add_index(_INDEX, _service_terms)
        selectable.add_index(_INDEX, _pod_terms)

    def concerned(self, old: Pod | None, new: Pod | None) -> set[Key]:
        """The Services whose endpoints a change of a pod may change."""
        if old is None or new is None:
            pod = old or new
            return set() if pod is None else self._selecting(pod)
        moved, changed = pods.membership_changed(old, new), pods.endpoint_changed(old, new)
        if not moved:
            return self._selecting(new) if changed else set()
        before, after = self._selecting(old), self._selecting(new)
        return before | after if changed else before ^ after

    def selected_by(self, service: Service) -> list[Pod]:
        """The pods that the Service selects; one that selects nothing in particular selects all."""
        namespace, selector = service.metadata.namespace, service.spec.selector or {}
        if not selector:
            return [pod for pod in self._pods.values() if pod.metadata.namespace == namespace]
        terms = [_term(namespace, *pair) for pair in selector.items()]
        fewest = min((self._pods.by_index(_INDEX, term) for term in terms), key=len)
        return [pod for pod in fewest if _matches(selector, pod.metadata.labels)]

    def _selecting(self, pod: Pod) -> set[Key]:
        labels = pod.metadata.labels
        return {
            key_of(service)
            for term in (*_pod_terms(pod), _term(pod.metadata.namespace))
            for service in self._services.by_index(_INDEX, term)
            if _matches(service.spec.selector or {}, labels)
        }


def _term(namespace: str, label: str = "", value: str = "") -> str:
    return f"{namespace}/{label}={value}"


def _service_terms(service: Service) -> list[str]:
    """One of the labels that it selects by; which one does not matter."""
    if not service.has_endpoints_made:
        return []
    pair = min((service.spec.selector or {}).items(), default=())
    return [_term(service.metadata.namespace, *pair)]


def _pod_terms(pod: Pod) -> list[str]:
    return [_term(pod.metadata.namespace, *pair) for pair in pod.metadata.labels.items()]


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(label) == value for label, value in selector.items())
