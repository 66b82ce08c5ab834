"""Laws of the plans of endpoints, over any pods, Services and slices that are there already.

A Service lives through several states; after each the plan is carried out. Then every pod that
belongs to the Service is in exactly one slice of its ports, no slice is too full, what was written
was worth it, and the next plan writes nothing.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from endpointsworld import pod, service, written
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.objects import ContainerPort, Node, ObjectMeta, Pod
from kubeherd.controller.endpoints import (
    endpointsplan,
    mirrorplan,
    packing,
    pods,
    sliceplan,
    subsets,
)
from kubeherd.controller.endpoints.objects import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    Service,
    ServicePort,
)

LIMIT = 3
TRIGGER = "2026-01-01T00:00:00Z"


def a_pod(number: int, drawn: dict[str, Any]) -> Pod:
    port = ContainerPort(name="p", container_port=8080 + drawn.pop("port"))
    second = [f"2001:db8::{number:x}"] if drawn.pop("dual") else []
    return pod(number, ports=[port], ips=[f"10.244.0.{number}", *second], **drawn)


PODS = st.dictionaries(
    st.integers(1, 12),
    st.fixed_dictionaries(
        {
            "ready": st.booleans(),
            "deleting": st.booleans(),
            "phase": st.sampled_from(["Running", "Running", "Running", "Failed"]),
            "node": st.sampled_from(["n", "n", "m", "gone"]),
            "port": st.sampled_from([0, 0, 0, 1]),
            "dual": st.booleans(),
        }
    ),
    max_size=12,
).map(lambda drawn: [a_pod(number, dict(what)) for number, what in drawn.items()])

SERVICES = st.builds(
    service,
    labels=st.sampled_from([{}, {"a": "b"}, {"a": "c", "service.kubernetes.io/headless": "x"}]),
    cluster_ip=st.sampled_from(["10.96.0.9", "None"]),
    ip_families=st.sampled_from([["IPv4"], ["IPv4"], ["IPv4", "IPv6"], ["IPv6"]]),
    publish_not_ready_addresses=st.booleans(),
    traffic_distribution=st.sampled_from([None, "PreferClose", "PreferSameNode"]),
    ports=st.sampled_from(
        [
            [ServicePort(name="a", port=80, target_port="p")],
            [
                ServicePort(name="a", port=80, target_port=8080),
                ServicePort(name="b", port=81, target_port=81),
            ],
            [ServicePort(name="a", port=80, target_port="nobody's")],
            [],
        ]
    ),
)

STATES = st.lists(st.tuples(SERVICES, PODS), min_size=1, max_size=4)


def node_of(name: str) -> Node | None:
    zones = {"n": "zone-1", "m": ""}
    if name not in zones:
        return None
    labels = {"topology.kubernetes.io/zone": zones[name]}
    return Node(metadata=ObjectMeta(name=name, labels=labels))


def wanted(web: Service, selected: Sequence[Pod]) -> Counter[tuple[str, str, Any]]:
    """(family, pod, ports) of all endpoints, in the words of the spec."""
    out: Counter[tuple[str, str, Any]] = Counter()
    for one in selected:
        known = node_of(one.spec.node_name) is not None or web.spec.publish_not_ready_addresses
        if known and one.status.phase != "Failed":
            for family in sliceplan.address_types(web):
                if any((":" in ip.ip) == (family.value == "IPv6") for ip in one.status.pod_ips):
                    key = packing.ports_key(sliceplan.ports_of(web, one))
                    out[family.value, one.metadata.name, key] += 1
    return out


def check(web: Service, selected: Sequence[Pod], slices: Sequence[EndpointSlice]) -> None:
    """What holds when a plan has been carried out."""
    found = Counter(
        (one.address_type.value, endpoint.target_ref.name, packing.ports_key(one.ports))
        for one in slices
        for endpoint in one.endpoints or ()
        if endpoint.target_ref is not None
    )
    assert found == wanted(web, selected)
    assert all(len(one.endpoints or ()) <= LIMIT for one in slices)
    by_name = {one.metadata.name: one for one in selected}
    families = {one.address_type for one in slices}
    assert families == set(sliceplan.address_types(web)), "an empty one at least"
    for one in slices:
        if not one.endpoints:
            alike = [other for other in slices if other.address_type is one.address_type]
            assert alike == [one] or not one.ports, "as upstream, where no pod has a port"
        assert not sliceplan.labels_of(web, one)[1], "the labels of the Service"
        close = web.spec.traffic_distribution is not None
        for endpoint in one.endpoints or ():
            assert endpoint.target_ref is not None
            behind = by_name[endpoint.target_ref.name]
            node = node_of(behind.spec.node_name)
            made = sliceplan.endpoint_of(behind, node, web, one.address_type)
            assert msgspec.structs.replace(endpoint, hints=None) == made
            hinted = close and endpoint.conditions.ready
            to_node = web.spec.traffic_distribution == "PreferSameNode"
            expects = hinted and bool(endpoint.zone or (to_node and endpoint.node_name))
            assert expects == (endpoint.hints is not None) or not endpoint.conditions.ready


@given(STATES)
@settings(max_examples=60)
def test_slices(states: list[tuple[Service, list[Pod]]]) -> None:
    slices: list[EndpointSlice] = []
    for web, selected in states:
        made = sliceplan.plan(web, selected, node_of, slices, LIMIT)
        before = {one.metadata.name: one for one in slices}
        for changes in made.changes:
            assert all(before[one.metadata.name] != one for one in changes.update), "for nothing"
            assert not (changes.create and changes.delete), "written over instead"
        slices = written(slices, made.changes)
        check(web, selected, slices)
        again = sliceplan.plan(web, selected, node_of, slices, LIMIT)
        assert not any(one.create or one.update or one.delete for one in again.changes)


def test_the_check_can_fail() -> None:
    web, selected = service(), [pod(1), pod(2), pod(3), pod(4)]
    slices = written([], sliceplan.plan(web, selected, node_of, [], LIMIT).changes)
    check(web, selected, slices)
    for wrong in (slices[1:], [*slices, slices[0]], []):
        with pytest.raises(AssertionError):
            check(web, selected, wrong)


@given(STATES)
@settings(max_examples=40)
def test_a_change_of_one_pod_writes_few_slices(states: list[tuple[Service, list[Pod]]]) -> None:
    web, selected = states[0]
    slices = written([], sliceplan.plan(web, selected, node_of, [], LIMIT).changes)
    made = sliceplan.plan(web, selected[1:], node_of, slices, LIMIT)
    for changes in made.changes:
        assert len(changes.create) + len(changes.update) + len(changes.delete) <= 1


@given(SERVICES, PODS, PODS)
@settings(max_examples=60)
def test_endpoints(web: Service, selected: list[Pod], others: list[Pod]) -> None:
    before = endpointsplan.plan(web, others, None, TRIGGER)
    made = endpointsplan.plan(web, selected, before, TRIGGER) or before
    assert made is not None
    assert endpointsplan.plan(web, selected, made, "") is None
    assert subsets.repack(made.subsets) == made.subsets
    shown = Counter(
        (address.ip, port.name, port.port)
        for one in made.subsets
        for address in (*one.addresses, *one.not_ready_addresses)
        for port in one.ports
    )
    assert all(count == 1 for count in shown.values())
    unready_too = web.spec.publish_not_ready_addresses
    expected = {
        (address.ip, port.name, pods.find_port(one, port))
        for one in selected
        if pods.belongs(one, include_terminating=unready_too)
        and (address := endpointsplan.address_of(web, one)) is not None
        for port in web.spec.ports
        if pods.find_port(one, port) is not None
    }
    assert set(shown) == expected


IPS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "no-address"])
ADDRESSES = st.lists(IPS.map(lambda ip: EndpointAddress(ip=ip)), max_size=4)
PORTS = st.lists(
    st.sampled_from([1, 2, 3]).map(lambda n: EndpointPort(name=f"p{n}", port=n, protocol="TCP")),
    max_size=2,
)
BY_HAND = st.lists(
    st.builds(
        EndpointSubset, addresses=ADDRESSES, not_ready_addresses=ADDRESSES, ports=PORTS
    ),
    max_size=3,
)  # fmt: skip


@given(st.lists(BY_HAND, min_size=1, max_size=4))
@settings(max_examples=60)
def test_mirrors(states: list[list[EndpointSubset]]) -> None:
    slices: list[EndpointSlice] = []
    for several in states:
        meta = ObjectMeta(name="e", namespace="ns", uid="uid-e")
        subject = Endpoints(metadata=meta, subsets=several)
        plan = mirrorplan.plan(subject, slices, LIMIT + 1)
        assert not (plan.changes.create and plan.changes.delete) or (
            {one.address_type for one in plan.changes.create}.isdisjoint(
                one.address_type for one in plan.changes.delete
            )
        )
        slices = written(slices, [plan.changes])
        found = Counter(
            (endpoint.addresses[0], packing.ports_key(one.ports))
            for one in slices
            for endpoint in one.endpoints or ()
        )
        assert all(count == 1 for count in found.values())
        repacked = subsets.repack(several)
        assert sum(found.values()) + plan.skipped == subsets.size(repacked)
        again = mirrorplan.plan(subject, slices, LIMIT + 1).changes
        assert again == packing.Changes()
