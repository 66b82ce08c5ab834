"""Objects of Chaos Mesh as faults: what maps does, what does not is refused by name."""

from typing import Any

import pytest
import yaml

from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults.chaosmesh import Deletion, Planned, planned
from kubeherd.cluster.launcher.faults.chaosmeshselectors import PodKey, PodSeen, Seen
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.faults import Fault, Nodes, effects
from kubeherd.faults.effects import Direction, Moment


def pod(name: str, node: str, namespace: str = "shop", **more) -> PodSeen:
    return PodSeen(key=PodKey(namespace, name), node=node, labels={"app": name[:3]}, **more)


SEEN = Seen(
    nodes={"a": {"zone": "x"}, "b": {"zone": "x"}, "c": {"zone": "y"}},
    pods=[
        pod("web-0", "a"),
        pod("web-1", "b", phase="Pending"),
        pod("web-2", "c", annotations={"hit": "me"}),
        pod("two-0", "c", containers=("main", "side")),
        pod("web-9", "a", namespace="default"),
    ],
)
ALL_NODES: dict[str, Any] = {"selector": {"nodes": ["a", "b", "c"]}, "mode": "all"}
WEB: dict[str, Any] = {
    "selector": {"namespaces": ["shop"], "labelSelectors": {"app": "web"}},
    "mode": "all",
}


def read(kind: str, seed: int = 1, namespace: str = "shop", **spec) -> Planned:
    metadata = {"name": "Web.Outage", "namespace": namespace}
    return planned({"kind": kind, "metadata": metadata, "spec": spec}, SEEN, Rng(seed))


def hurts(kind: str, **spec) -> list[effects.Effect]:
    return [fault.effect for fault, _ in read(kind, **{**ALL_NODES, **spec}).faults]


def chosen(seed: int = 1, namespace: str = "shop", **spec) -> tuple[str, ...]:
    found = read("NetworkChaos", seed, namespace, action="partition", **spec)
    target = found.faults[0][0].target
    assert isinstance(target, Nodes)
    return target.names


def test_a_whole_object_as_it_stands_in_a_file():
    tree = yaml.safe_load("""
        apiVersion: chaos-mesh.org/v1alpha1
        kind: NetworkChaos
        metadata: {name: zone-x, namespace: chaos-testing}
        spec:
          action: partition
          mode: all
          selector: {nodeSelectors: {zone: x}}
          direction: both
          duration: 1m30s
    """)
    both = effects.Partition(direction=Direction.BOTH)
    fault = Fault(id="zone-x", target=Nodes(("a", "b")), effect=both)
    assert planned(tree, SEEN, Rng(1)) == Planned(faults=((fault, 90.0),))
    assert read("NetworkChaos", action="partition", **ALL_NODES).faults[0][0].id == "web-outage"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"action": "partition"}, [effects.Partition(direction=Direction.REQUESTS)]),
        (
            {"action": "partition", "direction": "from"},
            [effects.Partition(direction=Direction.ANSWERS)],
        ),
        (
            {"action": "delay", "delay": {"latency": "10ms", "jitter": "4ms", "correlation": "0"}},
            [effects.SlowNetwork(latency_s=0.005, jitter_s=0.002)],
        ),
        (
            {"action": "delay", "direction": "both", "delay": {"latency": "10ms"}},
            [effects.SlowNetwork(latency_s=0.01)],
        ),
        (
            {"action": "loss", "loss": {"loss": "100"}},
            [effects.Partition(direction=Direction.REQUESTS)],
        ),
        (
            {"action": "loss", "direction": "both", "loss": {"loss": "25"}},
            [
                effects.ApiDrop(moment=Moment.BEFORE, probability=0.25),
                effects.ApiDrop(moment=Moment.AFTER, probability=0.25),
            ],
        ),
        (
            {"action": "bandwidth", "bandwidth": {"rate": "1mbps", "limit": 20, "buffer": 30}},
            [effects.SlowNetwork(bandwidth_bytes_per_s=1_000_000)],
        ),
        (
            {"action": "bandwidth", "bandwidth": {"rate": "8 kbit", "limit": 20, "buffer": 30}},
            [effects.SlowNetwork(bandwidth_bytes_per_s=1000)],
        ),
        (
            {"action": "netem", "delay": {"latency": "2s"}, "rate": {"rate": "8bit"}},
            [effects.SlowNetwork(latency_s=1.0), effects.SlowNetwork(bandwidth_bytes_per_s=1)],
        ),
    ],
    ids=str,
)
def test_networks(spec, expected):
    assert hurts("NetworkChaos", **spec) == expected


def test_clocks():
    assert hurts("TimeChaos", timeOffset="-10m") == [effects.ClockSkew(offset_s=-600)]


def test_pods():
    names = ("shop/web-0", "shop/web-1", "shop/web-2")
    failure = read("PodChaos", action="pod-failure", duration="30s", **WEB)
    assert failure.faults == (
        (
            Fault(
                id="web-outage",
                target=Nodes(("a", "b", "c")),
                effect=effects.PodUnready(names=names),
            ),
            30.0,
        ),
    )
    [(killed, for_s)] = read("PodChaos", action="container-kill", **WEB).faults
    assert killed.effect == effects.PodCrash(after_s=1.0, exit_code=137, names=names)
    assert for_s == 0.9
    kill = read("PodChaos", action="pod-kill", gracePeriod=5, **WEB)
    assert kill.faults == ()
    assert kill.deletions == tuple(
        Deletion(PodKey("shop", f"web-{number}"), 5) for number in range(3)
    )


