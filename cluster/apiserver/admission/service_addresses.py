"""Addresses of Services: a cluster IP, node ports, the IP family.

In Kubernetes the registry allocates them; nothing answers at them here, but programs read them, and
a Service without one looks headless. Invariants: no two Services share an address or a node port;
an update that leaves them out keeps them. The choice depends on the name only, so that the same
manifest gets the same address in every run.
"""

import zlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from kubeherd.cluster.api import errors, kinds, names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import value
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid
from kubeherd.cluster.api.validation.networking.service import (
    cluster_ips,
    family_of,
    is_headless,
    needs_health_check,
)
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.read.lookup import Lookup

SERVICES = kinds.resource("", "v1", "services")
CLUSTER_RANGE = IPv4Network("10.96.0.0/12")
NODE_PORTS = range(30000, 32768)
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
_STATIC_ADDRESSES = 256
"""The lower end of the range is left to those who ask for an address by number."""


def allocate(request: AdmissionRequest, lookup: Lookup) -> None:
    """Fill in what the Service lacks; 422 for an address that is taken or out of range, and for
    families that the cluster does not have (pkg/registry/core/service/storage/alloc.go)."""
    service = request.new or {}
    spec = service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    old = (request.old or {}).get("spec") or {}
    _keep_addresses(spec, old)
    if kind == "ExternalName":
        return
    _set_families(request, spec, old)
    with_ports = kind in _WITH_NODE_PORTS
    if is_headless(spec) and not with_ports:
        return
    others = [
        other["spec"]
        for other in lookup.list(SERVICES)
        if (other["metadata"]["namespace"], other["metadata"]["name"])
        != (request.namespace, request.name)
    ]
    seed = zlib.crc32(f"{request.namespace}/{request.name}".encode())
    if not is_headless(spec):
        _set_address(request, spec, old, others, seed)
    if with_ports:
        _set_node_ports(spec, old, others, seed)


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


def _set_address(
    request: AdmissionRequest,
    spec: JsonObject,
    old: JsonObject,
    others: list[JsonObject],
    seed: int,
) -> None:
    address, before = spec.get("clusterIP", ""), old.get("clusterIP", "")
    if address and address == before:
        return
    if before not in ("", "None"):
        return  # may not change, as validation will say
    taken = {other.get("clusterIP") for other in others}
    if not address:
        usable = CLUSTER_RANGE.num_addresses - _STATIC_ADDRESSES - 1
        address = next(
            text
            for at in range(usable)
            if (text := str(CLUSTER_RANGE[_STATIC_ADDRESSES + (seed + at) % usable])) not in taken
        )
        if not request.dry_run:
            _check_owner(request, address)
    else:
        _check(request, address, taken)
    spec["clusterIP"] = address
    spec["clusterIPs"] = [address]


def _check_owner(request: AdmissionRequest, address: str) -> None:
    """In Kubernetes an IPAddress object names the Service, and is refused first if it cannot."""
    meta = (request.new or {}).get("metadata") or {}
    name = meta.get("name") or meta.get("generateName", "")
    problems = [value(name) + f": {text}" for text in names.path_segment(name)]
    problem = "Required value" if not name else "".join(f"Invalid value: {p}" for p in problems[:1])
    if problem:
        detail = (
            f'failed to allocate IP: IPAddress.networking.k8s.io "{address}" is invalid: '
            f"spec.parentRef.name: {problem}"
        )
        _refuse(request, [invalid("spec.clusterIPs", [""], detail)])


def _check(request: AdmissionRequest, address: str, taken: set[str | None]) -> None:
    why = ""
    if IPv4Address(address) not in CLUSTER_RANGE:
        why = (
            f"the provided IP ({address}) is not in the valid range. The range of valid IPs is "
            f"{CLUSTER_RANGE}"
        )
    elif address in taken:
        why = "provided IP is already allocated"
    if why:
        detail = f"failed to allocate IP {address}: {why}"
        _refuse(request, [invalid("spec.clusterIPs", [address], detail)])


def _set_node_ports(spec: JsonObject, old: JsonObject, others: list[JsonObject], seed: int) -> None:
    before = {_key(port): port.get("nodePort") for port in old.get("ports") or ()}
    taken = {port.get("nodePort") for other in (*others, spec) for port in other.get("ports") or ()}
    taken |= {other.get("healthCheckNodePort") for other in others}
    free = _free_ports(taken | set(before.values()), seed)
    if spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True):
        for port in spec.get("ports") or ():
            if not port.get("nodePort"):
                port["nodePort"] = before.get(_key(port)) or next(free, 0)
    if needs_health_check(spec) and not spec.get("healthCheckNodePort"):
        kept = old.get("healthCheckNodePort") if needs_health_check(old) else 0
        spec["healthCheckNodePort"] = kept or next(free, 0)


def _key(port: JsonObject) -> tuple[object, object]:
    return port.get("port"), port.get("protocol", "TCP")


def _free_ports(taken: set[int | None], seed: int) -> Iterator[int]:
    size = len(NODE_PORTS)
    candidates = (NODE_PORTS[(seed + at) % size] for at in range(size))
    return (port for port in candidates if port not in taken)
