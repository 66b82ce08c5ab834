"""Rules of nodes (spec node-lifecycle, section 16; pkg/apis/core/validation, v1.36)."""

import re

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import internaltypes
from kubeherd.cluster.api.validation.causes import duplicate, forbidden, internal_error, invalid
from kubeherd.cluster.api.validation.checks import each
from kubeherd.cluster.api.validation.networking import addresses
from kubeherd.cluster.api.validation.pods.resources import amount
from kubeherd.cluster.api.validation.pods.tolerations import taints

_TAINTS = "metadata.taints"
"""Where Kubernetes says they are."""
_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z0-9]+)*")


def create_node(node: JsonObject) -> list[Cause]:
    """A new node, which a kubelet registers with its status."""
    spec = node.get("spec") or {}
    causes = taints(spec.get("taints"), _TAINTS) + _status(node)
    cidrs = spec.get("podCIDRs") or []
    for index, text in enumerate(cidrs):
        causes += addresses.cidr(text, f"spec.podCIDRs[{index}]")
    if len(cidrs) > 1:
        causes += _families(cidrs)
    return causes


def _families(cidrs: list[str]) -> list[Cause]:
    """Several blocks must be two, of different families."""
    path = "spec.podCIDRs"
    causes: list[Cause] = []
    unread = [index for index, text in enumerate(cidrs) if not addresses.reads_as_block(text)]
    if unread:
        text = f"invalid CIDR[{unread[0]}]: <nil> (invalid CIDR address: {cidrs[unread[0]]})"
        why = "invalid PodCIDRs. failed to check with dual stack with error"
        causes.append(internal_error(path, f"{why}:{text}"))
    if unread or len(cidrs) > 2 or (":" in cidrs[0]) == (":" in cidrs[1]):
        detail = "may specify no more than one CIDR for each IP family"
        causes.append(invalid(path, cidrs, detail))
    return causes


def _status(node: JsonObject) -> list[Cause]:
    status = node.get("status") or {}
    causes: list[Cause] = []
    for kind in ("capacity", "allocatable"):
        for name, text in (status.get(kind) or {}).items():
            causes += amount(name, text, f"status.{kind}.{name}")
    return causes + _features(status.get("declaredFeatures") or [])


def _features(features: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    for index, name in enumerate(features):
        at = f"status.declaredFeatures[{index}]"
        if len(name) > 253:
            detail = f'invalid feature name "{name}": must be no more than 253 characters'
            causes.append(invalid(at, name, detail))
        elif not _FEATURE.fullmatch(name):
            detail = (
                f'invalid feature name "{name}": must start with an UpperCamelCase segment, with '
                "subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), "
                "and contain only alphanumeric characters and slashes"
            )
            causes.append(invalid(at, name, detail))
        if index and features[index - 1] == name:
            causes.append(duplicate(at, name))
        elif index and features[index - 1] > name:
            causes.append(invalid(at, name, "list must be sorted alphabetically"))
    return causes


def update_node(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed node: what holds for a new one, and again what holds for its status."""
    return create_node(new) + update_node_status(new, old)


def update_node_status(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed status; pod CIDRs, provider id and external id are set once."""
    causes = _status(new)
    seen: set[tuple[str, str]] = set()
    for at, address in each((new.get("status") or {}).get("addresses"), "status.addresses"):
        key = (address.get("type", ""), address.get("address", ""))
        if key in seen:
            causes.append(duplicate(at, internaltypes.struct("NodeAddress", address)))
        seen.add(key)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("podCIDRs") and after.get("podCIDRs") != before["podCIDRs"]:
        detail = 'node updates may not change podCIDR except from "" to valid'
        causes.append(forbidden("spec.podCIDRs", detail))
    if before.get("providerID") and after.get("providerID", "") != before["providerID"]:
        detail = 'node updates may not change providerID except from "" to valid'
        causes.append(forbidden("spec.providerID", detail))
    causes += taints(after.get("taints"), _TAINTS)
    if after.get("externalID", "") != before.get("externalID", ""):
        causes.append(forbidden("spec.externalID", "may not be updated"))
    return causes