@pytest.mark.parametrize(
    ("selector", "nodes"),
    [
        ({}, ("a", "b", "c")),
        ({"nodes": ["b"], "nodeSelectors": {"zone": "x"}}, ("b",)),
        ({"nodeSelectors": {"zone": "y"}}, ("c",)),
        ({"labelSelectors": {"app": "web"}}, ("a", "b", "c")),
        ({"labelSelectors": {"app": "web"}, "nodes": ["a", "c"]}, ("a", "c")),
        ({"namespaces": ["default"]}, ("a",)),
        ({"pods": {"shop": ["web-1", "two-0"], "default": ["web-1"]}}, ("b", "c")),
        ({"podPhaseSelectors": ["Pending"]}, ("b",)),
        ({"annotationSelectors": {"hit": "me"}}, ("c",)),
        ({"fieldSelectors": {"spec.nodeName": "a", "status.phase": "Running"}}, ("a",)),
        (
            {"expressionSelectors": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
            ("c",),
        ),
    ],
    ids=str,
)
def test_selectors(selector, nodes):
    assert chosen(selector=selector, mode="all") == nodes


@pytest.mark.parametrize(
    ("mode", "value", "counts"),
    [
        ("one", "", {1}),
        ("all", "", {3}),
        ("fixed", "2", {2}),
        ("fixed", "9", {3}),
        ("fixed-percent", "1", {1}),
        ("fixed-percent", "34", {2}),
        ("random-max-percent", "100", {1, 2, 3}),
    ],
)
def test_modes(mode, value, counts):
    of_seed = [chosen(seed, selector={}, mode=mode, value=value) for seed in range(60)]
    assert {len(nodes) for nodes in of_seed} == counts
    assert chosen(7, selector={}, mode=mode, value=value) == of_seed[7]
    if counts == {1}:
        assert set(of_seed) == {("a",), ("b",), ("c",)}


@pytest.mark.parametrize(
    ("kind", "spec", "what"),
    [
        ("StressChaos", "{}", " of chaos-mesh.org/v1alpha1"),
        ("NetworkChaos", "action: corrupt", '.spec.action "corrupt"'),
        ("NetworkChaos", "{action: partition, target: {mode: all}}", ".spec.target"),
        ("NetworkChaos", "{action: partition, externalTargets: [x]}", ".spec.externalTargets"),
        (
            "NetworkChaos",
            "{action: delay, delay: {latency: 1s, reorder: {gap: 1}}}",
            ".spec.delay.reorder",
        ),
        (
            "NetworkChaos",
            "{action: delay, delay: {latency: 1s, correlation: '25'}}",
            ".spec.delay.correlation",
        ),
        ("PodChaos", "action: pod-eat", '.spec.action "pod-eat"'),
        ("PodChaos", "{action: pod-failure, gracePeriod: 3}", ".spec.gracePeriod"),
        (
            "PodChaos",
            "{action: container-kill, containerNames: [side]}",
            '.spec.containerNames "side"',
        ),
        ("PodChaos", "{action: pod-kill, remoteCluster: far}", ".spec.remoteCluster"),
        ("TimeChaos", "{timeOffset: 1s, containerNames: [main]}", ".spec.containerNames"),
        (
            "TimeChaos",
            "{timeOffset: 1s, clockIds: [CLOCK_MONOTONIC]}",
            '.spec.clockIds "CLOCK_MONOTONIC"',
        ),
        (
            "TimeChaos",
            "{timeOffset: 1s, selector: {fieldSelectors: {spec.x: y}}}",
            '.spec: selector.fieldSelectors "spec.x"',
        ),
    ],
)
def test_what_does_not_map_is_refused_by_name(kind, spec, what):
    with pytest.raises(LauncherError) as refused:
        read(kind, **{**ALL_NODES, **yaml.safe_load(spec)})
    assert str(refused.value) == f"{kind}{what} has no counterpart"


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("NetworkChaos", "action: delay", ".delay: is needed for the action delay"),
        (
            "NetworkChaos",
            "{action: delay, delay: {latency: soon}}",
            '.delay.latency: time: invalid duration "soon"',
        ),
        (
            "NetworkChaos",
            "{action: loss, loss: {loss: '101'}}",
            '.loss.loss: "101" is not between 0 and 100',
        ),
        (
            "NetworkChaos",
            "{action: partition, direction: up}",
            '.direction: "up" is none of to, from, both',
        ),
        (
            "NetworkChaos",
            "{action: bandwidth, bandwidth: {rate: fast}}",
            ' rate: "fast" is no rate, as 1mbps',
        ),
        (
            "NetworkChaos",
            "{action: partition, color: red}",
            ": Object contains unknown field `color`",
        ),
        ("TimeChaos", "{timeOffset: 1s, mode: some}", ": Invalid enum value 'some' - at `$.mode`"),
        ("TimeChaos", "{timeOffset: 1s, selector: {nodes: [z]}}", ": the selector selects nothing"),
        (
            "TimeChaos",
            "{timeOffset: 1s, mode: fixed, value: few}",
            ': value "few" is none for the mode fixed',
        ),
        (
            "TimeChaos",
            "{timeOffset: 1s, mode: fixed-percent, value: '101'}",
            ': value "101" is none for the mode fixed-percent',
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_path(kind, spec, why):
    with pytest.raises(LauncherError) as refused:
        read(kind, **{**ALL_NODES, **yaml.safe_load(spec)})
    assert str(refused.value) == f"{kind}.spec{why}"
