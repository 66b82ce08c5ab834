"""Services get addresses and node ports, keep them, and share none."""

from ipaddress import IPv4Address

from apicluster import MERGE, Cluster

from kubeherd.cluster.apiserver.admission.service_addresses import CLUSTER_RANGE
from kubeherd.cluster.apiserver.admission.service_ports import NODE_PORTS

PATH = "/api/v1/namespaces/default/services"


def service(name: str, *, ports: int = 1, **spec: object) -> dict[str, object]:
    numbered = [{"name": f"p{n}", "port": 80 + n} for n in range(ports)]
    return {"metadata": {"name": name}, "spec": {"ports": numbered, **spec}}


async def test_addresses_differ_and_come_from_the_range(cluster: Cluster) -> None:
    specs = [(await cluster.post(PATH, service(f"s{n}"))).tree["spec"] for n in range(20)]
    addresses = {spec["clusterIP"] for spec in specs}
    assert len(addresses) == 20
    assert all(IPv4Address(address) in CLUSTER_RANGE for address in addresses)
    assert [spec["clusterIPs"] for spec in specs] == [[spec["clusterIP"]] for spec in specs]
    assert (specs[0]["ipFamilies"], specs[0]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


async def test_an_address_stays(cluster: Cluster) -> None:
    created = (await cluster.post(PATH, service("s", type="NodePort", ports=2))).tree["spec"]
    ports = [port["nodePort"] for port in created["ports"]]
    assert len(set(ports)) == 2
    assert all(port in NODE_PORTS for port in ports)
    replaced = (await cluster.put(f"{PATH}/s", service("s", type="NodePort", ports=3))).tree["spec"]
    assert replaced["clusterIP"] == created["clusterIP"]
    assert [port["nodePort"] for port in replaced["ports"]][:2] == ports
    assert len({port["nodePort"] for port in replaced["ports"]}) == 3
    patch = {"spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}}
    assert (await cluster.patch(f"{PATH}/s", patch, MERGE)).status == 422


async def test_headless_and_external_services_have_none(cluster: Cluster) -> None:
    headless = (await cluster.post(PATH, service("h", clusterIP="None"))).tree["spec"]
    assert (headless["clusterIP"], headless["clusterIPs"]) == ("None", ["None"])
    external = service("e", type="ExternalName", externalName="a.example")
    assert "clusterIP" not in (await cluster.post(PATH, external)).tree["spec"]


async def test_an_address_may_be_asked_for_once(cluster: Cluster) -> None:
    wanted = "10.96.0.10"
    created = await cluster.post(PATH, service("a", clusterIP=wanted))
    assert created.tree["spec"]["clusterIPs"] == [wanted]
    again = await cluster.post(PATH, service("b", clusterIP=wanted))
    assert (again.status, again.message) == (
        422,
        'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to '
        "allocate IP 10.96.0.10: provided IP is already allocated",
    )
    outside = await cluster.post(PATH, service("c", clusterIP="1.2.3.4"))
    assert outside.message.endswith("the provided network does not match the current range")
    nonsense = await cluster.post(PATH, service("d", clusterIP="x"))
    assert nonsense.status == 422


async def test_a_type_changes_in_place(cluster: Cluster) -> None:
    created = (await cluster.post(PATH, service("s"))).tree["spec"]
    assert "nodePort" not in created["ports"][0]
    changed = (await cluster.patch(f"{PATH}/s", {"spec": {"type": "NodePort"}}, MERGE)).tree["spec"]
    assert changed["ports"][0]["nodePort"] in NODE_PORTS
    assert changed["clusterIP"] == created["clusterIP"]
    back = (await cluster.patch(f"{PATH}/s", {"spec": {"type": "ClusterIP"}}, MERGE)).tree["spec"]
    assert back == created


async def test_the_api_server_is_a_service_and_comes_back_only_if_missing(cluster: Cluster) -> None:
    found = await cluster.get(f"{PATH}/kubernetes")
    assert (found.tree["spec"]["clusterIP"], found.tree["spec"]["type"]) == (
        "10.96.0.1",
        "ClusterIP",
    )
    labels = {"component": "apiserver", "provider": "kubernetes"}
    assert found.tree["metadata"]["labels"] == labels
    await cluster.api.bootstrap()
    assert (await cluster.get(f"{PATH}/kubernetes")).tree == found.tree
    await cluster.call("DELETE", f"{PATH}/kubernetes")
    await cluster.api.bootstrap()
    again = (await cluster.get(f"{PATH}/kubernetes")).tree
    assert again["metadata"]["uid"] != found.tree["metadata"]["uid"]


async def test_what_a_type_has_no_use_for_goes(cluster: Cluster) -> None:
    local = service("s", type="LoadBalancer", externalTrafficPolicy="Local")
    created = (await cluster.post(PATH, local)).tree
    assert created["spec"]["healthCheckNodePort"] in NODE_PORTS
    assert created["status"] == {"loadBalancer": {}}
    patch = {"spec": {"type": "ExternalName", "externalName": "a.example"}}
    changed = (await cluster.patch(f"{PATH}/s", patch, MERGE)).tree["spec"]
    assert changed == {
        "ports": [{"name": "p0", "protocol": "TCP", "port": 80, "targetPort": 80}],
        "type": "ExternalName",
        "sessionAffinity": "None",
        "externalName": "a.example",
    }


async def test_families_that_the_cluster_has(cluster: Cluster) -> None:
    headless = service("h", clusterIP="None")
    spec = (await cluster.post(PATH, headless)).tree["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")
    refused = await cluster.post(PATH, service("six", ipFamilies=["IPv6"]))
    assert refused.message.endswith(
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'
    )
    both = await cluster.post(PATH, service("both", ipFamilyPolicy="RequireDualStack"))
    assert both.message.endswith(
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured '
        "for dual-stack services"
    )


async def test_an_address_may_not_change_once_set(cluster: Cluster) -> None:
    old = (await cluster.post(PATH, service("s"))).tree["spec"]["clusterIP"]
    answer = await cluster.patch(f"{PATH}/s", {"spec": {"clusterIP": "10.96.7.7"}}, MERGE)
    assert old != "10.96.7.7"
    assert answer.message == (
        'Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.7.7"]: may not change '
        "once set"
    )
