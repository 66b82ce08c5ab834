"""Rules of EndpointSlice (pkg/apis/discovery/validation)."""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import objectmeta
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    invalid,
    invalid_each,
    required,
    too_many,
)
from kubeherd.cluster.api.validation.checks import each, immutable, one_of
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.rules import Rules

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MAX_PORTS = 20000
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_TOPOLOGY = 16
_MAX_HINTS = 8


def create_endpoint_slice(tree: JsonObject) -> list[Cause]:
    """A new EndpointSlice."""
    return _type_and_ports(tree) + _endpoints(tree)


def update_endpoint_slice(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed EndpointSlice: the type of its addresses stays; old endpoints may too."""
    causes = _type_and_ports(new)
    if new.get("endpoints") != old.get("endpoints"):
        causes += _endpoints(new)
    return causes + immutable(new.get("addressType", ""), old.get("addressType"), "addressType")


def _type_and_ports(tree: JsonObject) -> list[Cause]:
    kind, ports = tree.get("addressType", ""), tree.get("ports") or []
    causes = one_of(kind, _ADDRESS_TYPES, "addressType") if kind else [required("addressType")]
    if len(ports) > _MAX_PORTS:
        return [*causes, too_many("ports", len(ports), _MAX_PORTS)]
    seen: set[str] = set()
    for at, port in each(ports, "ports"):
        name, protocol = port.get("name") or "", port.get("protocol", "")
        if name:
            causes += invalid_each(f"{at}.name", name, names.dns_label(name))
        if name in seen:
            causes.append(duplicate(f"{at}.name", name))
        seen.add(name)
        causes += one_of(protocol, _PROTOCOLS, f"{at}.protocol")
        application = port.get("appProtocol")
        if application is not None:
            problems = names.qualified_name(application)
            causes += invalid_each(f"{at}.appProtocol", application, problems)
    return causes


def _endpoints(tree: JsonObject) -> list[Cause]:
    endpoints = tree.get("endpoints") or []
    if len(endpoints) > _MAX_ENDPOINTS:
        return [too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)]
    causes: list[Cause] = []
    for at, endpoint in each(endpoints, "endpoints"):
        found = endpoint.get("addresses") or []
        path = f"{at}.addresses"
        if not found:
            causes.append(required(path, "must contain at least 1 address"))
        elif len(found) > _MAX_ADDRESSES:
            causes.append(too_many(path, len(found), _MAX_ADDRESSES))
        for index, text in enumerate(found[:_MAX_ADDRESSES]):
            causes += _address(text, tree.get("addressType", ""), f"{path}[{index}]", path)
        causes += _where(endpoint, at)
    return causes


def _address(text: str, kind: str, path: str, all_of_them: str) -> list[Cause]:
    if kind == "FQDN":
        return _domain(text, path)
    if kind not in ("IPv4", "IPv6"):
        return []
    causes = addresses.ip(text, path)
    address = addresses.parse(text)
    if causes or address is None:
        return causes
    if kind == "IPv6" and str(address) != text:
        return [invalid(path, text, f'must be in canonical form ("{address}")')]
    if f"IPv{address.version}" != kind:
        causes.append(invalid(all_of_them, text, f"must be an {kind} address"))
    return causes + addresses.endpoint_ip(text, path)


def _domain(text: str, path: str) -> list[Cause]:
    name = text.removesuffix(".")
    if not text:
        return [required(path)]
    problems = names.dns_subdomain(name)
    if problems:
        return [invalid(path, name, ",".join(problems))]
    if "." not in name:
        detail = "should be a domain with at least two segments separated by dots"
        return [invalid(path, name, detail)]
    return [
        invalid(path, label, ",".join(names.dns_label(label)))
        for label in name.split(".")
        if names.dns_label(label)
    ][:1]


def _where(endpoint: JsonObject, path: str) -> list[Cause]:
    """Node, host name, topology and the zones and nodes that should use an endpoint."""
    causes: list[Cause] = []
    node, host = endpoint.get("nodeName"), endpoint.get("hostname")
    if node is not None:
        causes += invalid_each(f"{path}.nodeName", node, names.dns_subdomain(node))
    topology = endpoint.get("deprecatedTopology") or {}
    at = f"{path}.deprecatedTopology"
    if len(topology) > _MAX_TOPOLOGY:
        causes.append(too_many(at, len(topology), _MAX_TOPOLOGY))
    causes += objectmeta.labels(topology, at)
    if host is not None:
        causes += invalid_each(f"{path}.hostname", host, names.dns_label(host))
    hints = endpoint.get("hints") or {}
    for name, rule in (("forZones", names.label_value), ("forNodes", names.dns_subdomain)):
        items = [item.get("name", "") for item in hints.get(name) or ()]
        if len(items) > _MAX_HINTS:
            return [*causes, too_many(f"{path}.hints.{name}", len(items), _MAX_HINTS)]
        for index, item in enumerate(items):
            item_path = f"{path}.hints.{name}[{index}].name"
            if item in items[:index]:
                causes.append(duplicate(item_path, item))
            causes += invalid_each(item_path, item, rule(item))
    return causes


RULES = {
    "endpointslices.discovery.k8s.io": Rules(create_endpoint_slice, update_endpoint_slice),
}
