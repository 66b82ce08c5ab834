"""The canonical form of the subsets of Endpoints, and how many addresses they may hold. Pure.

Source: spec endpoints-controllers 7; upstream pkg/api/v1/endpoints/util.go (RepackSubsets) and
pkg/controller/endpoint (truncateEndpoints). Decision: upstream orders subsets by a hash of all that
they say, a quarter of a megabyte for a thousand addresses; here the ports and the first address
decide. Whoever compares repacks first.
"""

import math
from collections.abc import Sequence

import msgspec

from kubeherd.controller.endpoints import portorder
from kubeherd.controller.endpoints.objects import (
    EndpointAddress,
    EndpointPort,
    EndpointSubset,
    PortKey,
)

MAX_CAPACITY = 1000

_AddressKey = tuple[str, str]
_NO_PORT = EndpointPort(port=-1)


class _Repacking:
    """Addresses by port; an address is known by its IP and the uid of what is behind it."""

    def __init__(self) -> None:
        self.addresses: dict[_AddressKey, EndpointAddress] = {}
        self.ports: dict[PortKey, EndpointPort] = {}
        self.ready: dict[PortKey, dict[_AddressKey, bool]] = {}

    def add(self, address: EndpointAddress, port: EndpointPort, *, ready: bool) -> None:
        """One address that is not ready once is not ready for this port at all."""
        key, port_key = _key(address), port.key()
        self.addresses.setdefault(key, address)
        self.ports.setdefault(port_key, port)
        by_address = self.ready.setdefault(port_key, {})
        by_address[key] = ready and by_address.get(key, True)

    def subsets(self) -> list[EndpointSubset]:
        """Ports with the same addresses in the same state make one subset."""
        alike: dict[frozenset[tuple[_AddressKey, bool]], list[PortKey]] = {}
        for port_key, by_address in self.ready.items():
            alike.setdefault(frozenset(by_address.items()), []).append(port_key)
        made = []
        for port_keys in alike.values():
            by_address = self.ready[port_keys[0]]
            keys = sorted(by_address)
            ports = portorder.of_endpoints(self.ports[key] for key in port_keys if key.port > 0)
            made.append(
                EndpointSubset(
                    addresses=[self.addresses[key] for key in keys if by_address[key]],
                    not_ready_addresses=[
                        self.addresses[key] for key in keys if not by_address[key]
                    ],
                    ports=ports,
                )
            )
        return sorted(made, key=_order)


def _key(address: EndpointAddress) -> _AddressKey:
    ref = address.target_ref
    return address.ip, ref.uid if ref is not None else ""


def _order(subset: EndpointSubset) -> tuple[list[PortKey], list[_AddressKey]]:
    both = (*subset.addresses, *subset.not_ready_addresses)
    return [port.key() for port in subset.ports], [_key(address) for address in both[:1]]


def repack(subsets: Sequence[EndpointSubset]) -> list[EndpointSubset]:
    """The same addresses and ports in as few subsets as can be, each address once for a port."""
    repacking = _Repacking()
    for subset in subsets:
        for port in subset.ports or (_NO_PORT,):
            for address in subset.addresses:
                repacking.add(address, port, ready=True)
            for address in subset.not_ready_addresses:
                repacking.add(address, port, ready=False)
    return repacking.subsets()


def size(subsets: Sequence[EndpointSubset]) -> int:
    """How many addresses there are."""
    return sum(len(one.addresses) + len(one.not_ready_addresses) for one in subsets)


def truncate(subsets: Sequence[EndpointSubset], limit: int = MAX_CAPACITY) -> list[EndpointSubset]:
    """At most `limit` addresses: ready ones first, each subset in proportion, rounded up for as
    long as there is room."""
    if size(subsets) <= limit:
        return list(subsets)
    ready = sum(len(one.addresses) for one in subsets)
    cut_ready = ready > limit
    total = ready if cut_ready else size(subsets) - ready
    room = left = limit if cut_ready else limit - ready
    out = []
    for one in subsets:
        several = one.addresses if cut_ready else one.not_ready_addresses
        kept = several[: min(left, math.ceil(len(several) / total * room))]
        left -= len(kept)
        out.append(
            msgspec.structs.replace(
                one,
                addresses=kept if cut_ready else one.addresses,
                not_ready_addresses=[] if cut_ready else kept,
            )
        )
    return out
