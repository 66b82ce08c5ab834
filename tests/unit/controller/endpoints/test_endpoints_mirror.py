"""Mirrors of Endpoints: upstream's endpointslicemirroring/reconciler_test.go, by its cases."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from endpointsworld import sizes, written

from kubeherd.cluster.api.objects import ObjectMeta, OwnerReference
from kubeherd.controller.endpoints import mirrorplan
from kubeherd.controller.endpoints.objects import (
    AddressType,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HTTP = EndpointPort(name="http", port=80, protocol="TCP")
HTTPS = EndpointPort(name="https", port=443, protocol="UDP")
OTHER = EndpointPort(name="http", port=3000, protocol="TCP")


def subset(
    ready: Sequence[str], unready: Sequence[str] = (), ports: Sequence[EndpointPort] = (HTTP, HTTPS)
) -> EndpointSubset:
    def addresses(ips: Sequence[str]) -> list[EndpointAddress]:
        return [EndpointAddress(ip=ip, hostname=f"host-{ip[-1]}", node_name="node-1") for ip in ips]

    return EndpointSubset(
        addresses=addresses(ready), not_ready_addresses=addresses(unready), ports=[*ports]
    )


def endpoints(*subsets: EndpointSubset, **meta: Any) -> Endpoints:
    fields = {"name": "test-ep", "namespace": "ns", "uid": "uid-ep", **meta}
    return Endpoints(metadata=ObjectMeta(**fields), subsets=[*subsets])


def numbers(subject: Endpoints, existing: Sequence[EndpointSlice] = ()) -> tuple[int, int, int]:
    changes = mirrorplan.plan(subject, existing).changes
    return len(changes.create), len(changes.update), len(changes.delete)


def mirrored(subject: Endpoints) -> list[EndpointSlice]:
    return written([], [mirrorplan.plan(subject, []).changes])


FIRST = subset(["10.0.0.1", "10.0.0.2"])
SECOND = subset(["10.0.1.1", "10.0.1.2", "10.0.1.3"], ports=[OTHER])


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        ([], []),
        ([subset([])], []),
        ([subset(["10.0.0.1"])], [1]),
        ([subset(["10.0.0.1"], ports=[HTTP]), subset(["10.0.0.2"], ports=[OTHER])], [1, 1]),
        ([subset(["10.0.0.1"], ports=[HTTP]), subset(["10.0.0.1"], ports=[OTHER])], [1]),
        ([subset(["10.0.0.1"]), subset(["10.0.0.2"])], [2]),
        ([subset([], ["10.0.0.1", "10.0.0.2"])], [2]),
        ([subset(["10.0.0.1", "10.0.0.2"], ["10.0.0.3", "10.0.0.4"])], [4]),
        ([FIRST, SECOND], [3, 2]),
        ([subset(["10.0.0.1", "2001:db8::1", "2001:db8::2"])], [2, 1]),
        ([subset(["2001:db8::1", "2001:db8::2"])], [2]),
    ],
)
def test_reconcile(subsets: list[EndpointSubset], expected: list[int]) -> None:
    subject = endpoints(*subsets)
    slices = mirrored(subject)
    assert sizes(slices) == expected
    assert numbers(subject, slices) == (0, 0, 0), "mirrored once is enough"


def test_a_mirror_says_what_the_endpoints_say() -> None:
    (one,) = mirrored(endpoints(subset(["10.0.0.1"], ["10.0.0.2"]), labels={"foo": "bar"}))
    assert one.metadata.labels == {
        "foo": "bar",
        "kubernetes.io/service-name": "test-ep",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    assert one.metadata.generate_name == "test-ep-"
    (owner,) = one.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid, owner.controller) == (
        "Endpoints", "test-ep", "uid-ep", True,
    )  # fmt: skip
    assert one.endpoints is not None
    first, second = one.endpoints
    assert (first.addresses, first.conditions.ready, first.hostname) == (
        ["10.0.0.1"],
        True,
        "host-1",
    )
    assert (second.addresses, second.conditions.ready) == (["10.0.0.2"], False)
    assert first.conditions.serving is first.conditions.terminating is None
    assert one.ports == [HTTP, HTTPS]


def changed(one: EndpointSlice, **meta: Any) -> EndpointSlice:
    return msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, **meta))


def test_an_existing_slice_is_written_over_when_it_differs() -> None:
    subject = endpoints(FIRST, labels={"foo": "bar"})
    (there,) = mirrored(subject)
    assert numbers(subject, [there]) == (0, 0, 0)
    other_labels = {**there.metadata.labels, "foo": "x"}
    assert numbers(subject, [changed(there, labels=other_labels)]) == (0, 1, 0)
    assert numbers(subject, [changed(there, annotations={"foo": "bar"})]) == (0, 1, 0)
    assert numbers(subject, [msgspec.structs.replace(there, endpoints=None)]) == (0, 1, 0)
    some = msgspec.structs.replace(there, endpoints=(there.endpoints or [])[:1])
    assert numbers(subject, [some]) == (0, 1, 0)
    before = OwnerReference(api_version="v1", kind="Endpoints", name="test-ep", uid="uid-before")
    assert numbers(subject, [changed(there, owner_references=[before])]) == (0, 1, 0)
    (update,) = mirrorplan.plan(subject, [some]).changes.update
    assert (update.metadata.name, update.metadata.resource_version) == (there.metadata.name, "")


def test_of_several_slices_of_one_set_of_ports_one_is_kept() -> None:
    subject = endpoints(FIRST)
    (there,) = mirrored(subject)
    assert numbers(subject, [there, changed(there, name="second")]) == (0, 0, 1)


def test_new_slices_are_written_over_those_that_go() -> None:
    (there,) = mirrored(endpoints(FIRST))
    assert numbers(endpoints(SECOND), [there]) == (0, 1, 0)
    assert numbers(endpoints(), [there]) == (0, 0, 1)
    of_other_type = msgspec.structs.replace(there, address_type=AddressType.IPV6)
    assert numbers(endpoints(SECOND), [of_other_type]) == (1, 0, 1)


def test_invalid_addresses_are_told_and_left_out() -> None:
    plan = mirrorplan.plan(endpoints(subset(["10.0.0.1", "this-is-not-an-ip", "nor-is-this"])), [])
    assert (plan.invalid, plan.skipped) == (2, 2)
    assert sizes(plan.changes.create) == [1]


def test_a_subset_beyond_the_limit_is_cut() -> None:
    plan = mirrorplan.plan(endpoints(FIRST, SECOND), [], limit=2)
    assert (plan.invalid, plan.skipped) == (0, 1)
    assert sizes(plan.changes.create) == [2, 2]


@pytest.mark.parametrize(
    ("annotations", "mirrored_annotations"),
    [
        ({LAST_APPLIED: "x"}, {}),
        ({LAST_APPLIED: ""}, {}),
        ({"foo": "bar", LAST_APPLIED: "x"}, {"foo": "bar"}),
        ({"endpoints.kubernetes.io/last-change-trigger-time": "x"}, {}),
    ],
)
def test_annotations_are_mirrored_but_for_two(
    annotations: dict[str, str], mirrored_annotations: dict[str, str]
) -> None:
    subject = endpoints(FIRST, annotations=annotations)
    (one,) = mirrored(subject)
    assert one.metadata.annotations == mirrored_annotations
    assert numbers(subject, [one]) == (0, 0, 0)
    assert numbers(subject, [changed(one, annotations=annotations)]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("meta", "mirrors"),
    [
        ({}, True),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}, False),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "invalid"}}, True),
        ({"annotations": {"control-plane.alpha.kubernetes.io/leader": ""}}, False),
    ],
)
def test_should_mirror(meta: dict[str, Any], mirrors: bool) -> None:
    assert mirrorplan.should_mirror(endpoints(**meta)) is mirrors
