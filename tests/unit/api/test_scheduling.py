"""Taints, node affinity, resource requests and host ports."""

import pytest

from kubeherd.cluster.api.helpers import scheduling
from kubeherd.cluster.api.helpers.scheduling import HostPort, TaintEffect
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import (
    Container,
    ContainerPort,
    ObjectMeta,
    Pod,
    PodSpec,
    ResourceRequirements,
    Taint,
    Toleration,
)


def taint(key: str = "a", value: str = "1", effect: str = "NoSchedule") -> Taint:
    return Taint(key=key, value=value, effect=effect)


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (Toleration(key="a", value="1"), True),
        (Toleration(key="a", operator="Equal", value="1", effect="NoSchedule"), True),
        (Toleration(key="a", value="2"), False),
        (Toleration(key="b", value="1"), False),
        (Toleration(key="a", operator="Exists"), True),
        (Toleration(operator="Exists"), True),
        (Toleration(operator="Exists", effect="NoExecute"), False),
        (Toleration(key="a", operator="Gt", value="0"), False),
    ],
)
def test_toleration_of_a_taint(toleration: Toleration, expected: bool) -> None:
    assert scheduling.tolerates(toleration, taint()) is expected


def test_first_untolerated_looks_only_at_the_given_effects() -> None:
    taints = [taint("soft", effect="PreferNoSchedule"), taint("a"), taint("b", effect="NoExecute")]
    assert scheduling.first_untolerated(taints, []) == taints[1]
    assert scheduling.first_untolerated(taints, [], scheduling.NO_EXECUTE) == taints[2]
    everything = [Toleration(operator="Exists")]
    assert scheduling.first_untolerated(taints, everything) is None
    assert scheduling.first_untolerated(taints[:1], [], frozenset(TaintEffect)) == taints[0]


def required(*terms: JsonObject) -> JsonObject:
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}
        }
    }


def expression(key: str, operator: str, *values: str) -> JsonObject:
    out: JsonObject = {"key": key, "operator": operator}
    if values:
        out["values"] = list(values)
    return {"matchExpressions": [out]}


def field(operator: str, *values: str, key: str = "metadata.name") -> JsonObject:
    return {"matchFields": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (expression("zone", "In", "a", "b"), True),
        (expression("zone", "In", "b"), False),
        (expression("zone", "NotIn", "b"), True),
        (expression("zone", "NotIn", "a"), False),
        (expression("absent", "NotIn", "a"), True),
        (expression("zone", "Exists"), True),
        (expression("absent", "Exists"), False),
        (expression("absent", "DoesNotExist"), True),
        (expression("zone", "DoesNotExist"), False),
        (expression("cores", "Gt", "7"), True),
        (expression("cores", "Gt", "8"), False),
        (expression("cores", "Lt", "9"), True),
        (expression("zone", "Gt", "1"), False),
        (expression("absent", "Lt", "1"), False),
        (field("In", "n1"), True),
        (field("In", "n2"), False),
        (field("NotIn", "n2"), True),
        # what cannot be parsed matches nothing
        ({}, False),
        (expression("zone", "In"), False),
        (expression("zone", "Exists", "a"), False),
        (expression("zone", "Near", "a"), False),
        (expression("cores", "Gt", "x"), False),
        (expression("cores", "Gt", "1", "2"), False),
        (expression("zone", "NotIn", "not a label value"), False),
        (field("In", "n1", "n2"), False),
        (field("Exists", "n1"), False),
        (field("NotIn", "n2", key="metadata.namespace"), False),
    ],
)
def test_node_selector_term(term: JsonObject, expected: bool) -> None:
    match = scheduling.required_node_match({}, required(term))
    assert match is not None
    assert match({"zone": "a", "cores": "8"}, "n1") is expected


def test_terms_are_ored_and_requirements_anded_with_the_node_selector() -> None:
    both = {**expression("zone", "In", "a"), **field("In", "n1")}
    match = scheduling.required_node_match({"disk": "ssd"}, required(both, field("In", "n9")))
    assert match is not None
    assert match({"disk": "ssd", "zone": "a"}, "n1")
    assert not match({"disk": "ssd", "zone": "b"}, "n1")
    assert match({"disk": "ssd"}, "n9")
    assert not match({"disk": "hdd"}, "n9")


def test_no_condition_and_no_terms() -> None:
    assert scheduling.required_node_match({}, None) is None
    assert scheduling.required_node_match({}, {"podAffinity": {}}) is None
    nothing = scheduling.required_node_match({}, required())
    assert nothing is not None
    assert not nothing({}, "n1")


