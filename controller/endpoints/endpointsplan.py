"""What the Endpoints of one Service should say. Pure.

Source: spec endpoints-controllers 7; upstream pkg/controller/endpoint/endpoints_controller.go.
"""

from collections.abc import Sequence

import msgspec

from kubeherd.cluster.api.helpers import podutil
from kubeherd.cluster.api.objects import ObjectMeta, Pod
from kubeherd.controller.endpoints import pods, subsets
from kubeherd.controller.endpoints.objects import (
    ENDPOINTS_MANAGED_BY,
    HEADLESS,
    OVER_CAPACITY,
    TRIGGER_TIME,
    AddressType,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Service,
)

MANAGER = "endpoint-controller"
TRUNCATED = "truncated"
_OWN_LABELS = frozenset({HEADLESS, ENDPOINTS_MANAGED_BY})


def plan(
    service: Service, selected: Sequence[Pod], current: Endpoints | None, trigger_time: str
) -> Endpoints | None:
    """The Endpoints to write; None if those that are there say all of it."""
    wanted = subsets_of(service, selected)
    if current is not None and _is_current(current, wanted, service):
        return None
    if current is None:
        meta = ObjectMeta(name=service.metadata.name, namespace=service.metadata.namespace)
        current = Endpoints(metadata=meta)
    annotations = dict(current.metadata.annotations)
    _set(annotations, TRIGGER_TIME, trigger_time)
    _set(annotations, OVER_CAPACITY, TRUNCATED if _too_many(wanted) else "")
    labels = {k: v for k, v in service.metadata.labels.items() if k not in _OWN_LABELS}
    if service.headless:
        labels[HEADLESS] = ""
    labels[ENDPOINTS_MANAGED_BY] = MANAGER
    metadata = msgspec.structs.replace(current.metadata, labels=labels, annotations=annotations)
    return Endpoints(metadata=metadata, subsets=subsets.truncate(wanted))


def subsets_of(service: Service, selected: Sequence[Pod]) -> list[EndpointSubset]:
    """The pods with the addresses and ports that the Service has of them, repacked."""
    unready_too = service.spec.publish_not_ready_addresses
    single: list[EndpointSubset] = []
    for pod in selected:
        if not pods.belongs(pod, include_terminating=unready_too):
            continue
        address = address_of(service, pod)
        if address is None:
            continue
        ready = unready_too or podutil.is_ready(pod)
        single += [
            EndpointSubset(
                addresses=[address] if ready else [],
                not_ready_addresses=[] if ready else [address],
                ports=ports,
            )
            for ports in _port_sets(service, pod)
        ]
    return subsets.repack(single)


def address_of(service: Service, pod: Pod) -> EndpointAddress | None:
    """The pod's address of the Service's first family; None if it has none."""
    found = pods.addresses(pod, _family(service, pod))
    if not found:
        return None
    return EndpointAddress(
        ip=found[0],
        hostname=pods.hostname(pod, service),
        node_name=pod.spec.node_name or None,
        target_ref=pods.target(pod),
    )


def _family(service: Service, pod: Pod) -> AddressType:
    spec = service.spec
    if spec.ip_families:
        return AddressType(spec.ip_families[0])
    address = pod.status.pod_ip if service.headless else spec.cluster_ip
    return AddressType.IPV6 if ":" in address else AddressType.IPV4


def _port_sets(service: Service, pod: Pod) -> list[list[EndpointPort]]:
    """One port each that the pod has; a headless Service may have none."""
    if not service.spec.ports:
        return [[]] if service.spec.cluster_ip == "None" else []
    out = []
    for port in service.spec.ports:
        number = pods.find_port(pod, port)
        if number is not None:
            out.append(
                [
                    EndpointPort(
                        name=port.name or None,
                        port=number,
                        protocol=port.protocol,
                        app_protocol=port.app_protocol,
                    )
                ]
            )
    return out


def _is_current(current: Endpoints, wanted: list[EndpointSubset], service: Service) -> bool:
    there = current.subsets
    return (
        (there == wanted or _unversioned(subsets.repack(there)) == _unversioned(wanted))
        and _labels_are_right(current.metadata.labels, service.metadata.labels)
        and not _too_many(there)
        and OVER_CAPACITY not in current.metadata.annotations
    )


def _labels_are_right(has: dict[str, str], wanted: dict[str, str]) -> bool:
    """The mark of a headless Service is not looked at, as upstream."""
    theirs = {k: v for k, v in has.items() if k not in _OWN_LABELS}
    return has.get(ENDPOINTS_MANAGED_BY) == MANAGER and theirs == {
        k: v for k, v in wanted.items() if k not in _OWN_LABELS
    }


def _unversioned(several: list[EndpointSubset]) -> list[EndpointSubset]:
    """Without the versions of pods: another one is no change."""

    def plain(addresses: list[EndpointAddress]) -> list[EndpointAddress]:
        return [
            msgspec.structs.replace(
                one, target_ref=msgspec.structs.replace(one.target_ref, resource_version="")
            )
            if one.target_ref is not None
            else one
            for one in addresses
        ]

    return [
        msgspec.structs.replace(
            one,
            addresses=plain(one.addresses),
            not_ready_addresses=plain(one.not_ready_addresses),
        )
        for one in several
    ]


def _too_many(several: Sequence[EndpointSubset]) -> bool:
    return subsets.size(several) > subsets.MAX_CAPACITY


def _set(annotations: dict[str, str], name: str, value: str) -> None:
    if value:
        annotations[name] = value
    else:
        annotations.pop(name, None)
