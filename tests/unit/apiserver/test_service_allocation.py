"""Node ports and addresses of Services are given once, kept, and given back.

Named after upstream's tables in pkg/registry/core/service/storage/storage_test.go (v1.36).
"""

import asyncio
from typing import Any

import pytest
from apicluster import MERGE, Answer, Cluster

from kubeherd.cluster.apiserver.admission.service_ports import NODE_PORTS

PATH = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
Ports = list[tuple[int, str, int]]
WEB: Ports = [(80, "TCP", 0), (443, "TCP", 0)]
DNS: Ports = [(53, "TCP", 0), (53, "UDP", 0)]


def service(name: str, ports: Ports, **spec: object) -> dict[str, Any]:
    """A Service with ports p0, p1, ... given as (port, protocol, node port or 0)."""
    items = [
        {"name": f"p{n}", "port": port, "protocol": protocol, **({"nodePort": at} if at else {})}
        for n, (port, protocol, at) in enumerate(ports)
    ]
    return {"metadata": {"name": name}, "spec": {"ports": items, **spec}}


def node_ports(answer: Answer) -> list[int]:
    return [port.get("nodePort", 0) for port in answer.tree["spec"]["ports"]]


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
@pytest.mark.parametrize(
    ("ports", "numbers", "shared"),
    [
        pytest.param([(93, "TCP", 0)], 1, False, id="single_port_unspecified"),
        pytest.param([(93, "TCP", 30093)], 1, False, id="single_port_specified"),
        pytest.param(WEB, 2, False, id="multiport_unspecified"),
        pytest.param([(80, "TCP", 30080), (443, "TCP", 30443)], 2, False, id="multiport_specified"),
        pytest.param(DNS, 1, True, id="multiport_multiproto_unspecified"),
        pytest.param(
            [(53, "TCP", 30053), (53, "UDP", 30054)], 2, False, id="multiport_multiproto_specified"
        ),
        pytest.param(
            [(53, "TCP", 30053), (53, "UDP", 30053)], 1, True, id="multiport_multiproto_same"
        ),
    ],
)
async def test_create_init_node_ports(
    cluster: Cluster, kind: str, ports: Ports, numbers: int, shared: bool
) -> None:
    answer = await cluster.post(PATH, service("s", ports, type=kind))
    assert answer.status == 201
    found = node_ports(answer)
    assert len(set(found)) == numbers
    assert all(number in NODE_PORTS for number in found)
    wanted = [at for _, _, at in ports]
    assert all(at in (0, number) for at, number in zip(wanted, found, strict=True))


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
@pytest.mark.parametrize(
    "ports",
    [
        pytest.param([(80, "TCP", 30080), (443, "TCP", 30080)], id="multiport_same"),
        pytest.param([(93, "TCP", 30093), (76, "UDP", 30093)], id="multiport_multiproto_conflict"),
    ],
)
async def test_create_refuses_one_node_port_for_two_ports(
    cluster: Cluster, kind: str, ports: Ports
) -> None:
    answer = await cluster.post(PATH, service("s", ports, type=kind))
    assert (answer.status, answer.message) == (
        422,
        f'Service "s" is invalid: spec.ports[1].nodePort: Invalid value: {ports[1][2]}: provided '
        "port is already allocated",
    )


