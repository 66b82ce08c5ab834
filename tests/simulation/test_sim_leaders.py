"""Two controller managers: whatever an old leader has sent, nothing of it is stored once another
one leads. Its writes hang in the network for longer than its lease lasts, which is to the server
what a leader is that was frozen with requests under way."""

import asyncio
from collections import Counter

import pytest

from kubeherd.cluster.api.kinds import DAEMONSETS, LEASES, PODS
from kubeherd.cluster.api.objects import Lease
from kubeherd.cluster.api.private import batch
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse, User, WatchResponse
from kubeherd.cluster.apiserver.write import fencing
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller import registry
from kubeherd.controller.leader import Election, LeaderElector
from kubeherd.controller.manager import Manager
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, simulated
from kubeherd.simulation.edges import Network, Process

OLD, NEW = "controller-manager", "controller-manager-2"
LATE_S = 40.0
SETS = ("a", "b", "c")


class Jam(Network):
    """Holds the writes of one client back. They arrive when the jam is over, whether or not their
    sender still waits: `outcomes` has what each of them came to."""

    def __init__(self) -> None:
        super().__init__()
        self.jammed = ""
        self.over = asyncio.Event()
        self.outcomes: list[tuple[str, int]] = []
        self._late: list[asyncio.Task[ApiResponse | WatchResponse]] = []

    async def call(
        self, client: str, request: ApiRequest, timeout_s: float
    ) -> ApiResponse | WatchResponse:
        if client != self.jammed or request.method == "GET" or self.over.is_set():
            return await super().call(client, request, timeout_s)
        sent = asyncio.create_task(self._arrive(client, request))
        self._late.append(sent)
        done, _ = await asyncio.wait({sent}, timeout=timeout_s)
        if not done:
            raise TransportError("timed out")
        return sent.result()

    async def _arrive(self, client: str, request: ApiRequest) -> ApiResponse | WatchResponse:
        await self.over.wait()
        answer = await super().call(client, request, timeout_s=30)
        assert isinstance(answer, ApiResponse)
        if request.path == batch.PATH:
            sent = batch.decode_requests(request.body)
            answers = batch.decode_answers(answer.body)
            self.outcomes += [
                (one.path, got.status) for one, got in zip(sent, answers, strict=True)
            ]
        elif request.path != "/kubeherd/poll":
            self.outcomes.append((request.path, answer.status))
        return answer

    async def end(self) -> None:
        """Let everything through, and wait until it has arrived."""
        self.over.set()
        await asyncio.gather(*self._late)


async def leader(cluster: SimulatedCluster) -> str:
    """The process that holds the lease."""
    lease = await cluster.admin.get(LEASES, Lease, "kube-controller-manager", "kube-system")
    return (lease.spec.holder_identity or "").partition("_")[0]


async def until_leading(cluster: SimulatedCluster, name: str, within_s: float = 10) -> float:
    async def leads() -> bool:
        return await leader(cluster) == name

    return await cluster.until(leads, within_s=within_s, what=f"{name} leads")


async def succession(seed: int) -> tuple[list[tuple[str, int]], Counter[str]]:
    """An old leader hangs while it replaces lost pods, another one takes over and replaces them,
    then all that the old one has sent arrives. What came of that, and the pods by DaemonSet and
    node."""
    network = Jam()
    async with simulated(seed, nodes=3, network=network) as cluster:
        await until_leading(cluster, OLD)
        cluster.start_manager(name=NEW)
        for name in SETS:
            await cluster.admin.create(DAEMONSETS, daemonset_tree(name), "default")
        for name in SETS:
            await cluster.until_rolled_out(name)
        network.jammed = OLD
        for pod in await cluster.pods():
            await cluster.admin.delete(PODS, pod.metadata.name, "default", grace_period_s=0)
        await until_leading(cluster, NEW, within_s=LATE_S)
        for name in SETS:
            await cluster.until_rolled_out(name)
        await network.end()
        await cluster.clock.sleep(LATE_S)
        assert await leader(cluster) == NEW
        pods = await cluster.pods()
        return network.outcomes, Counter(
            f"{p.metadata.labels['app']} {p.spec.node_name}" for p in pods
        )


