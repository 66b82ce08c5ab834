"""What the slices of one Service should be, and what to write for it. Pure.

Source: spec endpoints-controllers 3 and 4; upstream k8s.io/endpointslice (reconciler.go, utils.go).
"""

from collections.abc import Callable, Sequence

import msgspec

from kubeherd.cluster.api import names
from kubeherd.cluster.api.helpers import podutil
from kubeherd.cluster.api.kinds import SERVICES
from kubeherd.cluster.api.objects import Node, ObjectMeta, Pod
from kubeherd.controller.endpoints import packing, pods, portorder, trafficdist
from kubeherd.controller.endpoints.objects import (
    HEADLESS,
    SERVICE_NAME,
    SLICE_MANAGED_BY,
    AddressType,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    PortKey,
    Service,
    owners,
)
from kubeherd.controller.endpoints.packing import Changes, Desired

MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100
ZONE = "topology.kubernetes.io/zone"
_RESERVED = frozenset({HEADLESS, SERVICE_NAME, SLICE_MANAGED_BY})

NodeOf = Callable[[str], Node | None]
_Groups = dict[tuple[PortKey, ...], tuple[list[EndpointPort], Desired]]


class SlicePlan(msgspec.Struct):
    """The writes, one address type after the other, and why it must be looked at again."""

    changes: list[Changes] = msgspec.field(default_factory=list)
    problems: list[str] = msgspec.field(default_factory=list)


def plan(
    service: Service,
    selected: Sequence[Pod],
    node_of: NodeOf,
    existing: Sequence[EndpointSlice],
    limit: int = MAX_ENDPOINTS,
) -> SlicePlan:
    """What to write for a Service that selects these pods and has these slices of ours."""
    result = SlicePlan()
    families = address_types(service)
    for family in families:
        there = [one for one in existing if one.address_type is family]
        groups = _groups(service, selected, node_of, family, result.problems)
        result.changes.append(_family(service, family, groups, there, limit))
    other = [one for one in existing if one.address_type not in families]
    if other:
        result.changes.append(Changes(delete=other))
    return result


def address_types(service: Service) -> list[AddressType]:
    """The families that the Service has slices of; both if nothing tells (an old headless one)."""
    spec = service.spec
    if spec.ip_families:
        return [AddressType(family) for family in spec.ip_families]
    if not service.headless:
        return [AddressType.IPV6 if ":" in spec.cluster_ip else AddressType.IPV4]
    return [AddressType.IPV4, AddressType.IPV6]


def endpoint_of(pod: Pod, node: Node | None, service: Service, family: AddressType) -> Endpoint:
    """A pod as an endpoint. While it is being deleted it is never ready, unless the Service
    publishes what is not."""
    serving = podutil.is_ready(pod)
    terminating = podutil.is_terminating(pod)
    ready = service.spec.publish_not_ready_addresses or (serving and not terminating)
    zone = node.metadata.labels.get(ZONE) if node is not None else None
    return Endpoint(
        addresses=pods.addresses(pod, family),
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        target_ref=pods.target(pod),
        node_name=pod.spec.node_name or None,
        zone=zone or None,
        hostname=pods.hostname(pod, service) or None,
    )


def ports_of(service: Service, pod: Pod) -> list[EndpointPort]:
    """The Service's ports in this pod, without those that the pod does not have."""
    found = ((port, pods.find_port(pod, port)) for port in service.spec.ports)
    ports = [
        EndpointPort(
            name=port.name, port=number, protocol=port.protocol, app_protocol=port.app_protocol
        )
        for port, number in found
        if number is not None
    ]
    return portorder.of_slice(ports)


