"""Hints that keep traffic near: `spec.trafficDistribution` of a Service. Pure.

Source: spec endpoints-controllers 5; upstream k8s.io/endpointslice/trafficdist.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.controller.endpoints.objects import (
    Endpoint,
    EndpointHints,
    EndpointSlice,
    HintName,
    Service,
)
from kubeherd.controller.endpoints.packing import Changes

_SAME_NODE = "PreferSameNode"
_CLOSE = frozenset({"PreferClose", "PreferSameZone", _SAME_NODE})
_TOPOLOGY_ANNOTATIONS = (
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
)


def by_topology(service: Service) -> bool:
    """Whether the older annotation asks for hints by the share of CPUs of the zones."""
    annotations = service.metadata.annotations
    found = (annotations[name] for name in _TOPOLOGY_ANNOTATIONS if name in annotations)
    return next(found, "") in ("Auto", "auto")


def wanted(service: Service) -> bool:
    """Whether the Service asks for hints by `trafficDistribution`; the annotation goes before."""
    return service.spec.traffic_distribution in _CLOSE and not by_topology(service)


def with_hints(service: Service, changes: Changes, existing: Sequence[EndpointSlice]) -> Changes:
    """The same changes with the hints that the Service asks for, or without any.

    Slices that would stay as they are (of `existing`) are updated if their hints are others.
    """
    hinting = _Hinting(
        close=wanted(service), to_nodes=service.spec.traffic_distribution == _SAME_NODE
    )
    stale = [one for one in changes.unchanged(existing) if hinting.is_stale(one)]
    return Changes(
        create=[hinting.hinted(one) for one in changes.create],
        update=[hinting.hinted(one) for one in (*changes.update, *stale)],
        delete=changes.delete,
    )


class _Hinting(msgspec.Struct, frozen=True):
    """`close` False: no hints at all. Endpoints that are not ready keep what they have, if any."""

    close: bool
    to_nodes: bool

    def _passes_over(self, endpoint: Endpoint) -> bool:
        return self.close and not endpoint.conditions.ready

    def _hints(self, endpoint: Endpoint) -> EndpointHints | None:
        if not self.close:
            return None
        zones = [HintName(name=endpoint.zone)] if endpoint.zone else []
        with_node = self.to_nodes and endpoint.node_name
        nodes = [HintName(name=endpoint.node_name)] if with_node and endpoint.node_name else []
        return EndpointHints(for_zones=zones, for_nodes=nodes) if zones or nodes else None

    def is_stale(self, one: EndpointSlice) -> bool:
        return any(
            not self._passes_over(endpoint) and endpoint.hints != self._hints(endpoint)
            for endpoint in one.endpoints or ()
        )

    def hinted(self, one: EndpointSlice) -> EndpointSlice:
        if not self.is_stale(one):
            return one
        endpoints = [
            endpoint
            if self._passes_over(endpoint)
            else msgspec.structs.replace(endpoint, hints=self._hints(endpoint))
            for endpoint in one.endpoints or ()
        ]
        return msgspec.structs.replace(one, endpoints=endpoints)
