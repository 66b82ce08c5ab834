"""The slices of a Service: upstream's reconciler_test.go and utils_test.go, by their names."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from endpointsworld import any_node, in_zone, many, names_in, pod, service, sizes, written

from kubeherd.cluster.api.objects import ContainerPort, ObjectMeta, OwnerReference, Pod
from kubeherd.controller.endpoints import sliceplan
from kubeherd.controller.endpoints.objects import (
    AddressType,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    Service,
    ServicePort,
    TargetRef,
)
from kubeherd.controller.endpoints.packing import Changes

IPV4, IPV6 = AddressType.IPV4, AddressType.IPV6
HTTP = EndpointPort(name="http", port=8080, protocol="TCP")


def plan(
    web: Service, pods: Sequence[Pod], existing: Sequence[EndpointSlice] = (), limit: int = 100
) -> list[Changes]:
    made = sliceplan.plan(web, pods, any_node, existing, limit)
    assert not made.problems
    return made.changes


def counts(several: list[Changes]) -> tuple[int, int, int]:
    """Slices created, updated, deleted."""
    return (
        sum(len(one.create) for one in several),
        sum(len(one.update) for one in several),
        sum(len(one.delete) for one in several),
    )


def slice_of(
    name: str, pods: Sequence[Pod], web: Service | None = None, **more: Any
) -> EndpointSlice:
    web = web or service()
    made = sliceplan.blank(web, IPV4, [HTTP])
    fields: dict[str, Any] = {
        "metadata": msgspec.structs.replace(made.metadata, name=name),
        "endpoints": [sliceplan.endpoint_of(one, any_node("n"), web, IPV4) for one in pods],
        **more,
    }
    return msgspec.structs.replace(made, **fields)


# --- reconciler_test.go ---


def test_reconcile_empty() -> None:
    (changes,) = plan(service(), [])
    (placeholder,) = changes.create
    assert (placeholder.endpoints, placeholder.ports) == ([], [])
    assert counts(plan(service(), [], written([], [changes]))) == (0, 0, 0)


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({"ip_families": ["IPv4"]}, [IPV4]),
        ({"ip_families": ["IPv6"], "cluster_ip": "1234::5678"}, [IPV6]),
        ({"ip_families": ["IPv4", "IPv6"]}, [IPV4, IPV6]),
        ({"ip_families": ["IPv6", "IPv4"]}, [IPV6, IPV4]),
        ({"ip_families": [], "cluster_ip": "10.0.0.1"}, [IPV4]),
        ({"ip_families": [], "cluster_ip": "2001::1"}, [IPV6]),
        ({"ip_families": [], "cluster_ip": "None"}, [IPV4, IPV6]),
        ({"ip_families": ["IPv4"], "cluster_ip": "None"}, [IPV4]),
    ],
)
def test_supported_service_address_type(spec: dict[str, Any], families: list[AddressType]) -> None:
    assert sliceplan.address_types(service(**spec)) == families


def test_reconcile_1_pod_of_two_families() -> None:
    """TestReconcile1Pod: each family has a slice of its own."""
    both = pod(1, ips=["1.2.3.4", "1234::5678:0000:0000:9abc:def0"])
    slices = written([], plan(service(ip_families=["IPv4", "IPv6"]), [both]))
    found = {one.address_type: one.endpoints[0].addresses for one in slices if one.endpoints}
    assert found == {IPV4: ["1.2.3.4"], IPV6: ["1234::5678:0:0:9abc:def0"]}


def test_reconcile_1_endpoint_slice() -> None:
    """What is there without a wanted endpoint becomes the placeholder."""
    (changes,) = plan(service(), [], [slice_of("old", [pod(1)])])
    assert counts([changes]) == (0, 1, 0)
    assert changes.update[0].metadata.name == "old"
    assert (changes.update[0].endpoints, changes.update[0].ports) == ([], [])


def test_place_holder_slice_compare() -> None:
    """TestPlaceHolderSliceCompare: only endpoints, ports, namespace and labels count."""
    web = service(ports=[])
    (changes,) = plan(web, [])
    (there,) = written([], [changes])
    versioned = msgspec.structs.replace(
        there, metadata=msgspec.structs.replace(there.metadata, annotations={"a": "b"})
    )
    assert counts(plan(web, [], [versioned])) == (0, 0, 0)
    other = msgspec.structs.replace(
        there, metadata=msgspec.structs.replace(there.metadata, labels={"a": "b"})
    )
    assert counts(plan(web, [], [other])) == (0, 1, 0)


def test_reconcile_publish_not_ready_addresses() -> None:
    slices = written([], plan(service(publish_not_ready_addresses=True), many(3, ready=False)))
    assert all(one.conditions.ready for each in slices for one in each.endpoints or ())


def test_reconcile_many_pods() -> None:
    slices = written([], plan(service(), many(250)))
    assert sizes(slices) == [100, 100, 50]
    assert len(set(names_in(slices))) == 250


def test_some_preexisting() -> None:
    """What exists is filled before anything is created, if it must be written anyway."""
    pods = many(250)
    first, second = slice_of("a", pods[:62]), slice_of("b", pods[62:123])
    changes = plan(service(), pods, [first, second])
    assert counts(changes) == (1, 1, 0), "one that 27 are missing of, and 100 new"
    assert sizes(written([first, second], changes)) == [100, 89, 61]


def test_some_preexisting_worse_allocation() -> None:
    """Packing is not worth writes: 68 and 61 stay, the others get new slices."""
    pods = many(300)
    existing = [slice_of("a", pods[:74]), slice_of("b", pods[74:149])]
    changes = plan(service(), pods, existing)
    assert counts(changes) == (2, 0, 0)
    assert sizes(written(existing, changes)) == [100, 75, 74, 51]


def test_get_slice_to_fill() -> None:
    """What is left goes as a whole into the slice that is fullest then."""
    pods = many(281)
    existing = [slice_of("a", pods[:96]), slice_of("b", pods[96:186]), slice_of("c", pods[186:276])]
    changes = plan(service(), pods, existing)
    assert counts(changes) == (0, 1, 0)
    assert sizes(written(existing, changes)) == [96, 95, 90]
    existing = [slice_of("a", pods[:95]), slice_of("b", pods[95:186]), slice_of("c", pods[186:276])]
    assert sizes(written(existing, plan(service(), pods, existing))) == [100, 91, 90]


def test_updating() -> None:
    """TestReconcileEndpointSlicesUpdating: other ports are other slices, written over the old."""
    pods = many(250)
    slices = written([], plan(service(), pods))
    changed = service(ports=[ServicePort(name="http", port=80, target_port=81)])
    changes = plan(changed, pods, slices)
    assert counts(changes) == (0, 3, 0)
    assert {one.ports[0].port for one in changes[0].update if one.ports} == {81}


def test_services_labels_updating() -> None:
    pods = many(250)
    slices = written([], plan(service(), pods))
    changes = plan(service(labels={"foo": "bar"}), pods, slices)
    assert counts(changes) == (0, 3, 0)
    assert all(one.metadata.labels["foo"] == "bar" for one in changes[0].update)


def test_services_reserved_labels() -> None:
    """A Service may bear the labels of slices: they are not taken over, and nothing is written."""
    pods = many(2)
    slices = written([], plan(service(), pods))
    hijacking = {
        "kubernetes.io/service-name": "bad",
        "endpointslice.kubernetes.io/managed-by": "actor",
        "service.kubernetes.io/headless": "invalid",
    }
    assert counts(plan(service(labels=hijacking), pods, slices)) == (0, 0, 0)


def test_recycling() -> None:
    """New slices are written over those that go: nothing is created, what is left is deleted."""
    pods = many(300)
    old = [slice_of(f"o{n}", many(30, 1000 + 30 * n)) for n in range(10)]
    changes = plan(service(), pods, old)
    assert counts(changes) == (0, 3, 7)
    assert sizes(written(old, changes)) == [100, 100, 100]


def test_update_packing() -> None:
    """TestReconcileEndpointSlicesUpdatePacking: those that change anyway take what is missing."""
    pods = many(200)
    first = slice_of("a", pods[:80])
    second = slice_of("b", pods[80:100])
    changed = [pod(n, ready=False) for n in range(1, 11)] + pods[10:]
    changes = plan(service(), changed, [first, second])
    assert counts(changes) == (0, 2, 0)
    assert sizes(written([first, second], changes)) == [100, 100]


def test_replace_deprecated() -> None:
    """Slices of a type that the Service has no address of are replaced."""
    old = slice_of("old", many(10), address_type=IPV6)
    changes = plan(service(), many(10), [old])
    assert counts(changes) == (1, 0, 1)


@pytest.mark.parametrize(("uid", "outcome"), [("uid-web", (0, 0, 0)), ("other", (1, 0, 1))])
def test_recreation(uid: str, outcome: tuple[int, int, int]) -> None:
    """A slice of a Service of the same name that was there before is never written over."""
    owner = OwnerReference(api_version="v1", kind="Service", name="web", uid=uid, controller=True)
    old = slice_of("old", [pod(1)])
    old = msgspec.structs.replace(
        old, metadata=msgspec.structs.replace(old.metadata, owner_references=[owner])
    )
    assert counts(plan(service(), [pod(1)], [old])) == outcome


def test_named_ports() -> None:
    """Pods whose ports of one name differ are in different slices."""
    pods = [
        pod(n, ports=[ContainerPort(name="p", container_port=8080 + n % 5)]) for n in range(1, 301)
    ]
    web = service(ports=[ServicePort(name="http", port=80, target_port="p")])
    slices = written([], plan(web, pods))
    assert sizes(slices) == [60] * 5
    assert sorted(one.ports[0].port or 0 for one in slices if one.ports) == [*range(8080, 8085)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(50, [50] * 5), (80, [80, 80, 80, 10]), (150, [150, 100]), (250, [250]), (500, [250])],
)
def test_max_endpoints_per_slice(limit: int, expected: list[int]) -> None:
    assert sizes(written([], plan(service(), many(250), limit=limit))) == expected


@pytest.mark.parametrize(
    ("nodes", "publish", "found", "problems"),
    [
        ({"n"}, False, ["p1"], 1),
        ({"n"}, True, ["p1", "p2"], 0),
        (set(), False, [], 2),
        (set(), True, ["p1", "p2"], 0),
    ],
)
def test_pod_missing_node(nodes: set[str], publish: bool, found: list[str], problems: int) -> None:
    pods = [pod(1, node="n"), pod(2, node="gone")]
    web = service(publish_not_ready_addresses=publish)
    made = sliceplan.plan(
        web, pods, lambda name: any_node(name) if name in nodes else None, [], 100
    )
    assert names_in(written([], made.changes)) == found
    assert len(made.problems) == problems
    if problems:
        assert made.problems[-1] == "skipping Pod p2 for Service ns/web: Node gone Not Found"


def test_headless_service_no_ports() -> None:
    (one,) = written([], plan(service(cluster_ip="None", ports=[]), many(2)))
    assert (one.ports, len(one.endpoints or ())) == ([], 2)


def test_an_empty_slice_of_the_same_ports_is_filled() -> None:
    web = service(cluster_ip="None", ports=[])
    placeholder = written([], plan(web, []))
    assert counts(plan(web, many(3), placeholder)) == (0, 1, 0)


# --- utils_test.go ---


@pytest.mark.parametrize(
    ("what", "publish", "conditions"),
    [
        ({}, False, (True, True, False)),
        ({}, True, (True, True, False)),
        ({"ready": False}, False, (False, False, False)),
        ({"ready": False}, True, (True, False, False)),
        ({"deleting": True}, False, (False, True, True)),
        ({"deleting": True}, True, (True, True, True)),
        ({"deleting": True, "ready": False}, False, (False, False, True)),
    ],
)
def test_pod_to_endpoint_conditions(
    what: dict[str, Any], publish: bool, conditions: tuple[bool, bool, bool]
) -> None:
    web = service(publish_not_ready_addresses=publish)
    made = sliceplan.endpoint_of(pod(**what), None, web, IPV4)
    ready, serving, terminating = conditions
    assert made.conditions == EndpointConditions(
        ready=ready, serving=serving, terminating=terminating
    )


def test_pod_to_endpoint_fields() -> None:
    named = pod(1, hostname="h", subdomain="web", ips=["10.1.2.3", "10.1.2.4", "1234::1"])
    made = sliceplan.endpoint_of(named, in_zone("us-central1-a"), service(), IPV4)
    assert made.addresses == ["10.1.2.3", "10.1.2.4"]
    assert (made.hostname, made.node_name, made.zone) == ("h", "n", "us-central1-a")
    assert made.target_ref == TargetRef(kind="Pod", namespace="ns", name="p1", uid="uid-p1")
    assert sliceplan.endpoint_of(pod(1), any_node("n"), service(), IPV4).zone is None


def test_get_endpoint_ports() -> None:
    web = service(
        ports=[
            ServicePort(name="http", port=80, target_port=8080, app_protocol="example.com/x"),
            ServicePort(name="https", port=443, target_port="tls"),
            ServicePort(name="lost", port=1, target_port="nobody-has-it"),
        ]
    )
    tls = [ContainerPort(name="tls", container_port=8443)]
    found = sliceplan.ports_of(web, pod(ports=tls))
    assert [(port.name, port.port, port.protocol, port.app_protocol) for port in found] == [
        ("http", 8080, "TCP", "example.com/x"),
        ("https", 8443, "TCP", None),
    ]


@pytest.mark.parametrize(
    ("spec", "labels", "expected"),
    [
        ({}, {}, {}),
        ({}, {"foo": "bar"}, {"foo": "bar"}),
        ({"cluster_ip": "None"}, {"a": "b"}, {"a": "b", "service.kubernetes.io/headless": ""}),
        ({}, {"service.kubernetes.io/headless": "x"}, {}),
        ({}, {"endpointslice.kubernetes.io/managed-by": "x", "foo": "bar"}, {"foo": "bar"}),
    ],
)  # fmt: skip
def test_new_endpoint_slice(
    spec: dict[str, Any], labels: dict[str, str], expected: dict[str, str]
) -> None:
    made = sliceplan.blank(service(labels=labels, **spec), IPV4, [])
    own = {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert made.metadata.labels == expected | own
    assert made.metadata.generate_name == "web-"
    (owner,) = made.metadata.owner_references
    assert (owner.kind, owner.uid, owner.controller) == ("Service", "uid-web", True)


def test_a_name_that_is_long_gets_no_dash() -> None:
    assert sliceplan.name_prefix("a" * 252) == "a" * 252 + "-"
    assert sliceplan.name_prefix("a" * 253) == "a" * 253


@pytest.mark.parametrize(
    ("has", "changed"),
    [
        ({}, True),
        ({"foo": "bar"}, False),
        ({"foo": "bar", "more": "x"}, True),
        ({"foo": "bar", "kubernetes.io/service-name": "other"}, False),
        ({"foo": "bar", "service.kubernetes.io/headless": ""}, False),
    ],
)
def test_set_endpoint_slice_labels(has: dict[str, str], changed: bool) -> None:
    """TestSetEndpointSliceLabels: what is reserved is set, but nothing is written for it alone."""
    existing = EndpointSlice(metadata=ObjectMeta(labels=has), address_type=IPV4)
    assert sliceplan.labels_of(service(labels={"foo": "bar"}), existing)[1] is changed


def test_versions_of_pods_are_no_change() -> None:
    """TestEndpointsEqualBeyondHash."""
    there = slice_of("a", [pod(1)])
    assert there.endpoints is not None
    (endpoint,) = there.endpoints
    assert endpoint.target_ref is not None
    ref = msgspec.structs.replace(endpoint.target_ref, resource_version="7")
    versioned = [msgspec.structs.replace(endpoint, target_ref=ref)]
    there = msgspec.structs.replace(there, endpoints=versioned)
    assert counts(plan(service(), [pod(1)], [there])) == (0, 0, 0)
    assert counts(plan(service(), [pod(1, node="other")], [there])) == (0, 1, 0)
