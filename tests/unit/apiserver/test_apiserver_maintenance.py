"""What the server does by itself: events expire, system namespaces come back."""

from apicluster import Cluster

from kubeherd.cluster.apiserver.maintenance import EVENT_TTL_S, INTERVAL_S, Maintenance
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
