"""Controllers and agents against a server that knows nothing but the JSON API of Kubernetes.

Once with every private feature switched off in the clients, as `--portable` and `--json-only` do;
once with clients that try them, against a stand-in that treats msgpack, long-polls and batches as a
real API server does: 415, 406, a stream, 404.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.errors import ApiError, NotAcceptable, NotFound, UnsupportedMediaType
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.client.client import PatchKind
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, pod_tree, simulated
from kubeherd.simulation.edges import Network
from kubeherd.simulation.virtualtime import virtual

MSGPACK = "application/msgpack"
JSON = "application/json"


class PlainKubernetes(Network):
    """A network whose server has no private features; counts how often one was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[int, int] = {}
        self.streams = 0

    async def call(self, client: str, request: ApiRequest, timeout_s: float) -> Any:
        headers = dict(request.headers)
        if headers.get("content-type", "").startswith(MSGPACK):
            return self._refuse(UnsupportedMediaType("the body of the request was in msgpack"))
        if not request.path.startswith(("/api/", "/apis/", "/api", "/version", "/healthz")):
            return self._refuse(NotFound("the server could not find the requested resource"))
        if "accept" in headers:
            accepted = [part.strip() for part in headers["accept"].split(",")]
            known = [part for part in accepted if not part.startswith(MSGPACK)]
            if not known:
                return self._refuse(NotAcceptable("only json and protobuf"))
            headers["accept"] = ", ".join(known)
        query = {name: value for name, value in request.query.items() if name != "poll"}
        self.streams += "watch" in query
        plain = replace(request, headers=headers, query=query)
        return await super().call(client, plain, timeout_s)

    def _refuse(self, error: ApiError) -> ApiResponse:
        self.refused[error.code] = self.refused.get(error.code, 0) + 1
        return ApiResponse(error.code, msgspec.json.encode(error.status()), JSON)


@asynccontextmanager
async def on_plain_kubernetes(
    nodes: int,
) -> AsyncIterator[tuple[SimulatedCluster, PlainKubernetes]]:
    network = PlainKubernetes()
    cluster = SimulatedCluster(1, network=network)
    names = [f"node-{index}" for index in range(nodes)]
    cluster.start_apiserver()
    cluster.start_manager()
    for name in names:
        cluster.start_node(name)
    try:
        await cluster.until_ready(*names)
        yield cluster, network
    finally:
        for name in reversed(list(cluster.processes)):
            await cluster.kill(name)


async def live_through_everything(cluster: SimulatedCluster) -> None:
    """A rollout, a full node, a dead node and its eviction, a deletion with garbage collection."""
    await cluster.admin.create(DAEMONSETS, daemonset_tree(minReadySeconds=2), "default")
    await cluster.until_rolled_out("agent")
    containers = [{"name": "main", "image": "agent:2"}]
    change = {"spec": {"template": {"spec": {"containers": containers}}}}
    await cluster.admin.patch(DAEMONSETS, "agent", change, "default")
    await cluster.until_rolled_out("agent")
    assert {p.spec.containers[0].image for p in await cluster.pods()} == {"agent:2"}

    large = pod_tree("large")
    large["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1k"}}
    await cluster.admin.create(PODS, large, "default")
    await cluster.admin.create(PODS, pod_tree("plain", "node-2"), "default")
    await cluster.clock.sleep(5)
    pending = {p.metadata.name: p for p in await cluster.pods()}["large"].status
    condition = pending.condition("PodScheduled")
    assert condition is not None
    assert condition.reason == "Unschedulable"

    await cluster.kill("node-2")
    await cluster.clock.sleep(60 + 310)
    by_name = {p.metadata.name: p for p in await cluster.pods()}
    assert by_name["plain"].metadata.deletion_timestamp is not None
    await cluster.kill("controller-manager")
    cluster.start("controller-manager")
    cluster.start("node-2")
    await cluster.until_ready("node-2")
    await cluster.until_rolled_out("agent")
    await cluster.clock.sleep(20)
    assert "plain" not in {p.metadata.name for p in await cluster.pods()}

    await cluster.admin.delete(NODES, "node-0")
    await cluster.kill("node-0")
    await cluster.admin.delete(DAEMONSETS, "agent", "default")

    async def collected() -> bool:
        return {p.metadata.name for p in await cluster.pods()} == {"large"}

    await cluster.until(collected, within_s=150)


@virtual
async def test_with_every_private_feature_switched_off() -> None:
    async with simulated(nodes=3, portable=True) as cluster:
        await live_through_everything(cluster)


@virtual
async def test_clients_that_try_private_features_fall_back() -> None:
    async with on_plain_kubernetes(3) as (cluster, network):
        await live_through_everything(cluster)
        assert network.streams > 0
        assert sum(network.refused.values()) <= 20, "asked once each, not again and again"


@virtual
async def test_a_server_that_is_replaced_by_a_plain_one_under_way() -> None:
    """What was learned of the first server does not hold for the second: 415 and streams."""
    async with simulated(nodes=2) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        strict = PlainKubernetes()

        async def plain(client: str, request: ApiRequest, timeout_s: float) -> Any:
            strict.api = cluster.network.api
            strict.cut = cluster.network.cut
            return await strict.call(client, request, timeout_s)

        await cluster.crash_apiserver()
        cluster.network.call = plain  # type: ignore[method-assign]
        cluster.start_apiserver()
        await cluster.clock.sleep(30)
        change = {"metadata": {"annotations": {"x": "y"}}}
        await cluster.admin.patch(DAEMONSETS, "agent", change, "default", kind=PatchKind.MERGE)
        cluster.start_node("node-9")
        await cluster.until_ready("node-9")
        await cluster.until_rolled_out("agent")
        assert len(await cluster.pods()) == 3
        assert strict.refused
