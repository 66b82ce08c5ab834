"""Rules of NetworkPolicy, IPAddress and ServiceCIDR (pkg/apis/networking/validation)."""

import ipaddress
from collections.abc import Iterable

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from kubeherd.cluster.api.validation.checks import each, immutable, label_selector, port_number
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.objectmeta import IMMUTABLE
from kubeherd.cluster.api.validation.references import segment
from kubeherd.cluster.api.validation.rules import Rules

_DIRECTIONS = (("ingress", "from"), ("egress", "to"))
_TYPES = ("Ingress", "Egress")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_ONE_PER_FAMILY = (
    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
)


def create_network_policy(tree: JsonObject) -> list[Cause]:
    """A new NetworkPolicy."""
    return _policy(tree.get("spec") or {}, ())


def update_network_policy(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed NetworkPolicy; blocks that it had are not judged again."""
    before = old.get("spec") or {}
    blocks = [
        peer["ipBlock"]
        for rules, peers in _DIRECTIONS
        for rule in before.get(rules, ())
        for peer in rule.get(peers, ())
        if peer.get("ipBlock") is not None
    ]
    existing = [text for block in blocks for text in (block["cidr"], *block.get("except", ()))]
    return _policy(new.get("spec") or {}, existing)


def _policy(spec: JsonObject, existing: Iterable[str]) -> list[Cause]:
    existing = frozenset(existing)
    causes = label_selector(spec.get("podSelector"), "spec.podSelector")
    for rules, peers in _DIRECTIONS:
        for at, rule in each(spec.get(rules), f"spec.{rules}"):
            for port_path, port in each(rule.get("ports"), f"{at}.ports"):
                causes += _port(port, port_path)
            for peer_path, peer in each(rule.get(peers), f"{at}.{peers}"):
                causes += _peer(peer, peer_path, existing)
    types = spec.get("policyTypes") or []
    if len(types) > len(_TYPES):
        detail = "may not specify more than two policyTypes"
        return [*causes, invalid("spec.policyTypes", types, detail)]
    return causes + [
        not_supported(f"spec.policyTypes[{index}]", kind, _TYPES)
        for index, kind in enumerate(types)
        if kind not in _TYPES
    ]


def _port(item: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    protocol, port, end = item.get("protocol"), item.get("port"), item.get("endPort")
    at = f"{path}.endPort"
    if protocol is not None and protocol not in _PROTOCOLS:
        causes.append(not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    if port is None:
        if end is not None:
            causes.append(invalid(at, end, "may not be specified when `port` is not specified"))
    elif isinstance(port, str):
        if end is not None:
            causes.append(invalid(at, end, "may not be specified when `port` is non-numeric"))
        causes += invalid_each(f"{path}.port", port, names.port_name(port))
    else:
        causes += port_number(port, f"{path}.port")
        if end is not None:
            if end < port:
                causes.append(invalid(at, port, "must be greater than or equal to `port`"))
            causes += port_number(end, at)
    return causes


def _peer(peer: JsonObject, path: str, existing: frozenset[str]) -> list[Cause]:
    causes: list[Cause] = []
    selectors = [
        name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None
    ]
    for name in selectors:
        causes += label_selector(peer[name], f"{path}.{name}")
    block = peer.get("ipBlock")
    if block is not None:
        causes += _ip_block(block, f"{path}.ipBlock", existing)
        if selectors:
            causes.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not selectors:
        causes.append(required(path, "must specify a peer"))
    return causes


def _ip_block(block: JsonObject, path: str, existing: frozenset[str]) -> list[Cause]:
    text = block.get("cidr", "")
    if not text:
        return [required(f"{path}.cidr")]
    causes = addresses.cidr(text, f"{path}.cidr", existing)
    outer = _network(text)
    if outer is None:
        return causes
    for index, excluded in enumerate(block.get("except", ())):
        at = f"{path}.except[{index}]"
        causes += addresses.cidr(excluded, at, existing)
        inner = _network(excluded)
        if inner is None:
            continue
        inside = inner.version == outer.version and inner.network_address in outer
        if not inside or outer.prefixlen >= inner.prefixlen:
            causes.append(invalid(at, excluded, "must be a strict subset of `cidr`"))
    return causes


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network | None:
    """The block that Go's sloppy parser reads."""
    base, _, length = text.partition("/")
    address = addresses.parse(base)
    if address is None or not (length.isascii() and length.isdigit()):
        return None
    if int(length) > address.max_prefixlen:
        return None
    return ipaddress.ip_network(f"{address}/{int(length)}", strict=False)


def create_ip_address(tree: JsonObject) -> list[Cause]:
    """An IPAddress: what it belongs to."""
    parent, path = (tree.get("spec") or {}).get("parentRef"), "spec.parentRef"
    if parent is None:
        return [required(path)]
    causes: list[Cause] = []
    if parent.get("group"):
        group = parent["group"]
        causes += invalid_each(f"{path}.group", group, names.dns_subdomain(group))
    causes += segment(parent, "resource", path) + segment(parent, "name", path)
    if parent.get("namespace"):
        causes += segment(parent, "namespace", path)
    return causes


def update_ip_address(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed IPAddress: it stays with its parent."""
    after, before = ((tree.get("spec") or {}).get("parentRef") for tree in (new, old))
    return create_ip_address(new) + immutable(after, before, "spec.parentRef")


def create_service_cidr(tree: JsonObject) -> list[Cause]:
    """A ServiceCIDR: one block, or one of each family."""
    spec, path = tree.get("spec") or {}, "spec.cidrs"
    blocks = spec.get("cidrs") or []
    if not blocks:
        return [required(path, "at least one CIDR required")]
    if len(blocks) > 2:
        return [invalid(path, {"CIDRs": blocks}, "may only hold up to 2 values")]
    causes = [
        cause for index, text in enumerate(blocks) for cause in _strict(text, f"{path}[{index}]")
    ]
    families = [network.version for text in blocks if (network := _network(text)) is not None]
    if len(families) == 2 and families[0] == families[1]:
        causes.append(invalid(path, blocks, _ONE_PER_FAMILY))
    return causes


def _strict(text: str, path: str) -> list[Cause]:
    causes = addresses.cidr(text, path)
    network = _network(text)
    if not causes and network is not None and str(network) != text:
        causes.append(invalid(path, text, f'must be in canonical form ("{network}")'))
    return causes


def update_service_cidr(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ServiceCIDR: a second family may be added, nothing else changes."""
    after, before = ((tree.get("spec") or {}).get("cidrs") or [] for tree in (new, old))
    grown = len(before) == 1 and len(after) == 2
    if len(after) != len(before) and not grown:
        return [invalid("spec.cidrs", after, IMMUTABLE)]
    causes = [
        invalid(f"spec.cidrs[{index}]", text, IMMUTABLE)
        for index, text in enumerate(after[: len(before)])
        if text != before[index]
    ]
    return causes + (create_service_cidr(new) if grown else [])


RULES = {
    "networkpolicies.networking.k8s.io": Rules(create_network_policy, update_network_policy),
    "ipaddresses.networking.k8s.io": Rules(create_ip_address, update_ip_address),
    "servicecidrs.networking.k8s.io": Rules(create_service_cidr, update_service_cidr),
}