def test_named_nodes_intersects_inside_a_term_and_unites_terms() -> None:
    def names(*values: str) -> JsonObject:
        return {"key": "metadata.name", "operator": "In", "values": list(values)}

    contradiction = {"matchFields": [names("a"), names("b")]}
    assert scheduling.named_nodes(required(contradiction)) == frozenset()
    assert scheduling.named_nodes(required(field("In", "a"), field("In", "b"))) == frozenset("ab")
    assert scheduling.named_nodes(required(field("In", "a"), expression("z", "Exists"))) is None
    assert scheduling.named_nodes(None) is None


def pod(node_name: str = "", affinity: JsonObject | None = None) -> Pod:
    return Pod(metadata=ObjectMeta(name="p"), spec=PodSpec(node_name=node_name, affinity=affinity))


def test_target_node_name() -> None:
    aimed = required(field("In", "n2"))
    assert scheduling.target_node_name(pod("n1", aimed)) == "n1"
    assert scheduling.target_node_name(pod("", aimed)) == "n2"
    assert scheduling.target_node_name(pod("", required(field("In", "n2", "n3")))) == ""
    assert scheduling.target_node_name(pod("", required(expression("z", "Exists")))) == ""
    assert scheduling.target_node_name(pod()) == ""


def container(cpu: str = "", memory: str = "", restart_policy: str = "") -> Container:
    requests: dict[str, str | int | float] = {}
    if cpu:
        requests["cpu"] = cpu
    if memory:
        requests["memory"] = memory
    return Container(
        resources=ResourceRequirements(requests=requests), restart_policy=restart_policy
    )


def test_requests_are_the_larger_of_running_and_starting() -> None:
    spec = PodSpec(
        containers=(container("100m", "1Mi"), container("200m")),
        init_containers=(container("250m", "3Mi"), container("1", "1Mi")),
    )
    assert scheduling.pod_requests(spec) == {"cpu": 1000, "memory": 3 * 2**20}


def test_sidecars_count_beside_containers_and_later_init_stages() -> None:
    spec = PodSpec(
        containers=(container("100m"),),
        init_containers=(
            container("300m"),
            container("50m", restart_policy="Always"),
            container("400m"),
        ),
    )
    assert scheduling.pod_requests(spec) == {"cpu": 450}


def test_pod_level_requests_replace_and_overhead_adds() -> None:
    spec = PodSpec(
        containers=(container("100m", "1Mi"),),
        resources=ResourceRequirements(requests={"cpu": "2", "example.com/gpu": "4"}),
        overhead={"cpu": "10m"},
    )
    assert scheduling.pod_requests(spec) == {"cpu": 2010, "memory": 2**20}


def test_host_ports_of_containers_and_sidecars() -> None:
    def with_port(port: ContainerPort, restart_policy: str = "") -> Container:
        return Container(restart_policy=restart_policy, ports=(port,))

    spec = PodSpec(
        containers=(
            with_port(ContainerPort(host_port=80)),
            with_port(ContainerPort(container_port=81)),
        ),
        init_containers=(
            with_port(ContainerPort(host_port=1)),
            with_port(ContainerPort(host_port=53, protocol="UDP", host_ip="10.0.0.1"), "Always"),
        ),
    )
    assert scheduling.host_ports(spec) == [
        HostPort("0.0.0.0", "TCP", 80),
        HostPort("10.0.0.1", "UDP", 53),
    ]


@pytest.mark.parametrize(
    ("wanted", "used", "expected"),
    [
        (HostPort("0.0.0.0", "TCP", 80), HostPort("10.0.0.1", "TCP", 80), True),
        (HostPort("10.0.0.1", "TCP", 80), HostPort("0.0.0.0", "TCP", 80), True),
        (HostPort("10.0.0.1", "TCP", 80), HostPort("10.0.0.1", "TCP", 80), True),
        (HostPort("10.0.0.1", "TCP", 80), HostPort("10.0.0.2", "TCP", 80), False),
        (HostPort("0.0.0.0", "TCP", 80), HostPort("0.0.0.0", "UDP", 80), False),
        (HostPort("0.0.0.0", "TCP", 80), HostPort("0.0.0.0", "TCP", 81), False),
    ],
)
def test_when_host_ports_are_in_conflict(wanted: HostPort, used: HostPort, expected: bool) -> None:
    assert scheduling.ports_conflict([wanted], [used]) is expected
