"""Slices that mirror Endpoints made by hand. Pure.

Source: spec endpoints-controllers 8; upstream pkg/controller/endpointslicemirroring (reconciler.go,
reconciler_helpers.go, utils.go). Each subset has one slice for each address family.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api.kinds import ENDPOINTS
from kubeherd.cluster.api.objects import ObjectMeta
from kubeherd.controller.endpoints import packing, pods, portorder, subsets
from kubeherd.controller.endpoints.objects import (
    LAST_APPLIED,
    LEADER_ELECTION,
    SERVICE_NAME,
    SKIP_MIRROR,
    SLICE_MANAGED_BY,
    TRIGGER_TIME,
    AddressType,
    Endpoint,
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    PortKey,
    owners,
)
from kubeherd.controller.endpoints.packing import Changes, Desired
from kubeherd.controller.endpoints.sliceplan import name_prefix

MANAGER = "endpointslicemirroring-controller.k8s.io"
MAX_PER_SUBSET = 1000
_FAMILIES = (AddressType.IPV4, AddressType.IPV6)
_NOT_MIRRORED = frozenset({TRIGGER_TIME, LAST_APPLIED})
_OWN_LABELS = frozenset({SLICE_MANAGED_BY, SERVICE_NAME})

_GroupKey = tuple[AddressType, tuple[PortKey, ...]]


class MirrorPlan(msgspec.Struct):
    """The writes, and how many addresses are not mirrored: all of them, and those that are none."""

    changes: Changes
    skipped: int = 0
    invalid: int = 0


def should_mirror(endpoints: Endpoints) -> bool:
    """Whether they are of interest: not those of leader elections, nor if a label says so."""
    meta = endpoints.metadata
    return meta.labels.get(SKIP_MIRROR) != "true" and LEADER_ELECTION not in meta.annotations


def plan(
    endpoints: Endpoints, existing: Sequence[EndpointSlice], limit: int = MAX_PER_SUBSET
) -> MirrorPlan:
    """What to write so that slices say the same as the Endpoints; `existing`: the mirrors."""
    result = MirrorPlan(Changes())
    groups: dict[_GroupKey, tuple[list[EndpointPort], Desired]] = {}
    for subset in subsets.repack(endpoints.subsets):
        _take_up(subset, groups, result, limit)
    there: dict[_GroupKey, list[EndpointSlice]] = {}
    for one in existing:
        there.setdefault((one.address_type, packing.ports_key(one.ports)), []).append(one)
    for key, (ports, desired) in groups.items():
        blank = _blank(endpoints, key[0], ports)
        result.changes.add(_mirror(endpoints, there.pop(key, []), desired, blank))
    for left in there.values():
        result.changes.delete += left
    result.changes = packing.recycle(result.changes, lambda _: True)
    return result


def _take_up(
    subset: EndpointSubset,
    groups: dict[_GroupKey, tuple[list[EndpointPort], Desired]],
    result: MirrorPlan,
    limit: int,
) -> None:
    ports = portorder.of_slice(_with_name(port) for port in subset.ports)
    key = packing.ports_key(ports)
    for family in _FAMILIES:
        groups.setdefault((family, key), (ports, {}))
    added = 0
    ready = [(address, True) for address in subset.addresses]
    unready = [(address, False) for address in subset.not_ready_addresses]
    for address, is_ready in ready + unready:
        if added >= limit:
            break
        made = endpoint_of(address, ready=is_ready)
        if made is None:
            result.invalid += 1
            continue
        family, endpoint = made
        groups[family, key][1][packing.key_of(endpoint)] = endpoint
        added += 1
    result.skipped += len(ready) + len(unready) - added


def endpoint_of(address: EndpointAddress, *, ready: bool) -> tuple[AddressType, Endpoint] | None:
    """An address as an endpoint, and of which family; None if it is no IP address."""
    parsed = pods.parse_ip(address.ip)
    if parsed is None:
        return None
    endpoint = Endpoint(
        addresses=[parsed[1]],
        conditions=EndpointConditions(ready=ready),
        target_ref=address.target_ref,
        node_name=address.node_name,
        hostname=address.hostname or None,
    )
    return parsed[0], endpoint


def _with_name(port: EndpointPort) -> EndpointPort:
    return msgspec.structs.replace(port, name=port.name or "")


def _mirror(
    endpoints: Endpoints, existing: list[EndpointSlice], desired: Desired, blank: EndpointSlice
) -> Changes:
    """One slice with all that is wanted, or none; the first that is there becomes it."""
    if not desired:
        return Changes(delete=existing)
    if not existing:
        return Changes(create=[_filled(blank, desired)])
    first, *others = existing
    if _says_the_same(first, desired, blank) and not _of_another(first, endpoints):
        return Changes(delete=others)
    metadata = msgspec.structs.replace(blank.metadata, name=first.metadata.name, generate_name="")
    updated = msgspec.structs.replace(_filled(blank, desired), metadata=metadata)
    return Changes(update=[updated], delete=others)


def _filled(blank: EndpointSlice, desired: Desired) -> EndpointSlice:
    return msgspec.structs.replace(blank, endpoints=list(desired.values()))


def _says_the_same(one: EndpointSlice, desired: Desired, blank: EndpointSlice) -> bool:
    endpoints = one.endpoints or []
    has = {packing.key_of(endpoint): endpoint for endpoint in endpoints}
    return (
        len(endpoints) == len(desired)
        and has.keys() == desired.keys()
        and all(packing.same(desired[key], endpoint) for key, endpoint in has.items())
        and _without_own(one.metadata.labels) == _without_own(blank.metadata.labels)
        and one.metadata.annotations == blank.metadata.annotations
    )


def _without_own(labels: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in labels.items() if k not in _OWN_LABELS}


def _of_another(one: EndpointSlice, endpoints: Endpoints) -> bool:
    """Whether it belongs to Endpoints of the same name that were there before."""
    meta = endpoints.metadata
    return any(
        ref.kind == "Endpoints" and ref.name == meta.name and ref.uid != meta.uid
        for ref in one.metadata.owner_references
    )


def _blank(endpoints: Endpoints, family: AddressType, ports: list[EndpointPort]) -> EndpointSlice:
    meta = endpoints.metadata
    annotations = {k: v for k, v in meta.annotations.items() if k not in _NOT_MIRRORED}
    return EndpointSlice(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            generate_name=name_prefix(meta.name),
            labels={**meta.labels, SERVICE_NAME: meta.name, SLICE_MANAGED_BY: MANAGER},
            annotations=annotations,
            owner_references=tuple(owners(ENDPOINTS, meta)),
        ),
        address_type=family,
        ports=ports,
        endpoints=[],
    )