@pytest.mark.parametrize(("ports", "found"), [(WEB, [0, 0]), ([(80, "TCP", 30080)], [30080])])
async def test_a_load_balancer_may_do_without(
    cluster: Cluster, ports: Ports, found: list[int]
) -> None:
    wanted = service("s", ports, type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert node_ports(await cluster.post(PATH, wanted)) == found
    assert node_ports(await cluster.put(f"{PATH}/s", wanted)) == found


async def test_node_ports_of_others_and_out_of_range_are_refused(cluster: Cluster) -> None:
    taken = service("a", [(80, "TCP", 31000)], type="NodePort")
    await cluster.post(PATH, taken)
    ours = service("b", [(80, "TCP", 31001)], type="NodePort")
    assert (await cluster.post(PATH, ours)).status == 201
    for port, why in (
        (31000, "provided port is already allocated"),
        (
            8080,
            "provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
    ):
        wanted = [(80, "TCP", port)]
        expected = f"spec.ports[0].nodePort: Invalid value: {port}: {why}"
        created = await cluster.post(PATH, service("c", wanted, type="NodePort"))
        updated = await cluster.put(f"{PATH}/b", service("b", wanted, type="NodePort"))
        assert (created.status, created.message) == (422, f'Service "c" is invalid: {expected}')
        assert (updated.status, updated.message) == (422, f'Service "b" is invalid: {expected}')
    assert node_ports(await cluster.get(f"{PATH}/b")) == [31001]


async def test_update_refuses_one_node_port_for_two_ports(cluster: Cluster) -> None:
    await cluster.post(PATH, service("s", WEB, type="NodePort"))
    same = service("s", [(80, "TCP", 31080), (443, "TCP", 31080)], type="NodePort")
    answer = await cluster.put(f"{PATH}/s", same)
    assert (answer.status, answer.message) == (500, "duplicate nodePort: {TCP 31080}")
    other = service("s", [(80, "TCP", 31080), (443, "UDP", 31080)], type="NodePort")
    assert node_ports(await cluster.put(f"{PATH}/s", other)) == [31080, 31080]


async def test_two_at_once_get_different_ports_and_addresses(cluster: Cluster) -> None:
    """What one has taken is seen before it is durable."""
    fixed = service("", [(80, "TCP", 31500)], type="NodePort", clusterIP="10.96.3.3")
    wanted = [{**fixed, "metadata": {"name": f"s{n}"}} for n in range(4)]
    answers = await asyncio.gather(*(cluster.post(PATH, one) for one in wanted))
    assert sorted(answer.status for answer in answers) == [201, 422, 422, 422]
    ports = [service(f"p{n}", [(80, "TCP", 31600)], type="NodePort") for n in range(4)]
    answers = await asyncio.gather(*(cluster.post(PATH, one) for one in ports))
    assert sorted(answer.status for answer in answers) == [201, 422, 422, 422]


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
async def test_create_delete_reuse(cluster: Cluster, kind: str) -> None:
    local = {"externalTrafficPolicy": "Local"} if kind == "LoadBalancer" else {}
    first = (await cluster.post(PATH, service("s", WEB, type=kind, **local))).tree["spec"]
    same = {"metadata": {"name": "s2"}, "spec": first}
    assert (await cluster.post(PATH, same)).status == 422
    await cluster.call("DELETE", f"{PATH}/s")
    again = await cluster.post(PATH, same)
    assert again.status == 201
    assert again.tree["spec"] == first


async def test_deleting_a_collection_gives_all_back(cluster: Cluster) -> None:
    specs = [
        (await cluster.post(PATH, service(f"s{n}", WEB, type="NodePort"))).tree for n in (1, 2)
    ]
    gone = await cluster.call("DELETE", PATH, query={"fieldSelector": "metadata.name!=kubernetes"})
    assert gone.status == 200
    for old in specs:
        same = {"metadata": {"name": old["metadata"]["name"] + "x"}, "spec": old["spec"]}
        assert (await cluster.post(PATH, same)).status == 201


async def test_patch_allocated_values(cluster: Cluster) -> None:
    """Told by the names of the ports; a port that another one has now is not given back."""
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    before = (await cluster.post(PATH, service("s", WEB, **spec))).tree["spec"]
    renumbered = [(8080, "TCP", 0), (8443, "TCP", 0)]
    after = (await cluster.put(f"{PATH}/s", service("s", renumbered, **spec))).tree["spec"]
    kept = ("clusterIP", "clusterIPs", "healthCheckNodePort")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    numbers = [port["nodePort"] for port in before["ports"]]
    assert [port["nodePort"] for port in after["ports"]] == numbers
    swapped = [(80, "TCP", numbers[1]), (443, "TCP", 0)]
    found = node_ports(await cluster.put(f"{PATH}/s", service("s", swapped, **spec)))
    assert found[0] == numbers[1]
    assert found[1] not in numbers


async def test_health_check_node_ports(cluster: Cluster) -> None:
    spec: dict[str, Any] = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    made = await cluster.post(PATH, service("a", WEB, healthCheckNodePort=31234, **spec))
    assert made.tree["spec"]["healthCheckNodePort"] == 31234
    refused = await cluster.post(PATH, service("b", WEB, healthCheckNodePort=31234, **spec))
    assert (refused.status, refused.message) == (
        500,
        "Internal error occurred: failed to allocate requested HealthCheck NodePort 31234: "
        "provided port is already allocated",
    )
    patch = {"spec": {"externalTrafficPolicy": "Cluster"}}
    assert (
        "healthCheckNodePort" not in (await cluster.patch(f"{PATH}/a", patch, MERGE)).tree["spec"]
    )
    freed = await cluster.post(PATH, service("b", WEB, healthCheckNodePort=31234, **spec))
    assert freed.status == 201


async def test_type_changes_take_and_give_back(cluster: Cluster) -> None:
    """ExternalName, ClusterIP, NodePort, LoadBalancer and back (the tests about updates)."""
    external = {"type": "ExternalName", "externalName": "a.example"}
    await cluster.post(PATH, service("s", WEB, **external))
    assert await addresses(cluster) == {"10.96.0.1": "kubernetes"}

    async def become(**spec: object) -> dict[str, Any]:
        answer = await cluster.patch(f"{PATH}/s", {"spec": spec}, MERGE)
        assert answer.status == 200, answer.message
        tree: dict[str, Any] = answer.tree["spec"]
        return tree

    inside = await become(type="ClusterIP", externalName=None)
    address = inside["clusterIP"]
    assert await addresses(cluster) == {"10.96.0.1": "kubernetes", address: "s"}
    outside = await become(type="NodePort")
    assert outside["clusterIP"] == address
    balanced = await become(type="LoadBalancer", externalTrafficPolicy="Local")
    assert balanced["ports"] == outside["ports"]
    assert balanced["healthCheckNodePort"] in NODE_PORTS
    assert await become(type="ClusterIP") == inside
    assert "clusterIP" not in await become(**external)
    assert await addresses(cluster) == {"10.96.0.1": "kubernetes"}
    wanted = service("t", [(80, "TCP", outside["ports"][0]["nodePort"])], type="NodePort")
    wanted["spec"]["clusterIP"] = address
    assert (await cluster.post(PATH, wanted)).status == 201


async def test_a_dry_run_takes_nothing(cluster: Cluster) -> None:
    dry = {"dryRun": "All"}
    made = await cluster.post(PATH, service("s", WEB, type="NodePort"), query=dry)
    assert (made.status, made.tree["spec"]["clusterIP"]) == (201, "10.96.0.0")
    assert node_ports(made) == [32769, 32770]
    outside = service("s", WEB, clusterIP="1.2.3.4")
    assert (await cluster.post(PATH, outside, query=dry)).message.endswith(
        "failed to allocate IP 1.2.3.4: the provided IP (1.2.3.4) is not in the valid range. The "
        "range of valid IPs is 10.96.0.0/16"
    )
    await cluster.post(PATH, service("s", WEB, clusterIP="10.96.3.3"))
    assert (await cluster.call("DELETE", f"{PATH}/s", query=dry)).status == 200
    assert "10.96.3.3" in await addresses(cluster)


async def addresses(cluster: Cluster) -> dict[str, str]:
    items = (await cluster.get(ADDRESSES)).tree["items"]
    return {one["metadata"]["name"]: one["spec"]["parentRef"]["name"] for one in items}


async def test_an_ip_address_says_whose_it_is(cluster: Cluster) -> None:
    await cluster.post(PATH, service("s", WEB, clusterIP="10.96.3.3"))
    tree = (await cluster.get(f"{ADDRESSES}/10.96.3.3")).tree
    assert tree["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    parent = {"resource": "services", "namespace": "default", "name": "s"}
    assert {key: text for key, text in tree["spec"]["parentRef"].items() if text} == parent


async def test_an_ip_address_of_somebody_else_is_not_given_away(cluster: Cluster) -> None:
    parent = {"group": "a.example", "resource": "gateways", "name": "g"}
    mine = {"metadata": {"name": "10.96.3.3"}, "spec": {"parentRef": parent}}
    assert (await cluster.post(ADDRESSES, mine)).status == 201
    refused = await cluster.post(PATH, service("s", WEB, clusterIP="10.96.3.3"))
    assert refused.message.endswith("provided IP is already allocated")
    await cluster.api.bootstrap()
    assert (await addresses(cluster))["10.96.3.3"] == "g"


async def test_repair_of_ip_addresses(cluster: Cluster) -> None:
    """Named after the cases of ipallocator/controller/repairip_test.go that can happen here."""
    await cluster.post(PATH, service("s", WEB, clusterIP="10.96.3.3"))
    await cluster.call("DELETE", f"{ADDRESSES}/10.96.3.3")
    orphan = (await cluster.get(f"{ADDRESSES}/10.96.0.1")).tree
    orphan["metadata"] = {"name": "10.96.9.9", "labels": orphan["metadata"]["labels"]}
    orphan["spec"]["parentRef"]["name"] = "gone"
    await cluster.post(ADDRESSES, orphan)
    await cluster.api.bootstrap()
    assert await addresses(cluster) == {"10.96.0.1": "kubernetes", "10.96.3.3": "s"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fe80::42:1dff:fe84:f9e2", ""),
        ("255.255.255.255", ""),
        ("10.0.0.01", "must not have leading 0s"),
        ("FE80::1", 'must be in canonical form ("fe80::1")'),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
        ("a", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    ],
)
async def test_names_of_ip_addresses(cluster: Cluster, name: str, why: str) -> None:
    spec = {"parentRef": {"resource": "gateways", "name": "g"}}
    answer = await cluster.post(ADDRESSES, {"metadata": {"name": name}, "spec": spec})
    if why:
        expected = f'metadata.name: Invalid value: "{name}": {why}'
        assert answer.message == f'IPAddress.networking.k8s.io "{name}" is invalid: {expected}'
    else:
        assert answer.status == 201


async def test_the_default_service_cidr(cluster: Cluster) -> None:
    path = "/apis/networking.k8s.io/v1/servicecidrs"
    found = (await cluster.get(f"{path}/kubernetes")).tree
    assert found["spec"] == {"cidrs": ["10.96.0.0/16"]}
    (ready,) = found["status"]["conditions"]
    assert ready.pop("lastTransitionTime")
    assert ready == {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    claimed = {**found, "metadata": {"name": "mine"}, "spec": {"cidrs": ["203.0.113.0/24"]}}
    made = (await cluster.post(path, claimed)).tree
    assert "conditions" not in made["status"]
    wanted = service("s", WEB, clusterIP="203.0.113.10")
    assert (await cluster.post(PATH, wanted)).status == 201
    broadcast = service("t", WEB, clusterIP="203.0.113.255")
    assert (await cluster.post(PATH, broadcast)).status == 422


async def test_deleting_a_service_deletes_its_endpoints(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/endpoints"
    await cluster.post(PATH, service("s", WEB))
    await cluster.post(path, {"metadata": {"name": "s"}})
    await cluster.call("DELETE", f"{PATH}/s")
    assert (await cluster.get(f"{path}/s")).status == 404


async def test_a_headless_service_without_selector_becomes_single_stack(cluster: Cluster) -> None:
    await cluster.post(PATH, service("h", WEB, clusterIP="None"))
    patch = {"spec": {"ipFamilyPolicy": "SingleStack"}}
    changed = await cluster.patch(f"{PATH}/h", patch, MERGE)
    assert changed.tree["spec"]["ipFamilies"] == ["IPv4"]
