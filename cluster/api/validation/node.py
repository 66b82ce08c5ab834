"""Rules of nodes (spec node-lifecycle, section 16)."""

import ipaddress

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import duplicate, forbidden, invalid
from kubeherd.cluster.api.validation.checks import each
from kubeherd.cluster.api.validation.resources import resource_amounts
from kubeherd.cluster.api.validation.tolerations import taints

_CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def create_node(node: JsonObject) -> list[Cause]:
    """A new node, which a kubelet registers with its status."""
    spec = node.get("spec") or {}
    causes = taints(spec.get("taints"), "spec.taints")
    for index, cidr in enumerate(_pod_cidrs(spec)):
        if not _is_cidr(cidr):
            causes.append(invalid(f"spec.podCIDRs[{index}]", cidr, _CIDR_TEXT))
    return causes + _status(node)


def _status(node: JsonObject) -> list[Cause]:
    status = node.get("status") or {}
    causes = resource_amounts(status.get("capacity"), "status.capacity")
    causes += resource_amounts(status.get("allocatable"), "status.allocatable")
    seen: set[tuple[str, str]] = set()
    for at, address in each(status.get("addresses"), "status.addresses"):
        key = (address.get("type", ""), address.get("address", ""))
        if key in seen:
            causes.append(duplicate(at, address))
        seen.add(key)
    return causes


def update_node(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed node: pod CIDRs and provider id are set once."""
    causes = create_node(new)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if _pod_cidrs(before) and _pod_cidrs(after) != _pod_cidrs(before):
        detail = 'node updates may not change podCIDR except from "" to valid'
        causes.append(forbidden("spec.podCIDRs", detail))
    if before.get("providerID") and after.get("providerID", "") != before["providerID"]:
        detail = 'node updates may not change providerID except from "" to valid'
        causes.append(forbidden("spec.providerID", detail))
    return causes


def _pod_cidrs(spec: JsonObject) -> list[str]:
    return spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text
