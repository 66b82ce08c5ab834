"""Endpoints of a Service: upstream's endpoints_controller_test.go and endpoints/util_test.go."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from endpointsworld import many, pod, service

from kubeherd.cluster.api.objects import ContainerPort, ObjectMeta, Pod
from kubeherd.controller.endpoints import endpointsplan, portorder, subsets
from kubeherd.controller.endpoints.objects import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Service,
    ServicePort,
    TargetRef,
)

ALL = {"publish_not_ready_addresses": True}
IPV6_FIRST = {"ip_families": ["IPv6", "IPv4"]}
DATA = Path(__file__).parents[3] / "data"
NOW = "2026-01-01T00:00:30Z"
_Addresses = list[tuple[str, str]]
_Subset = tuple[_Addresses, _Addresses, list[int]]


def subset(ready: _Addresses, unready: _Addresses, ports: Sequence[int]) -> EndpointSubset:
    """Addresses as (IP, uid of what is behind it)."""

    def addresses(several: _Addresses) -> list[EndpointAddress]:
        return [
            EndpointAddress(ip=ip, target_ref=TargetRef(uid=uid) if uid else None)
            for ip, uid in several
        ]

    return EndpointSubset(
        addresses=addresses(ready),
        not_ready_addresses=addresses(unready),
        ports=[EndpointPort(port=port) for port in ports],
    )


A, B, C, D = ("1.2.3.4", ""), ("5.6.7.8", ""), ("1.2.3.5", ""), ("1.2.3.6", "")
A1, A2, B1 = ("1.2.3.4", "uid-1"), ("1.2.3.4", "uid-2"), ("5.6.7.8", "uid-1")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([([], [], [])], []),
        ([([], [], [111])], []),
        ([([A], [], [])], [([A], [], [])]),
        ([([], [A], [])], [([], [A], [])]),
        ([([A], [], [111])], [([A], [], [111])]),
        ([([], [A], [111])], [([], [A], [111])]),
        ([([A1], [], [111])], [([A1], [], [111])]),
        ([([A, B], [], [111])], [([A, B], [], [111])]),
        ([([A], [B], [111])], [([A], [B], [111])]),
        ([([A], [A], [111])], [([], [A], [111])]),
        ([([A], [], [111, 222])], [([A], [], [111, 222])]),
        ([([A, A], [], [111])], [([A], [], [111])]),
        ([([A], [], [111, 111])], [([A], [], [111])]),
        ([([A], [], [111]), ([A], [], [111])], [([A], [], [111])]),
        ([([A], [], [111]), ([], [A], [111])], [([], [A], [111])]),
        ([([A], [], [222]), ([A], [], [111])], [([A], [], [111, 222])]),
        ([([A1], [], [111]), ([A1], [], [222])], [([A1], [], [111, 222])]),
        ([([A1], [], [111]), ([], [A1], [222])], [([A1], [], [111]), ([], [A1], [222])]),
        ([([A], [], [111]), ([B], [], [111])], [([A, B], [], [111])]),
        ([([A1], [], [111]), ([A2], [], [111])], [([A1, A2], [], [111])]),
        (
            [([B], [], [111]), ([B1], [], [111]), ([A1], [], [111]), ([A], [], [111])],
            [([A, A1, B, B1], [], [111])],
        ),
        (
            [([B], [], [111]), ([], [B1], [111]), ([], [A1], [111]), ([], [A], [111])],
            [([B], [A, A1, B1], [111])],
        ),
        ([([A], [], [111]), ([B], [], [222])], [([A], [], [111]), ([B], [], [222])]),
        (
            [([A], [], [111]), ([C], [], [222]), ([D], [], [111]), ([C], [], [333])],
            [([A, D], [], [111]), ([C], [], [222, 333])],
        ),
        (
            [([A], [], [111]), ([], [C], [222]), ([D], [], [111]), ([], [C], [333])],
            [([A, D], [], [111]), ([], [C], [222, 333])],
        ),
    ],
)
def test_pack_subsets(given: list[_Subset], expected: list[_Subset]) -> None:
    repacked = subsets.repack([subset(*one) for one in given])
    assert repacked == [subset(*one) for one in expected]
    assert subsets.repack(repacked) == repacked


def test_of_two_that_are_the_same_the_first_reference_is_kept() -> None:
    foo = EndpointAddress(ip="1.2.3.4", target_ref=TargetRef(name="foo"))
    bar = EndpointAddress(ip="1.2.3.4", target_ref=TargetRef(name="bar"))
    (one,) = subsets.repack([EndpointSubset(addresses=[foo], not_ready_addresses=[bar])])
    assert one == EndpointSubset(not_ready_addresses=[foo])


def numbered(ready: int, unready: int) -> EndpointSubset:
    def several(count: int, net: int) -> _Addresses:
        return [(f"10.{net}.{n // 250}.{n % 250}", "") for n in range(count)]

    return subset(several(ready, 0), several(unready, 1), [80])


@pytest.mark.parametrize(
    ("ready", "unready", "kept_ready", "kept_unready"),
    [
        ([], [], [], []),
        ([50, 100, 100], [50, 100, 100], [50, 100, 100], [50, 100, 100]),
        ([100] * 5, [100] * 5, [100] * 5, [100] * 5),
        (
            [90, 110, 50, 10, 20], [101, 200, 200, 201, 298],
            [90, 110, 50, 10, 20], [73, 144, 144, 145, 214],
        ),
        (
            [205, 400, 402, 400, 693], [100, 200, 200, 200, 300],
            [98, 191, 192, 191, 328], [0] * 5,
        ),
    ],
)  # fmt: skip
def test_truncate_endpoints(
    ready: list[int], unready: list[int], kept_ready: list[int], kept_unready: list[int]
) -> None:
    given = [numbered(*pair) for pair in zip(ready, unready, strict=True)]
    cut = subsets.truncate(given)
    assert [len(one.addresses) for one in cut] == kept_ready
    assert [len(one.not_ready_addresses) for one in cut] == kept_unready


def plan(
    web: Service, pods: Sequence[Pod], current: Endpoints | None = None, trigger: str = NOW
) -> Endpoints | None:
    return endpointsplan.plan(web, pods, current, trigger)


def made(web: Service, pods: Sequence[Pod]) -> Endpoints:
    wanted = plan(web, pods)
    assert wanted is not None
    return wanted


def shown(endpoints: Endpoints) -> list[tuple[list[str], list[str], list[int]]]:
    """IPs that are ready, IPs that are not, ports."""
    return [
        (
            [one.ip for one in each.addresses],
            [one.ip for one in each.not_ready_addresses],
            [port.port or 0 for port in each.ports],
        )
        for each in endpoints.subsets
    ]


@pytest.mark.parametrize(
    ("pods", "spec", "expected"),
    [
        ([], {}, []),
        (many(2), {}, [(["10.244.0.2", "10.244.0.3"], [], [8080])]),
        (many(1, ready=False), {}, [([], ["10.244.0.2"], [8080])]),
        ([pod(1), pod(2, ready=False)], {}, [(["10.244.0.2"], ["10.244.0.3"], [8080])]),
        (many(1, ready=False), ALL, [(["10.244.0.2"], [], [8080])]),
        (many(1, deleting=True), {}, []),
        (many(1, deleting=True), ALL, [(["10.244.0.2"], [], [8080])]),
        (many(1, phase="Failed"), {}, []),
        (many(1, phase="Succeeded"), {}, []),
        (many(1, ips=[]), {}, []),
        (many(1, ips=["10.0.0.1", "2000::1"]), IPV6_FIRST, [(["2000::1"], [], [8080])]),
        (many(1, ips=["10.0.0.1"]), {"ip_families": ["IPv6"]}, []),
        (many(1), {"cluster_ip": "None", "ports": []}, [(["10.244.0.2"], [], [])]),
        (many(1), {"ports": []}, []),
    ],
)  # fmt: skip
def test_sync_endpoints(
    pods: list[Pod], spec: dict[str, Any], expected: list[tuple[list[str], list[str], list[int]]]
) -> None:
    assert shown(made(service(**spec), pods)) == expected


@pytest.mark.parametrize(
    ("spec", "ips", "found"),
    [
        ({"cluster_ip": "10.0.0.1"}, ["1.2.3.4", "2000::1"], "1.2.3.4"),
        ({"cluster_ip": "2001::1"}, ["1.2.3.4", "2000::1"], "2000::1"),
        ({"cluster_ip": "None"}, ["1.2.3.4", "2000::1"], "1.2.3.4"),
        ({"cluster_ip": "None"}, ["2000::1", "1.2.3.4"], "2000::1"),
    ],
)
def test_pod_to_endpoint_address_for_service_empty_ip_families(
    spec: dict[str, Any], ips: list[str], found: str
) -> None:
    address = endpointsplan.address_of(service(ip_families=[], **spec), pod(1, ips=ips))
    assert address is not None
    assert address.ip == found


def test_ports_of_one_number_and_several_protocols() -> None:
    """TestSyncEndpointsProtocolMultiProtocolSamePort, ...UDP, ...SCTP."""
    ports = [
        ServicePort(name=f"p-{protocol.lower()}", port=80, target_port=8080, protocol=protocol)
        for protocol in ("TCP", "UDP", "SCTP")
    ]
    (one,) = made(service(ports=ports), many(1)).subsets
    assert [(port.name, port.port, port.protocol) for port in one.ports] == [
        ("p-tcp", 8080, "TCP"),
        ("p-udp", 8080, "UDP"),
        ("p-sctp", 8080, "SCTP"),
    ]


def test_ports_are_in_the_order_of_kubernetes() -> None:
    """Orders that upstream's NewPortMapKey and RepackSubsets made of random ports."""
    for row in json.loads((DATA / "endpoint-ports.json").read_text()):
        ports = msgspec.convert(row["ports"], list[EndpointPort])
        assert [port.name for port in portorder.of_slice(ports)] == row["slice"]
        assert [port.name for port in portorder.of_endpoints(ports)] == row["endpoints"]


