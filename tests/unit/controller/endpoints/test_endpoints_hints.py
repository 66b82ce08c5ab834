"""Hints for `trafficDistribution`: upstream's trafficdist_test.go."""

import msgspec
import pytest
from endpointsworld import in_zone, pod, service, written

from kubeherd.cluster.api.objects import Node
from kubeherd.controller.endpoints import sliceplan, trafficdist
from kubeherd.controller.endpoints.objects import (
    EndpointHints,
    EndpointSlice,
    HintName,
    Service,
)
from kubeherd.controller.endpoints.packing import Changes

TOPOLOGY = "service.kubernetes.io/topology-mode"
PODS = [pod(1, node="a"), pod(2, node="b"), pod(3, node="b", ready=False)]


def close(value: str | None, **annotations: str) -> Service:
    web = service(traffic_distribution=value)
    meta = msgspec.structs.replace(
        web.metadata, annotations={k.replace("_", "-"): v for k, v in annotations.items()}
    )
    return msgspec.structs.replace(web, metadata=meta)


def plan(web: Service, existing: list[EndpointSlice], zones: bool = True) -> list[Changes]:
    def node(name: str) -> Node:
        return in_zone(f"zone-{name}" if zones else "")

    return sliceplan.plan(web, PODS, node, existing).changes


def hints(slices: list[EndpointSlice]) -> list[EndpointHints | None]:
    return [one.hints for each in slices for one in each.endpoints or ()]


def zone(name: str) -> EndpointHints:
    return EndpointHints(for_zones=[HintName(name=f"zone-{name}")])


def with_node(name: str) -> EndpointHints:
    return EndpointHints(for_zones=[HintName(name=f"zone-{name}")], for_nodes=[HintName(name=name)])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("PreferClose", [zone("a"), zone("b"), None]),
        ("PreferSameZone", [zone("a"), zone("b"), None]),
        ("PreferSameNode", [with_node("a"), with_node("b"), None]),
        ("Unknown", [None, None, None]),
        (None, [None, None, None]),
    ],
)
def test_reconcile_hints(value: str | None, expected: list[EndpointHints | None]) -> None:
    slices = written([], plan(close(value), []))
    assert hints(slices) == expected
    assert not any(one.create or one.update for one in plan(close(value), slices))


def test_without_zones_there_are_only_hints_for_nodes() -> None:
    assert hints(written([], plan(close("PreferClose"), [], zones=False))) == [None, None, None]
    (first, *_) = hints(written([], plan(close("PreferSameNode"), [], zones=False)))
    assert first == EndpointHints(for_nodes=[HintName(name="a")])


def test_wrong_hints_are_mended_and_superfluous_ones_removed() -> None:
    slices = written([], plan(close("PreferClose"), []))
    to_nodes = written(slices, plan(close("PreferSameNode"), slices))
    assert hints(to_nodes) == [with_node("a"), with_node("b"), None]
    removed = written(to_nodes, plan(close(None), to_nodes))
    assert hints(removed) == [None, None, None]


def test_an_endpoint_that_is_not_ready_causes_no_update() -> None:
    slices = written([], plan(close("PreferClose"), []))
    (one,) = slices
    endpoints = list(one.endpoints or ())
    endpoints[2] = msgspec.structs.replace(endpoints[2], hints=zone("x"))
    odd = msgspec.structs.replace(one, endpoints=endpoints)
    assert not any(changes.update for changes in plan(close("PreferClose"), [odd]))


@pytest.mark.parametrize(
    ("annotations", "asked"),
    [
        ({}, False),
        ({TOPOLOGY: "Auto"}, True),
        ({TOPOLOGY: "auto"}, True),
        ({TOPOLOGY: "aUto"}, False),
        ({TOPOLOGY: "disabled"}, False),
        ({"service.kubernetes.io/topology-aware-hints": "auto"}, True),
        ({"service.kubernetes.io/topology-aware-hints": "disabled", TOPOLOGY: "auto"}, False),
        ({"service.kubernetes.io/topology-aware-hints": "auto", TOPOLOGY: "disabled"}, True),
    ],
)
def test_hints_enabled(annotations: dict[str, str], asked: bool) -> None:
    web = close("PreferClose", **annotations)
    assert trafficdist.by_topology(web) is asked
    assert trafficdist.wanted(web) is not asked
