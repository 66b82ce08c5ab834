"""Services, pods and slices for the tests of endpoints, and what becomes of slices when written."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from kubeherd.cluster.api.objects import (
    Condition,
    Container,
    ContainerPort,
    Node,
    ObjectMeta,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
)
from kubeherd.controller.endpoints.objects import EndpointSlice, Service, ServicePort, ServiceSpec
from kubeherd.controller.endpoints.packing import Changes

CREATED = "2026-01-01T00:00:00Z"


def service(name: str = "web", labels: dict[str, str] | None = None, **spec: Any) -> Service:
    """A Service in ``ns`` that selects ``app=web`` on port 80, unless `spec` says otherwise."""
    fields = {
        "selector": {"app": "web"},
        "cluster_ip": "10.96.0.9",
        "ip_families": ["IPv4"],
        "ports": [ServicePort(name="http", port=80, target_port=8080)],
        **spec,
    }
    meta = ObjectMeta(
        name=name,
        namespace="ns",
        uid=f"uid-{name}",
        labels=labels or {},
        creation_timestamp=CREATED,
    )
    return Service(metadata=meta, spec=ServiceSpec(**fields))


def pod(
    number: int = 1,
    *,
    ready: bool = True,
    deleting: bool = False,
    phase: str = "Running",
    node: str = "n",
    ips: Sequence[str] | None = None,
    ports: Sequence[ContainerPort] = (),
    since: str = CREATED,
    **spec: Any,
) -> Pod:
    """A pod ``p<number>`` of ``app=web`` with an address of its own."""
    addresses = [f"10.244.{number // 250}.{number % 250 + 1}"] if ips is None else ips
    condition = Condition(type="Ready", status=str(ready), last_transition_time=since)
    return Pod(
        metadata=ObjectMeta(
            name=f"p{number}",
            namespace="ns",
            uid=f"uid-p{number}",
            labels={"app": "web"},
            deletion_timestamp=CREATED if deleting else None,
        ),
        spec=PodSpec(node_name=node, containers=(Container(name="c", ports=tuple(ports)),), **spec),
        status=PodStatus(
            phase=phase,
            pod_ip=addresses[0] if addresses else "",
            pod_ips=[PodIP(ip=address) for address in addresses],
            conditions=[condition],
        ),
    )


def many(count: int, start: int = 1, **what: Any) -> list[Pod]:
    """Pods with the numbers from `start` on."""
    return [pod(number, **what) for number in range(start, start + count)]


def in_zone(zone: str) -> Node:
    """A node with this zone."""
    return Node(metadata=ObjectMeta(name="n", labels={"topology.kubernetes.io/zone": zone}))


def any_node(_name: str) -> Node | None:
    """A lookup that finds every node, without a zone."""
    return Node(metadata=ObjectMeta(name="n"))


def written(existing: Sequence[EndpointSlice], plan: Iterable[Changes]) -> list[EndpointSlice]:
    """The slices after the changes; new ones are called by the number of those that were there."""
    slices = {one.metadata.name: one for one in existing}
    for changes in plan:
        for one in changes.delete:
            del slices[one.metadata.name]
        for one in changes.update:
            assert one.metadata.name in slices
            slices[one.metadata.name] = one
        for one in changes.create:
            assert not one.metadata.name
            name = next(f"s{n}" for n in range(1000) if f"s{n}" not in slices)
            metadata = msgspec.structs.replace(one.metadata, name=name, uid=f"uid-{name}")
            slices[name] = msgspec.structs.replace(one, metadata=metadata)
    return list(slices.values())


def sizes(slices: Iterable[EndpointSlice]) -> list[int]:
    """How many endpoints each slice has, the fullest first."""
    return sorted((len(one.endpoints or ()) for one in slices), reverse=True)


def names_in(slices: Iterable[EndpointSlice]) -> list[str]:
    """The names of what is behind all endpoints, sorted."""
    return sorted(
        endpoint.target_ref.name
        for one in slices
        for endpoint in one.endpoints or ()
        if endpoint.target_ref is not None
    )