@pytest.mark.parametrize("seed", range(2))
def test_what_a_former_leader_has_sent_is_never_stored(seed: int) -> None:
    outcomes, pods = virtualtime.run(succession(seed))
    assert [path for path, _ in outcomes if path.endswith("/pods")], "it had pods to make"
    stored = [one for one in outcomes if one[1] != 409]
    assert stored == [("/api/v1/namespaces/kube-system/events", 201)], "but that it stopped leading"
    assert pods == Counter(f"{name} node-{node}" for name in SETS for node in range(3))


def test_without_the_fence_such_writes_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can see what it looks for."""
    monkeypatch.setattr(fencing, "check", lambda *_: None)
    outcomes, _ = virtualtime.run(succession(0))
    assert [path for path, status in outcomes if path.endswith("/pods") and status == 201]


@virtualtime.virtual
async def test_a_leader_whose_writes_are_refused_competes_again() -> None:
    """Somebody takes its lease away behind its back; it notices by its first write."""
    async with simulated(nodes=2) as cluster:
        path = LEASES.path("kube-system", "kube-controller-manager")
        await until_leading(cluster, OLD)
        lease = await cluster.admin.request("GET", path)
        cluster.identities["node-0"] = "node-0"  # it lives, as far as anybody can see
        spec = {**lease["spec"], "holderIdentity": "node-0", "leaseTransitions": 7}
        await cluster.admin.request("PUT", path, body={**lease, "spec": spec})
        taken_s = cluster.now_s
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.clock.sleep(1.0)
        assert await cluster.pods() == [], "a manager without the lease made pods"
        await cluster.until_rolled_out("agent")
        assert cluster.now_s - taken_s >= 15, "the lease of the other one had not run out"
        assert await leader(cluster) == OLD
        events = await cluster.events("LeaderElection", "kube-system")
        identity = cluster.identities[OLD]
        assert {event["message"]: event["count"] for event in events} == {
            f"{identity} became leader": 2,
            f"{identity} stopped leading": 1,
        }
        assert events[0]["source"] == {"component": "kube-controller-manager"}
        assert events[0]["involvedObject"]["uid"] == lease["metadata"]["uid"]


@virtualtime.virtual
async def test_a_killed_leader_is_succeeded_at_once() -> None:
    async with simulated(nodes=1) as cluster:
        await until_leading(cluster, OLD)
        cluster.start_manager(name=NEW)
        await cluster.kill(OLD)
        killed_s = cluster.now_s
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.until_rolled_out("agent")
        assert cluster.now_s - killed_s < 10
        assert await leader(cluster) == NEW


async def schedule(cluster: SimulatedCluster) -> None:
    """The scheduler as a process of its own, as `--controllers scheduler` runs it."""
    user = User("system:kube-scheduler", ("system:authenticated",))
    client, rng = cluster.client("scheduler", user), Rng(5)
    elector = LeaderElector(
        client, cluster.clock, rng, identity="apart", election=Election(name="kube-scheduler")
    )
    factories = registry.select("scheduler")
    manager = Manager(client, cluster.clock, rng, factories, host="sim", elector=elector)
    await manager.run(asyncio.Event())


@virtualtime.virtual
async def test_a_scheduler_apart_leads_by_its_own_lease() -> None:
    async with simulated(nodes=2) as cluster:
        await cluster.kill(OLD)
        cluster.start_manager("*,-scheduler")
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await cluster.clock.sleep(30)
        assert [pod.spec.node_name for pod in await cluster.pods()] == ["", ""]
        cluster.processes["scheduler"] = Process("scheduler", schedule(cluster))
        await cluster.until_rolled_out("agent")
        holders = {}
        for name in ("kube-controller-manager", "kube-scheduler"):
            lease = await cluster.admin.get(LEASES, Lease, name, "kube-system")
            holders[name] = lease.spec.holder_identity
        identity = cluster.identities[OLD]
        assert holders == {"kube-controller-manager": identity, "kube-scheduler": "apart"}
        events = await cluster.events("LeaderElection", "kube-system")
        assert {event["source"]["component"]: event["message"] for event in events[-2:]} == {
            "kube-controller-manager": f"{identity} became leader",
            "default-scheduler": "apart became leader",
        }
