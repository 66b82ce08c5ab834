"""The order in which Kubernetes writes ports: by a hash of how Go prints them. Pure.

Source: spec endpoints-controllers 7; upstream NewPortMapKey (k8s.io/endpointslice/util) sorts the
ports of a slice, SortSubsets (pkg/api/v1/endpoints) those of Endpoints, both by FNV-1a of 128 bits.
The two print different structs, so the orders differ. Only who compares texts cares, but such are
there: `kubectl get endpoints` shows addresses with the first ports.
"""

from collections.abc import Iterable
from functools import lru_cache

from kubeherd.controller.endpoints.objects import EndpointPort

_OFFSET = 0x6C62272E07BB014262B821756295C58D
_PRIME = (1 << 88) + 0x13B
_MASK = (1 << 128) - 1


def of_slice(ports: Iterable[EndpointPort]) -> list[EndpointPort]:
    """In the order of an EndpointSlice."""
    return sorted(ports, key=lambda port: _hash(_slice_port(port)))


def of_endpoints(ports: Iterable[EndpointPort]) -> list[EndpointPort]:
    """In the order of a subset of Endpoints."""
    return sorted(ports, key=lambda port: _hash(_subset_port(port)))


def _slice_port(port: EndpointPort) -> str:
    return (
        f"(v1.EndpointPort){{Name:(*string){_text(port.name)} "
        f"Protocol:(*v1.Protocol){_text(port.protocol)} Port:(*int32){_text(port.port)} "
        f"AppProtocol:(*string){_text(port.app_protocol)}}}"
    )


def _subset_port(port: EndpointPort) -> str:
    return (
        f"(v1.EndpointPort){{Name:(string){port.name or ''} Port:(int32){port.port or 0} "
        f"Protocol:(v1.Protocol){port.protocol or ''} "
        f"AppProtocol:(*string){_text(port.app_protocol)}}}"
    )


def _text(value: str | int | None) -> str | int:
    return "<nil>" if value is None else value


@lru_cache(maxsize=1024)
def _hash(printed: str) -> int:
    value = _OFFSET
    for byte in printed.encode():
        value = ((value ^ byte) * _PRIME) & _MASK
    return value
