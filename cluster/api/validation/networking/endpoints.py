"""Rules of Endpoints (pkg/apis/core/validation: ValidateEndpoints, v1.36)."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import invalid_each, required
from kubeherd.cluster.api.validation.checks import each, port_number
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.networking.service import app_protocol, protocol

_LISTS = ("addresses", "notReadyAddresses")


def create_endpoints(tree: JsonObject) -> list[Cause]:
    """New Endpoints."""
    return [
        cause
        for at, subset in each(tree.get("subsets"), "subsets")
        for cause in _subset(subset, at)
    ]


def update_endpoints(new: JsonObject, old: JsonObject) -> list[Cause]:
    """Changed Endpoints; subsets that stay as they were may break rules that came later."""
    return [] if new.get("subsets") == old.get("subsets") else create_endpoints(new)


def _subset(subset: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if not any(subset.get(name) for name in _LISTS):
        causes.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
    for name in _LISTS:
        for at, address in each(subset.get(name), f"{path}.{name}"):
            causes += _address(address, at)
    items = subset.get("ports") or []
    for at, port in each(items, f"{path}.ports"):
        name = port.get("name", "")
        if name:
            causes += invalid_each(f"{at}.name", name, names.dns_label(name))
        elif len(items) > 1:
            causes.append(required(f"{at}.name"))
        causes += port_number(port.get("port", 0), f"{at}.port")
        causes += protocol(port, at)
        causes += app_protocol(port, at)
    return causes


def _address(address: JsonObject, path: str) -> list[Cause]:
    ip, host, node = address.get("ip", ""), address.get("hostname", ""), address.get("nodeName")
    causes = addresses.ip(ip, f"{path}.ip")
    if host:
        causes += invalid_each(f"{path}.hostname", host, names.dns_label(host))
    if node is not None:
        causes += invalid_each(f"{path}.nodeName", node, names.dns_subdomain(node))
    return causes + addresses.endpoint_ip(ip, f"{path}.ip")