def test_named_ports_that_differ_make_subsets() -> None:
    pods = [
        pod(1, ports=[ContainerPort(name="p", container_port=3000)]),
        pod(2, ports=[ContainerPort(name="p", container_port=3001)]),
        pod(3),
    ]
    web = service(ports=[ServicePort(name="http", port=80, target_port="p")])
    assert shown(made(web, pods)) == [(["10.244.0.2"], [], [3000]), (["10.244.0.3"], [], [3001])]


def test_an_address_says_what_is_behind_it() -> None:
    (one,) = made(service(), [pod(1, hostname="h", subdomain="web")]).subsets
    (address,) = one.addresses
    assert address == EndpointAddress(
        ip="10.244.0.2",
        hostname="h",
        node_name="n",
        target_ref=TargetRef(kind="Pod", namespace="ns", name="p1", uid="uid-p1"),
    )


def test_endpoint_port_from_service_port() -> None:
    web = service(ports=[ServicePort(port=80, target_port=8080, app_protocol="tcp")])
    (one,) = made(web, many(1)).subsets
    assert one.ports == [EndpointPort(port=8080, protocol="TCP", app_protocol="tcp")]


def test_labels_and_annotations() -> None:
    web = service(labels={"foo": "bar"}, cluster_ip="None")
    meta = made(web, many(1)).metadata
    assert meta.labels == {
        "foo": "bar",
        "service.kubernetes.io/headless": "",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
    }
    assert meta.annotations == {"endpoints.kubernetes.io/last-change-trigger-time": NOW}
    assert (meta.name, meta.namespace) == ("web", "ns")


