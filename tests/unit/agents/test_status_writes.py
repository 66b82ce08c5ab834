"""How often a pod's status is written: once for each change, whatever the pod asks for."""

from agentworld import POD, a_pod, ready, with_agent
from fakeapi import FakeApi

from kubeherd.cluster.api.kinds import PODS
from kubeherd.simulation.virtualtime import VirtualClock

RESOURCES = {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}


def test_a_pod_that_asks_for_resources_writes_its_status_once() -> None:
    async def scenario(api: FakeApi, clock: VirtualClock, _: object) -> None:
        containers = [{"name": "web", "image": "nginx", "resources": RESOURCES}]
        api.put(PODS, a_pod(containers=containers))
        await clock.sleep(60)
        assert ready(api) == "True"
        assert api.objects[POD]["status"]["resources"] == RESOURCES
        assert api.count("PATCH", f"{POD}/status") == 1

    with_agent(scenario)
