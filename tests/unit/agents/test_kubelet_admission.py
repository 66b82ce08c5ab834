"""Kubelet admission: reasons, messages and their order (spec node-lifecycle 11)."""

import pytest
from kubelet_pods import Tree, container, pod
from kubelet_pods import admitting_node as node

from kubeherd.agents.pods.admission import admit
from kubeherd.cluster.api.objects import Pod


def asking(**requests: str) -> Pod:
    return pod(container(resources={"requests": requests}))


PORT = container(ports=[{"containerPort": 80, "hostPort": 8080}])
TAINT = {"key": "dead", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("candidate", "others", "reason", "message"),
    [
        (asking(cpu="2"), [], None, None),
        (
            asking(cpu="1500m"),
            [asking(cpu="600m")],
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000",
        ),
        (
            asking(memory="2Gi", cpu="1"),
            [],
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 2147483648, used: 0, "
            "capacity: 1073741824",
        ),
        (
            pod(),
            [pod(), pod(), pod()],
            "OutOfpods",
            "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
        ),
        (
            asking(**{"example.com/gpu": "1"}),
            [],
            "OutOfexample.com/gpu",
            "Node didn't have enough resource: example.com/gpu, requested: 1, used: 0, capacity: 0",
        ),
        (
            pod(nodeSelector={"disk": "hdd"}),
            [],
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            pod(nodeName="node-2"),
            [],
            "NodeName",
            "Predicate NodeName failed: node(s) didn't match the requested node name",
        ),
        (
            pod(PORT),
            [pod(PORT)],
            "NodePorts",
            "Predicate NodePorts failed: "
            "node(s) didn't have free ports for the requested pod ports",
        ),
        (
            pod(PORT, nodeSelector={"disk": "hdd"}, nodeName="node-2"),
            [pod(PORT)],
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
    ],
)
def test_reasons_and_messages(
    candidate: Pod, others: list[Pod], reason: str | None, message: str | None
) -> None:
    rejection = admit(candidate, node(), others)
    assert (rejection.reason if rejection else None) == reason
    assert (rejection.message if rejection else None) == message


def test_ended_pods_use_nothing() -> None:
    ended = pod(PORT, status={"phase": "Succeeded"})
    assert admit(pod(PORT), node(), [ended] * 5) is None


def test_only_no_execute_taints_count() -> None:
    rejection = admit(pod(), node(taints=[TAINT]), [])
    assert rejection is not None
    assert rejection.reason == "TaintToleration"
    assert rejection.message == (
        "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    )
    tolerant = pod(tolerations=[{"key": "dead", "operator": "Exists"}])
    assert admit(tolerant, node(taints=[TAINT]), []) is None
    assert admit(pod(), node(taints=[{"key": "dead", "effect": "NoSchedule"}]), []) is None


@pytest.mark.parametrize(
    ("fields", "pressures", "refused"),
    [
        ({}, ["MemoryPressure"], True),
        ({"status": {"qosClass": "Burstable"}}, ["MemoryPressure"], False),
        ({"status": {"qosClass": "Burstable"}}, ["DiskPressure"], True),
        ({"priority": 2_000_001_000}, ["DiskPressure", "PIDPressure"], False),
        (
            {"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]},
            ["MemoryPressure"],
            False,
        ),
    ],
)
def test_pressure_evicts_at_the_door(fields: Tree, pressures: list[str], refused: bool) -> None:
    rejection = admit(pod(**fields), node(), [], pressures=pressures)
    assert (rejection is not None) == refused
    if rejection is not None:
        assert rejection.reason == "Evicted"
        assert rejection.message == f"The node had condition: [{' '.join(pressures)}]. "
