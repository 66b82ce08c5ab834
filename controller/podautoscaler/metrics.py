"""Where values come from (spec podautoscaler 2): metrics.k8s.io, or annotations. Pure.

What an adapter for custom or external metrics would know of a real cluster, here an annotation
says: `kubeherd.io/metric.NAME` of the autoscaler, or, for metrics of pods, of a pod itself.
"""

from collections.abc import Mapping, Sequence

from kubeherd.cluster.api import goduration, quantity
from kubeherd.cluster.api.helpers.scripts import PREFIX
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.podautoscaler.calculator import AgeOf, PodMetric

_ANNOTATION = f"{PREFIX}metric."
NO_CUSTOM = (
    "unable to fetch metrics from custom metrics API: no custom metrics API "
    "(custom.metrics.k8s.io) registered"
)
NO_RESOURCE = "no metrics returned from resource metrics API"


def no_external(name: str) -> str:
    """What the client says where there is no external metric of this name."""
    return (
        "unable to fetch metrics from external metrics API: the server could not find the "
        f"requested resource (get {name}.external.metrics.k8s.io)"
    )


def used(
    items: Sequence[JsonObject], resource: str, container: str, age_s: AgeOf
) -> dict[str, PodMetric]:
    """What pods use of a resource by their PodMetrics, all containers together or one of them."""
    out = {}
    for item in items:
        containers = item.get("containers") or ()
        if container:
            containers = [one for one in containers if one["name"] == container]
        amounts = [(one.get("usage") or {}).get(resource) for one in containers]
        known = [amount for amount in amounts if amount is not None]
        if not known or len(known) < len(amounts):
            continue
        out[item["metadata"]["name"]] = PodMetric(
            sum(quantity.parse(amount).milli_value() for amount in known),
            age_s(item["timestamp"]),
            goduration.nanoseconds(item.get("window") or "0") / 1e9,
        )
    return out


def annotated(annotations: Mapping[str, str], name: str) -> int | None:
    """The value that annotations give to a metric; None if they do not, or not in a quantity."""
    text = annotations.get(f"{_ANNOTATION}{name}")
    if text is None:
        return None
    try:
        return quantity.parse(text).milli_value()
    except ValueError:
        return None


def of_pods(pods: Sequence[Pod], name: str, annotations: Mapping[str, str]) -> dict[str, PodMetric]:
    """The values of a metric of pods: their own annotations, else the autoscaler's."""
    everywhere = annotated(annotations, name)
    out = {}
    for pod in pods:
        own = annotated(pod.metadata.annotations, name)
        value = everywhere if own is None else own
        if value is not None:
            out[pod.metadata.name] = PodMetric(value)
    return out
