"""Addresses without a coordinator: each node has an index, from which its IP and pod range follow.

Index i owns the node address 10.0.0.0 + 16 + i and the pod range number i of the /24 ranges that
start at 10.244.0.0 and go on at 10.128.0.0. Nodes called `node-<i>` have index i; for any other
name the part before its trailing number is hashed into the upper half and the number added, so that
nodes of one naming scheme never meet; whoever registers a node passes over indexes that it knows to
be taken. The range is recorded in the Node's annotation `kubeherd.io/pod-cidr`; a spec.podCIDR goes
before it. Invariant: addresses of different indexes never overlap.
"""

import hashlib
import ipaddress
import re
from collections.abc import Collection
from typing import Final

RANGES: Final = 32_768
_NUMBERED: Final = 16_384
"""Indexes below this are for numbered nodes, the others for hashed names."""
_FIRST_RANGE: Final = int(ipaddress.IPv4Address("10.244.0.0")) >> 8
_LOWEST_RANGE: Final = int(ipaddress.IPv4Address("10.128.0.0")) >> 8
_FIRST_NODE: Final = int(ipaddress.IPv4Address("10.0.0.16"))
_NUMBERED_NAME: Final = re.compile(r"node-(0|[1-9][0-9]{0,4})")
FIRST_POD_HOST: Final = 2
LAST_POD_HOST: Final = 254
MAX_PODS: Final = LAST_POD_HOST - FIRST_POD_HOST + 1


def index_for(name: str, taken: Collection[int] = ()) -> int:
    """The index a node of this name should claim; `taken`: indexes of other nodes."""
    match = _NUMBERED_NAME.fullmatch(name)
    if match and int(match[1]) < _NUMBERED and int(match[1]) not in taken:
        return int(match[1])
    prefix, number = _split(name)
    start = int.from_bytes(hashlib.sha256(prefix.encode()).digest()[:4], "big") + number
    span = RANGES - _NUMBERED
    for offset in range(span):
        index = _NUMBERED + (start + offset) % span
        if index not in taken:
            return index
    raise ValueError("every pod range is taken")


def _split(name: str) -> tuple[str, int]:
    """A name without its trailing number, and that number: `worker-12` and 12."""
    prefix = name.rstrip("0123456789")
    return prefix, int(name[len(prefix) :][-9:] or 0)


def is_numbered(name: str) -> bool:
    """Whether the name alone gives an index that no other name shares."""
    match = _NUMBERED_NAME.fullmatch(name)
    return match is not None and int(match[1]) < _NUMBERED


def pod_cidr(index: int) -> str:
    """The pod range of an index, such as ``10.244.3.0/24``."""
    number = _LOWEST_RANGE + (_FIRST_RANGE - _LOWEST_RANGE + index) % RANGES
    return f"{ipaddress.IPv4Address(number << 8)}/24"


def index_of(cidr: str) -> int | None:
    """The index whose range this is, or None if it is none of ours."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError:
        return None
    number = int(network.network_address) >> 8
    if network.prefixlen != 24 or not _LOWEST_RANGE <= number < _LOWEST_RANGE + RANGES:
        return None
    return (number - _FIRST_RANGE) % RANGES


def node_ip(index: int) -> str:
    """The InternalIP of the node with this index."""
    return str(ipaddress.IPv4Address(_FIRST_NODE + index))


class PodAddresses:
    """The free addresses of one pod range; hands them out in turn, so that reuse comes late."""

    def __init__(self, cidr: str) -> None:
        network = ipaddress.IPv4Network(cidr)
        self._base = int(network.network_address)
        self._last = max(FIRST_POD_HOST, network.num_addresses - 2)
        self._next = FIRST_POD_HOST
        self._used: set[str] = set()

    def take(self) -> str:
        """A free address, or "" if the range is exhausted."""
        for _ in range(FIRST_POD_HOST, self._last + 1):
            address = str(ipaddress.IPv4Address(self._base + self._next))
            self._next = self._next + 1 if self._next < self._last else FIRST_POD_HOST
            if address not in self._used:
                self._used.add(address)
                return address
        return ""

    def reserve(self, address: str) -> None:
        """Mark an address of an adopted pod as used."""
        self._used.add(address)

    def release(self, address: str) -> None:
        self._used.discard(address)
