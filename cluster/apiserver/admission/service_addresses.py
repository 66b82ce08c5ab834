"""Addresses of Services: a cluster IP, the IP family; node ports are in `service_ports`.

In Kubernetes the registry allocates them; nothing answers at them here, but programs read them, and
a Service without one looks headless. Invariants: no two Services share an address, for an IPAddress
of its name is stored with the Service (`write.ipaddresses`); an update that leaves it out keeps
it. The choice depends on the name only, so that the same manifest gets the same address in every
run.

Source: spec service-allocation, section 2. Decision: the
cluster's own range is always there, even while its ServiceCIDR is not.
"""

import zlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import chain

from kubeherd.cluster.api import errors, kinds, names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import value
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid
from kubeherd.cluster.api.validation.networking.service import (
    cluster_ips,
    family_of,
    is_headless,
)
from kubeherd.cluster.apiserver.admission import service_ports
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

CLUSTER_RANGE = IPv4Network("10.96.0.0/16")
_EXTERNAL = "ExternalName"


def allocate(request: AdmissionRequest, lookup: Lookup) -> None:
    """Fill in what the Service lacks; 422 for an address or a node port that is taken or out of
    range, and for families that the cluster does not have."""
    spec = (request.new or {}).get("spec") or {}
    old = (request.old or {}).get("spec") or {}
    seed = zlib.crc32(f"{request.namespace}/{request.name}".encode())
    service_ports.keep(spec, old)
    _keep_addresses(spec, old)
    if spec.get("type") != _EXTERNAL:
        _set_families(request, spec, old)
        if not is_headless(spec) and old.get("type", _EXTERNAL) == _EXTERNAL:
            _set_address(request, spec, lookup, seed)
    service_ports.allocate(request, spec, old, lookup, seed)


def refuse_taken(name: str, address: str) -> None:
    """422: another Service has the address."""
    cause = _failed([address], address, "provided IP is already allocated")
    raise errors.invalid("", "Service", name, [cause])


def _keep_addresses(spec: JsonObject, old: JsonObject) -> None:
    """clusterIP and clusterIPs say the same; what an update leaves out stays."""
    if old and "ExternalName" not in (spec.get("type"), old.get("type")):
        for name in ("clusterIP", "clusterIPs"):
            if not spec.get(name) and old.get(name):
                spec[name] = old[name]
    first, before = spec.get("clusterIP", ""), old.get("clusterIP", "")
    same = spec.get("clusterIPs", []) == old.get("clusterIPs", [])
    if first and (not spec.get("clusterIPs") if not old else same and first != before):
        spec["clusterIPs"] = [first]
    elif before and not first and same:
        spec.pop("clusterIPs", None)


def _set_families(request: AdmissionRequest, spec: JsonObject, old: JsonObject) -> None:
    anywhere = spec.get("clusterIP") == "None" and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        default = "RequireDualStack" if anywhere else "SingleStack"
        spec["ipFamilyPolicy"] = old.get("ipFamilyPolicy") or default
    _refuse(request, cluster_ips(spec, old))
    policy, families = spec["ipFamilyPolicy"], list(spec.get("ipFamilies") or ())
    if policy == "SingleStack" and families == old.get("ipFamilies"):
        families = families[:1]  # the policy alone says that the second one goes
    ips = [text for text in spec.get("clusterIPs") or () if text != "None"]
    causes = []
    if policy == "SingleStack":
        detail = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
        causes += [
            invalid("spec.ipFamilyPolicy", policy, detail.format(what))
            for what, items in (("cluster IPs", ips), ("IP families", families))
            if len(items) == 2
        ]
    for index, text in enumerate(ips):
        if index >= len(families):
            families.append(family_of(text))
            if families[-1] != "IPv4":
                detail = "IPv6 is not configured on this cluster"
                causes.append(invalid(f"spec.clusterIPs[{index}]", ips, detail))
    _refuse(request, causes)
    if anywhere:
        families = families or ["IPv4"]
        if len(families) < 2 and policy != "SingleStack":
            families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    else:
        _refuse(request, _not_configured(policy, families))
    spec["ipFamilies"] = families or ["IPv4"]


