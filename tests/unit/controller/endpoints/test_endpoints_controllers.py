"""The shells of the three controllers, against a server in memory on virtual time."""

from typing import Any

from controllerworld import node, play, pod
from fakeapi import FakeApi, failing_writes, undisturbed

from kubeherd.cluster.api.errors import Forbidden, Invalid
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import ENDPOINTS, ENDPOINTSLICES, NODES, PODS, SERVICES
from kubeherd.controller.endpoints.endpoints import EndpointsController
from kubeherd.controller.endpoints.endpointslice import EndpointSliceController
from kubeherd.controller.endpoints.mirroring import EndpointSliceMirroringController

ALL = (EndpointsController, EndpointSliceController, EndpointSliceMirroringController)
PATH = ENDPOINTSLICES.path("ns")


def service(name: str = "web", **spec: Any) -> JsonObject:
    fields = {
        "selector": {"app": "web"},
        "clusterIP": "10.96.0.9",
        "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        **spec,
    }
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": fields}


def running(number: int, ready: bool = True, **labels: str) -> JsonObject:
    tree = pod(f"p{number}", "a", ready)
    ip = f"10.244.{number // 250}.{number % 250 + 1}"
    tree["metadata"]["labels"] = {"app": "web", **labels}
    tree["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    return tree


def slices(api: FakeApi, name: str = "web") -> list[JsonObject]:
    return [
        one
        for one in api.all(ENDPOINTSLICES)
        if one["metadata"]["labels"].get("kubernetes.io/service-name") == name
    ]


def addresses(api: FakeApi, name: str = "web") -> list[str]:
    return sorted(
        endpoint["addresses"][0]
        for one in slices(api, name)
        for endpoint in one.get("endpoints") or ()
    )


def in_endpoints(api: FakeApi, name: str = "web") -> list[str]:
    tree = api.get(ENDPOINTS, name, "ns") or {}
    return sorted(a["ip"] for one in tree.get("subsets", ()) for a in one.get("addresses", ()))


def test_endpoints_follow_the_pods() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(SERVICES, service())
        await api.clock.sleep(1)
        assert len(slices(api)) == 1, "the empty one"
        assert in_endpoints(api) == []
        for number in (1, 2, 3):
            api.put(PODS, running(number))
        await api.clock.sleep(1)
        assert addresses(api) == in_endpoints(api) == ["10.244.0.2", "10.244.0.3", "10.244.0.4"]
        api.put(PODS, running(3, ready=False))
        api.remove(PODS, "p1", "ns")
        await api.clock.sleep(1)
        assert in_endpoints(api) == ["10.244.0.3"]
        (one,) = slices(api)
        assert [each["conditions"]["ready"] for each in one["endpoints"]] == [True, False]
        before = len(api.writes)
        await api.clock.sleep(60)
        assert len(api.writes) == before

    play(*ALL, scenario=scenario)


def test_changes_of_many_pods_are_few_writes() -> None:
    """TestPodUpdatesBatching: 300 pods that become ready within 3 s."""

    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        for number in range(300):
            api.put(PODS, running(number, ready=False))
        api.put(SERVICES, service())
        await api.clock.sleep(2)
        before = len(api.writes)
        for number in range(300):
            api.put(PODS, running(number))
            await api.clock.sleep(0.01)
        await api.clock.sleep(2)
        assert len(in_endpoints(api)) == 300
        assert len(api.writes) - before < 40

    play(EndpointsController, EndpointSliceController, scenario=scenario)


def test_a_service_that_goes_takes_its_endpoints_along() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(PODS, running(1))
        api.put(SERVICES, service())
        await api.clock.sleep(1)
        assert in_endpoints(api) == ["10.244.0.2"]
        api.remove(SERVICES, "web", "ns")
        await api.clock.sleep(1)
        assert api.get(ENDPOINTS, "web", "ns") is None
        assert len(slices(api)) == 1, "the garbage collector's"

    play(EndpointsController, EndpointSliceController, scenario=scenario)


def test_services_without_selector_and_aliases_are_left_alone() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(PODS, running(1))
        api.put(SERVICES, service("plain", selector=None))
        api.put(SERVICES, service("alias", type="ExternalName"))
        await api.clock.sleep(1)
        assert api.writes == []

    play(EndpointsController, EndpointSliceController, scenario=scenario)


def test_what_others_do_to_endpoints_is_repaired() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.put(PODS, running(1))
        api.put(SERVICES, service())
        await api.clock.sleep(1)
        (one,) = slices(api)
        api.remove(ENDPOINTSLICES, one["metadata"]["name"], "ns")
        api.remove(ENDPOINTS, "web", "ns")
        await api.clock.sleep(2)
        assert addresses(api) == in_endpoints(api) == ["10.244.0.2"]
        (one,) = slices(api)
        api.change(ENDPOINTSLICES, one["metadata"]["name"], {"endpoints": []}, "ns")
        await api.clock.sleep(2)
        assert addresses(api) == ["10.244.0.2"]

    play(EndpointsController, EndpointSliceController, scenario=scenario)


def test_what_was_left_over_is_deleted_at_the_start() -> None:
    """TestCheckLeftoverEndpoints; what bears no mark of the controller stays."""
    mark = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    election = {"control-plane.alpha.kubernetes.io/leader": "x"}

    def bare(name: str, **meta: Any) -> JsonObject:
        return {"metadata": {"name": name, "namespace": "ns", **meta}}

    async def scenario(api: FakeApi) -> None:
        await api.clock.sleep(1)

    def prepared(context: Any) -> EndpointsController:
        api = context.client.transport
        api.put(ENDPOINTS, bare("left", labels=mark))
        api.put(ENDPOINTS, bare("elected", labels=mark, annotations=election))
        api.put(ENDPOINTS, bare("by-hand"))
        return EndpointsController(context)

    api = play(prepared, scenario=scenario)
    assert sorted(one["metadata"]["name"] for one in api.all(ENDPOINTS)) == ["by-hand", "elected"]


def test_a_pod_on_a_node_that_is_unknown_is_looked_for_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(PODS, running(1))
        api.put(SERVICES, service())
        await api.clock.sleep(0.5)
        assert addresses(api) == []
        about, reason, message = api.events()[0]
        assert (about, reason) == ("web", "FailedToUpdateEndpointSlices")
        assert message == (
            "Error updating Endpoint Slices for Service ns/web: "
            "skipping Pod p1 for Service ns/web: Node a Not Found"
        )
        api.put(NODES, node("a"))
        await api.clock.sleep(5)
        assert addresses(api) == ["10.244.0.2"]

    play(EndpointSliceController, scenario=scenario)


def test_refused_endpoints_are_told_and_tried_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("endpoints", Invalid("no"))
        api.put(SERVICES, service())
        await api.clock.sleep(0.5)
        message = "Failed to create endpoint for service ns/web: no"
        assert ("web", "FailedToCreateEndpoint", message) in api.events()
        api.disturbance = undisturbed
        await api.clock.sleep(5)
        assert api.get(ENDPOINTS, "web", "ns") is not None
        api.disturbance = failing_writes("endpoints", Invalid("no"))
        api.put(PODS, running(1))
        await api.clock.sleep(0.5)
        message = "Failed to update endpoint ns/web: no"
        assert ("web", "FailedToUpdateEndpoint", message) in api.events()

    play(EndpointsController, scenario=scenario)


def test_refused_slices_are_told_and_tried_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(NODES, node("a"))
        api.disturbance = failing_writes("endpointslices", Invalid("no"))
        api.put(SERVICES, service())
        await api.clock.sleep(0.5)
        message = (
            "Error updating Endpoint Slices for Service ns/web: "
            "failed to create EndpointSlice for Service ns/web: no"
        )
        assert ("web", "FailedToUpdateEndpointSlices", message) in api.events()
        api.disturbance = undisturbed
        await api.clock.sleep(5)
        (one,) = slices(api)
        api.disturbance = failing_writes("endpointslices", Invalid("no"))
        api.put(PODS, running(1))
        await api.clock.sleep(0.5)
        name = one["metadata"]["name"]
        message = (
            "Error updating Endpoint Slices for Service ns/web: "
            f"failed to update {name} EndpointSlice for Service ns/web: no"
        )
        assert ("web", "FailedToUpdateEndpointSlices", message) in api.events()

    play(EndpointSliceController, scenario=scenario)


def test_a_namespace_that_is_going_is_no_error() -> None:
    causes = [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]
    forbidden = Forbidden("unable to create new content", details={"causes": causes})

    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("endpoints", forbidden)
        api.put(SERVICES, service())
        await api.clock.sleep(30)
        assert api.events() == []
        assert len(api.writes) == 2

    play(EndpointsController, EndpointSliceController, scenario=scenario)


def by_hand(*ips: str) -> JsonObject:
    subset = {
        "addresses": [{"ip": ip} for ip in ips],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    return {"metadata": {"name": "web", "namespace": "ns"}, "subsets": [subset]}


def test_endpoints_made_by_hand_are_mirrored() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(ENDPOINTS, by_hand("10.1.2.3"))
        await api.clock.sleep(1)
        assert slices(api) == [], "without a Service there is nothing to mirror for"
        api.put(SERVICES, service(selector=None))
        await api.clock.sleep(1)
        assert addresses(api) == ["10.1.2.3"]
        api.put(ENDPOINTS, by_hand("10.1.2.4", "not-an-ip"))
        await api.clock.sleep(1)
        assert addresses(api) == ["10.1.2.4"]
        message = "Skipped 1 invalid IP addresses when mirroring to EndpointSlices"
        assert ("web", "InvalidIPAddress", message) in api.events()
        (one,) = slices(api)
        api.change(ENDPOINTSLICES, one["metadata"]["name"], {"endpoints": []}, "ns")
        await api.clock.sleep(2)
        assert addresses(api) == ["10.1.2.4"], "what others change is repaired"
        api.put(SERVICES, service())
        await api.clock.sleep(1)
        assert slices(api) == [], "with a selector the Service has slices of its own"
        api.put(SERVICES, service(selector=None))
        await api.clock.sleep(1)
        assert addresses(api) == ["10.1.2.4"]
        api.remove(ENDPOINTS, "web", "ns")
        await api.clock.sleep(1)
        assert slices(api) == []

    play(EndpointSliceMirroringController, scenario=scenario)


def test_too_many_addresses_are_told() -> None:
    async def scenario(api: FakeApi) -> None:
        ips = [f"10.1.{n // 250}.{n % 250 + 1}" for n in range(1001)]
        api.put(SERVICES, service(selector=None))
        api.put(ENDPOINTS, by_hand(*ips))
        await api.clock.sleep(1)
        assert len(addresses(api)) == 1000
        (event,) = api.events()
        assert event == (
            "web",
            "TooManyAddressesToMirror",
            "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. "
            "1 addresses were skipped",
        )

    play(EndpointSliceMirroringController, scenario=scenario)