def changed(current: Endpoints, **meta: Any) -> Endpoints:
    return msgspec.structs.replace(
        current, metadata=msgspec.structs.replace(current.metadata, **meta)
    )


def test_what_is_right_is_not_written() -> None:
    """TestSyncEndpointsItemsPreexistingIdentical, ...WithPodResourceVersionUpdateOnly."""
    pods, web = many(5), service(labels={"foo": "bar"})
    current = made(web, pods)
    assert plan(web, pods, current) is None
    (one,) = current.subsets
    mixed = msgspec.structs.replace(one, addresses=one.addresses[::-1])
    assert plan(web, pods, msgspec.structs.replace(current, subsets=[mixed])) is None
    first = one.addresses[0]
    assert first.target_ref is not None
    versioned = msgspec.structs.replace(
        first, target_ref=msgspec.structs.replace(first.target_ref, resource_version="7")
    )
    versions = msgspec.structs.replace(one, addresses=[versioned, *one.addresses[1:]])
    assert plan(web, pods, msgspec.structs.replace(current, subsets=[versions])) is None
    headless = {**current.metadata.labels, "service.kubernetes.io/headless": ""}
    assert plan(web, pods, changed(current, labels=headless)) is None, "as upstream"


def test_what_is_wrong_is_written() -> None:
    """TestSyncEndpointsItemsPreexisting, ...LabelsChange, ...Annotation_AnnotationCleared."""
    pods, web = many(5), service(labels={"foo": "bar"})
    current = made(web, pods)
    assert plan(web, pods[1:], current) is not None
    assert plan(web, pods, changed(current, labels={"foo": "bar"})) is not None, "managed by nobody"
    assert plan(service(), pods, current) is not None
    assert plan(service(labels={"foo": "x"}), pods, current) is not None
    cleared = plan(web, pods[1:], current, trigger="")
    assert cleared is not None
    assert cleared.metadata.annotations == {}
    empty = msgspec.structs.replace(current, subsets=[])
    assert plan(web, pods, empty) is not None


def test_sync_service_over_capacity() -> None:
    over = "endpoints.kubernetes.io/over-capacity"
    pods = many(1001)
    current = made(service(), pods)
    assert current.metadata.annotations[over] == "truncated"
    assert subsets.size(current.subsets) == 1000
    fewer = plan(service(), pods[:900], current)
    assert fewer is not None
    assert over not in fewer.metadata.annotations
    marked = changed(fewer, annotations={over: "truncated"})
    again = plan(service(), pods[:900], marked)
    assert again is not None
    assert over not in again.metadata.annotations


def test_other_annotations_stay() -> None:
    current = Endpoints(metadata=ObjectMeta(name="web", namespace="ns", annotations={"a": "b"}))
    wanted = plan(service(), many(1), current)
    assert wanted is not None
    assert wanted.metadata.annotations["a"] == "b"
