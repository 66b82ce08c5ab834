"""Addresses of Services: a cluster IP, node ports, the IP family.

In Kubernetes the registry allocates them; nothing answers at them here, but programs read them, and
a Service without one looks headless. Invariants: no two Services share an address or a node port;
an update that leaves them out keeps them. The choice depends on the name only, so that the same
manifest gets the same address in every run.
"""

import zlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import value
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

SERVICES = kinds.resource("", "v1", "services")
CLUSTER_RANGE = IPv4Network("10.96.0.0/12")
NODE_PORTS = range(30000, 32768)
_STATIC_ADDRESSES = 256
"""The lower end of the range is left to those who ask for an address by number."""


def allocate(request: AdmissionRequest, lookup: Lookup) -> None:
    """Fill in what the Service lacks; 422 for an address that is taken or out of range."""
    service = request.new or {}
    spec = service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    if kind not in ("ClusterIP", "NodePort", "LoadBalancer"):
        return
    old = (request.old or {}).get("spec") or {}
    others = [
        other["spec"]
        for other in lookup.list(SERVICES)
        if (other["metadata"]["namespace"], other["metadata"]["name"])
        != (request.namespace, request.name)
    ]
    seed = zlib.crc32(f"{request.namespace}/{request.name}".encode())
    _set_address(request, spec, old, others, seed)
    if kind == "ClusterIP":
        _drop_node_ports(spec, old)
    elif spec.get("allocateLoadBalancerNodePorts", True):
        _set_node_ports(spec, old, others, seed)


def _set_address(
    request: AdmissionRequest,
    spec: JsonObject,
    old: JsonObject,
    others: list[JsonObject],
    seed: int,
) -> None:
    address = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    address = address or old.get("clusterIP", "")
    taken = {other.get("clusterIP") for other in others}
    if not address:
        usable = CLUSTER_RANGE.num_addresses - _STATIC_ADDRESSES - 1
        address = next(
            text
            for at in range(usable)
            if (text := str(CLUSTER_RANGE[_STATIC_ADDRESSES + (seed + at) % usable])) not in taken
        )
    elif address not in ("None", old.get("clusterIP")):
        _check(request, address, taken)
    spec["clusterIP"] = address
    spec["clusterIPs"] = [address]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


def _check(request: AdmissionRequest, address: str, taken: set[str | None]) -> None:
    try:
        inside = IPv4Address(address) in CLUSTER_RANGE
    except ValueError:
        why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        raise _invalid(request, "spec.clusterIPs[0]", value(address), why) from None
    why = ""
    if not inside:
        why = (
            f"the provided IP ({address}) is not in the valid range. The range of valid IPs is "
            f"{CLUSTER_RANGE}"
        )
    elif address in taken:
        why = "provided IP is already allocated"
    if why:
        why = f"failed to allocate IP {address}: {why}"
        raise _invalid(request, "spec.clusterIPs", value([address]), why)


def _invalid(request: AdmissionRequest, field: str, shown: str, why: str) -> errors.Invalid:
    cause = Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)
    return errors.invalid("", "Service", request.name, [cause])


def _set_node_ports(spec: JsonObject, old: JsonObject, others: list[JsonObject], seed: int) -> None:
    before = {_key(port): port.get("nodePort") for port in old.get("ports") or ()}
    taken = {port.get("nodePort") for other in (*others, spec) for port in other.get("ports") or ()}
    free = _free_ports(taken | set(before.values()), seed)
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            port["nodePort"] = before.get(_key(port)) or next(free, 0)


def _drop_node_ports(spec: JsonObject, old: JsonObject) -> None:
    """What a Service that is no longer of type NodePort only has left over from that time."""
    left = {port.get("nodePort") for port in old.get("ports") or ()}
    for port in spec.get("ports") or ():
        if port.get("nodePort") in left:
            port.pop("nodePort", None)
    if old.get("type") != "ClusterIP" and spec.get("externalTrafficPolicy") == old.get(
        "externalTrafficPolicy"
    ):
        spec.pop("externalTrafficPolicy", None)


def _key(port: JsonObject) -> tuple[object, object]:
    return port.get("port"), port.get("protocol", "TCP")


def _free_ports(taken: set[int | None], seed: int) -> Iterator[int]:
    size = len(NODE_PORTS)
    candidates = (NODE_PORTS[(seed + at) % size] for at in range(size))
    return (port for port in candidates if port not in taken)
