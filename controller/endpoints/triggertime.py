"""When what made endpoints change happened: the annotation last-change-trigger-time. Pure.

Source: spec endpoints-controllers 6; upstream k8s.io/endpointslice/util/trigger_time_tracker.go.
Times are compared as texts: the server writes all of them in UTC and whole seconds.
"""

from collections.abc import Iterable

from kubeherd.cluster.api.objects import Pod
from kubeherd.controller.endpoints.objects import Service


class TriggerTimes:
    """What one Service and its pods looked like at the last sync."""

    __slots__ = ("_pods", "_service")

    def __init__(self) -> None:
        self._service = ""
        self._pods: dict[str, str] = {}

    def next(self, service: Service, pods: Iterable[Pod]) -> str:
        """The time that endpoints written now are to carry, "" for none: the earliest change since
        the last call; at the first one the Service's own beginning."""
        created = service.metadata.creation_timestamp
        times = {pod.metadata.name: when for pod in pods if (when := _ready_since(pod))}
        newer = [when for name, when in times.items() if when > self._pods.get(name, "")]
        if created > self._service:
            newer.append(created)
        first = not self._service
        self._service, self._pods = created, times
        return created if first else min(newer, default="")


def _ready_since(pod: Pod) -> str:
    """When the pod became ready or ceased to be."""
    condition = pod.status.condition("Ready")
    return (condition.last_transition_time or "") if condition is not None else ""