def _not_configured(policy: str, families: list[str]) -> list[Cause]:
    """The cluster's Services have IPv4 addresses only."""
    causes = []
    if policy == "RequireDualStack":
        detail = "this cluster is not configured for dual-stack services"
        causes.append(invalid("spec.ipFamilyPolicy", policy, detail))
    return causes + [
        invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(families)
        if family != "IPv4"
    ]


def _refuse(request: AdmissionRequest, causes: list[Cause]) -> None:
    if causes:
        raise errors.invalid("", "Service", request.name, causes)


def _set_address(request: AdmissionRequest, spec: JsonObject, lookup: Lookup, seed: int) -> None:
    address = spec.get("clusterIP", "")
    if address:
        if why := _why_not(request, address, lookup):
            _refuse(request, [_failed(spec["clusterIPs"], address, why)])
        return
    if request.dry_run:
        address = str(CLUSTER_RANGE.network_address)  # one that no Service can have
    else:
        candidates = chain.from_iterable(_candidates(one, seed) for one in _ranges_of(lookup))
        address = next((one for one in candidates if not _is_taken(one, lookup)), "")
        if not address:
            why = f"failed to allocate a serviceIP for Service {value(request.name)}: range is full"
            text = f"Internal error occurred: {why}"
            raise errors.InternalError(text, details={"causes": [{"message": why}]})
        _check_owner(request, address)
    spec["clusterIP"] = address
    spec["clusterIPs"] = [address]


def _why_not(request: AdmissionRequest, address: str, lookup: Lookup) -> str:
    if request.dry_run:
        detail = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is"
        return "" if _holds(CLUSTER_RANGE, address) else f"{detail} {CLUSTER_RANGE}"
    if not any(_holds(one, address) for one in _ranges_of(lookup)):
        return "the provided network does not match the current range"
    return "provided IP is already allocated" if _is_taken(address, lookup) else ""


def _failed(sent: list[str], address: str, why: str) -> Cause:
    return invalid("spec.clusterIPs", sent, f"failed to allocate IP {address}: {why}")


def _is_taken(address: str, lookup: Lookup) -> bool:
    return lookup.get(kinds.IPADDRESSES, "", address) is not None


def _holds(network: IPv4Network, address: str) -> bool:
    """Neither the address of the network itself nor that of everybody in it is given away."""
    one = IPv4Address(address)
    return one in network and one not in (network.network_address, network.broadcast_address)


def _ranges_of(lookup: Lookup) -> tuple[IPv4Network, ...]:
    return (CLUSTER_RANGE, *lookup.fact_of_all(kinds.SERVICECIDRS, _ranges))


def _ranges(cidrs: Iterable[JsonObject]) -> tuple[IPv4Network, ...]:
    """The IPv4 blocks of ServiceCIDRs that are not going away and not said to be unready."""
    blocks = (
        block
        for cidr in cidrs
        if "deletionTimestamp" not in cidr["metadata"] and _is_ready(cidr)
        for block in cidr["spec"].get("cidrs") or ()
        if family_of(block) == "IPv4"
    )
    return tuple(one for block in blocks if (one := IPv4Network(block)) != CLUSTER_RANGE)


def _is_ready(cidr: JsonObject) -> bool:
    conditions = (cidr.get("status") or {}).get("conditions") or ()
    return all(one["status"] == "True" for one in conditions if one["type"] == "Ready")


def _candidates(network: IPv4Network, seed: int) -> Iterator[str]:
    """The addresses of a range, those last that are left to people who ask by number."""
    size = network.num_addresses
    static = min(max(16, size // 16), 256) if size > 16 else 0
    upper = range(1 + static, size - 1)
    start = seed % max(1, len(upper))
    order = chain(upper[start:], upper[:start], range(1, min(1 + static, size - 1)))
    return (str(network[index]) for index in order)


def _check_owner(request: AdmissionRequest, address: str) -> None:
    """In Kubernetes an IPAddress object names the Service, and is refused first if it cannot."""
    meta = (request.new or {}).get("metadata") or {}
    name = meta.get("name", "")
    problems = [value(name) + f": {text}" for text in names.path_segment(name)]
    problem = "Required value" if not name else "".join(f"Invalid value: {p}" for p in problems[:1])
    if problem:
        detail = (
            f'failed to allocate IP: IPAddress.networking.k8s.io "{address}" is invalid: '
            f"spec.parentRef.name: {problem}"
        )
        _refuse(request, [invalid("spec.clusterIPs", [""], detail)])
