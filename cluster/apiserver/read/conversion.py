"""Two versions of one stored object: both event APIs, both autoscaling versions.

Source: spec api-machinery, section 19 ("Both APIs show the same objects"). Objects are stored in
one form (core/v1 Event, autoscaling/v2); the other version is made from it on the way out and
turned into it on the way in. Functions return new top-level trees and never change their argument.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource

Converter: TypeAlias = Callable[[JsonObject], JsonObject]
ListConverter: TypeAlias = Callable[[Sequence[JsonObject]], list[JsonObject]]


class Unconverted(Exception):
    """Objects whose other version only a conversion webhook knows, which has not been asked yet.

    Raised before anything has changed: await `ask`, which raises ApiError, and begin again.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.ask = ask


ASKS = 8
"""So often a request begins again; more than a few only if what was converted did not stay kept."""

_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_PRINTED_EMPTY_IN_CORE = ("reportingController", "reportingInstance")
"""Fields that the older version prints though they are empty, and the newer one does not."""
_EVENT_NAMES_BACK = {new: old for old, new in _EVENT_NAMES.items()}
_HPA_V1 = kinds.resource("autoscaling", "v1", "horizontalpodautoscalers")
_HPA_V2 = kinds.resource("autoscaling", "v2", "horizontalpodautoscalers")


def storage_resource(resource: Resource) -> Resource:
    """The version in which objects of `resource` are stored."""
    if resource is kinds.EVENTS_V1:
        return kinds.EVENTS
    return _HPA_V2 if resource is _HPA_V1 else resource


def converters(resource: Resource) -> tuple[Converter, Converter] | None:
    """(stored to served, served to stored), or None where they are the same."""
    if resource is kinds.EVENTS_V1:
        return _event_out, _event_in
    return (_hpa_out, _hpa_in) if resource is _HPA_V1 else None


def _event_out(tree: JsonObject) -> JsonObject:
    out = {_EVENT_NAMES.get(key, key): value for key, value in tree.items()}
    out["apiVersion"] = kinds.EVENTS_V1.api_version
    for key in _PRINTED_EMPTY_IN_CORE:
        if out.get(key) == "":
            del out[key]
    return out


def _event_in(tree: JsonObject) -> JsonObject:
    out = {_EVENT_NAMES_BACK.get(key, key): value for key, value in tree.items()}
    out["apiVersion"] = kinds.EVENTS.api_version
    return out


def _hpa_out(tree: JsonObject) -> JsonObject:
    spec = dict(tree.get("spec") or {})
    for metric in spec.pop("metrics", None) or ():
        resource = metric.get("resource") or {}
        utilization = (resource.get("target") or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and utilization is not None:
            spec["targetCPUUtilizationPercentage"] = utilization
    spec.pop("behavior", None)
    status = dict(tree.get("status") or {})
    status.pop("currentMetrics", None)
    status.pop("conditions", None)
    return {**tree, "apiVersion": "autoscaling/v1", "spec": spec, "status": status}


def _hpa_in(tree: JsonObject) -> JsonObject:
    spec = dict(tree.get("spec") or {})
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    status = dict(tree.get("status") or {})
    status.pop("currentCPUUtilizationPercentage", None)
    return {**tree, "apiVersion": "autoscaling/v2", "spec": spec, "status": status}
