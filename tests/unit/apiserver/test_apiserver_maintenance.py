"""What the server does by itself: events expire, system namespaces come back."""

from apicluster import Cluster

from kubeherd.cluster.apiserver.maintenance import INTERVAL_S, Maintenance
from kubeherd.cluster.apiserver.write.storedform import EVENT_TTL_S
from kubeherd.cluster.runtime.clock import LoopClock

EVENTS = "/api/v1/namespaces/default/events"


class SettableClock(LoopClock):
    """A clock whose monotonic time the test sets."""

    at_s = 0.0

    def monotonic_s(self) -> float:
        return self.at_s


async def _event(cluster: Cluster, name: str) -> None:
    body = {"metadata": {"name": name}, "involvedObject": {"namespace": "default"}}
    assert (await cluster.post(EVENTS, body)).status == 201


async def test_events_expire_an_hour_after_their_last_write(cluster: Cluster) -> None:
    clock = SettableClock()
    maintenance = Maintenance(cluster.api.services.registry, clock)
    for name in ("old", "renewed"):
        await _event(cluster, name)
    for minute in range(61):
        clock.at_s = minute * INTERVAL_S
        if minute == 30:
            await cluster.patch(f"{EVENTS}/renewed", {"count": 2})
        await maintenance.one_pass()
        names = [item["metadata"]["name"] for item in (await cluster.get(EVENTS)).tree["items"]]
        assert ("old" in names) is (clock.at_s < EVENT_TTL_S)
    assert names == ["renewed"]


async def test_a_removed_system_namespace_comes_back(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/kube-node-lease"
    marked = (await cluster.delete(path)).tree
    await cluster.put(f"{path}/finalize", marked | {"spec": {"finalizers": []}})
    assert (await cluster.get(path)).status == 404
    await Maintenance(cluster.api.services.registry, cluster.clock).one_pass()
    assert (await cluster.get(path)).tree["status"] == {"phase": "Active"}


async def test_the_servers_own_service_has_endpoints_and_comes_back(cluster: Cluster) -> None:
    """As the Conformance spec "should have Endpoints and EndpointSlices pointing to API Server"."""
    service = "/api/v1/namespaces/default/services/kubernetes"
    endpoints = "/api/v1/namespaces/default/endpoints/kubernetes"
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    tree = (await cluster.get(endpoints)).tree
    assert tree["metadata"]["labels"] == {"endpointslice.kubernetes.io/skip-mirror": "true"}
    (subset,) = tree["subsets"]
    (one,) = (await cluster.get(slices)).tree["items"]
    assert one["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
    assert one["endpoints"][0]["addresses"] == [subset["addresses"][0]["ip"]]
    for path in (service, endpoints, f"{slices}/kubernetes"):
        await cluster.delete(path)
    await Maintenance(cluster.api.services.registry, cluster.clock).one_pass()
    assert (await cluster.get(service)).tree["spec"]["clusterIP"] == "10.96.0.1"
    assert (await cluster.get(endpoints)).tree["subsets"] == [subset]
    assert (await cluster.get(f"{slices}/kubernetes")).status == 200