def labels_of(
    service: Service, existing: EndpointSlice | None = None
) -> tuple[dict[str, str], bool]:
    """The labels of a slice: the Service's, and ours. Second: whether those of an existing slice
    differ in what is the Service's; changes of ours alone are not repaired."""
    theirs = {k: v for k, v in service.metadata.labels.items() if k not in _RESERVED}
    labels = dict(theirs)
    if service.headless:
        labels[HEADLESS] = ""
    labels |= {SERVICE_NAME: service.metadata.name, SLICE_MANAGED_BY: MANAGER}
    has = existing.metadata.labels if existing is not None else {}
    return labels, {k: v for k, v in has.items() if k not in _RESERVED} != theirs


def blank(service: Service, family: AddressType, ports: list[EndpointPort]) -> EndpointSlice:
    """A new slice without endpoints; its name is to begin with `generateName`."""
    meta = service.metadata
    return EndpointSlice(
        metadata=ObjectMeta(
            namespace=meta.namespace,
            generate_name=name_prefix(meta.name),
            labels=labels_of(service)[0],
            owner_references=tuple(owners(SERVICES, meta)),
        ),
        address_type=family,
        ports=ports,
        endpoints=[],
    )


def name_prefix(name: str) -> str:
    """How the names of slices begin: with a dash, if the name leaves room for one."""
    return name if names.dns_subdomain(f"{name}a") else f"{name}-"


def _groups(
    service: Service,
    selected: Sequence[Pod],
    node_of: NodeOf,
    family: AddressType,
    problems: list[str],
) -> _Groups:
    """The endpoints by the ports that their pods have."""
    groups: _Groups = {}
    for pod in selected:
        if not pods.belongs(pod, include_terminating=True):
            continue
        ports = ports_of(service, pod)
        _, desired = groups.setdefault(packing.ports_key(ports), (ports, {}))
        node = node_of(pod.spec.node_name)
        if node is None and not service.spec.publish_not_ready_addresses:
            meta = service.metadata
            problems.append(
                f"skipping Pod {pod.metadata.name} for Service {meta.namespace}/{meta.name}: "
                f"Node {pod.spec.node_name} Not Found"
            )
            continue
        endpoint = endpoint_of(pod, node, service, family)
        if endpoint.addresses:
            desired[packing.key_of(endpoint)] = endpoint
    return groups


def _family(
    service: Service,
    family: AddressType,
    groups: _Groups,
    existing: Sequence[EndpointSlice],
    limit: int,
) -> Changes:
    ours: dict[tuple[PortKey, ...], list[EndpointSlice]] = {}
    changes = Changes()
    for one in existing:
        if _owned(one, service):
            ours.setdefault(packing.ports_key(one.ports), []).append(one)
        else:
            changes.delete.append(one)
    for key, (ports, desired) in groups.items():
        template = blank(service, family, ports)
        changes.add(
            packing.pack(
                ours.pop(key, []), desired, template, lambda one: labels_of(service, one), limit
            )
        )
    for left in ours.values():
        changes.delete += left
    _keep_one(changes, existing, blank(service, family, []))
    changes = trafficdist.with_hints(service, changes, existing)
    return packing.recycle(changes, lambda one: _owned(one, service))


def _keep_one(
    changes: Changes, existing: Sequence[EndpointSlice], placeholder: EndpointSlice
) -> None:
    """A Service without endpoints has one empty slice; the one that is there may be it."""
    if changes.create or len(existing) != len(changes.delete):
        return
    if len(changes.delete) == 1 and _is_placeholder(changes.delete[0], placeholder):
        changes.delete.clear()
    else:
        changes.create.append(placeholder)


def _is_placeholder(one: EndpointSlice, placeholder: EndpointSlice) -> bool:
    return (
        not one.endpoints
        and not one.ports
        and one.metadata.namespace == placeholder.metadata.namespace
        and one.metadata.labels == placeholder.metadata.labels
    )


def _owned(one: EndpointSlice, service: Service) -> bool:
    return any(
        (ref.uid, ref.kind, ref.api_version) == (service.metadata.uid, "Service", "v1")
        for ref in one.metadata.owner_references
    )
