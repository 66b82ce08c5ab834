"""A whole cluster in one process on virtual time: the real store, API server, controllers, agents.

Only the edges are replaced: HTTP by calls of `ApiServer.handle`, the disk by a list of committed
rows, time by an event loop that jumps to its next timer, chance by one seed. So the long waits of
Kubernetes (50 s grace, 300 s tolerations, 15 min back-off) pass in milliseconds, and the same seed
gives the same history, byte for byte. Every component can be crashed and started again between
any two steps; a crashed API server forgets everything that was not committed.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypedDict, Unpack

from kubeherd.agents.fleet import Fleet
from kubeherd.agents.node.nodestatus import NodeConfig
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers import nodeutil
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, NODES, PODS, Resource
from kubeherd.cluster.api.objects import DaemonSet, Node, Pod
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.server import ApiServer, attrs_of
from kubeherd.cluster.apiserver.write.heavywork import HeavyWork
from kubeherd.cluster.client.batching import BatchingTransport
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import Transport, TransportError
from kubeherd.cluster.runtime.clock import OffsetClock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.cluster.runtime.turns import Turns
from kubeherd.cluster.store.followed import FollowedStore
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.store import MAX_HISTORY_EVENTS, Store
from kubeherd.controller import registry
from kubeherd.controller.accounts import ACCOUNTS
from kubeherd.controller.leader import LeaderElector
from kubeherd.controller.manager import Manager
from kubeherd.history import Record
from kubeherd.simulation import virtualtime
from kubeherd.simulation.edges import Disk, InProcessTransport, Network, Process, Serving
from kubeherd.simulation.founding import founded
from kubeherd.simulation.recording import SimulatedRecorder
from kubeherd.simulation.virtualtime import VirtualClock

ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))
CONTROLLER_MANAGER = User("system:kube-controller-manager", ("system:authenticated",))
SCHEDULER = User("system:kube-scheduler", ("system:authenticated",))
ALL_CONTROLLERS = User(
    CONTROLLER_MANAGER.name, ("kubeherd:controller-managers", *CONTROLLER_MANAGER.groups)
)
"""One identity for whoever is in the process."""

FLEET_GROUPS = ("kubeherd:fleet-agents", "system:authenticated")

ROOT_CA = b"the simulated authority"


def node_user(name: str) -> User:
    return User(f"system:node:{name}", ("system:nodes", "system:authenticated"))


def account_user(name: str) -> User:
    """A service account of kube-system."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system")
    return User(f"system:serviceaccount:kube-system:{name}", (*groups, "system:authenticated"))


class Options(TypedDict, total=False):
    """What is unusual about a simulated cluster."""

    portable: bool
    """Its clients ask for nothing that only kubeherd has."""
    accounts: bool
    """Each controller acts as its own service account."""
    max_history_events: int
    """So many events can be resumed at; who is further behind gets 410 Gone."""
    disk: Disk
    network: Network
    record: bool
    """Its history can be followed: see `SimulatedCluster.follow`."""
    record_requests: bool
    """Requests and their answers are in that history, too."""


class SimulatedCluster:
    """Use it as ``async with simulated(seed=..., nodes=...) as cluster:`` on a virtual loop."""

    def __init__(self, seed: int, **options: Unpack[Options]) -> None:
        self.clock = VirtualClock(virtualtime.EPOCH)
        self.rng = Rng(seed)
        self.disk = options.get("disk") or Disk()
        if not self.disk.rows:
            self.disk.keep(founded())
        self.network = options.get("network") or Network()
        self.processes: dict[str, Process] = {}
        self.identities: dict[str, str] = {}
        """Of the controller managers, by the names of their processes."""
        self.configs: dict[str, NodeConfig] = {}
        self.managers: dict[str, Manager] = {}
        self.fleets: dict[str, Fleet] = {}
        """The nodes of agent processes, by the names of these."""
        self.apiserver: ApiServer | None = None
        """The one that serves."""
        self.on_start: Callable[[str], None] = lambda _name: None
        """Told the name of a component when it can be told what goes wrong with it."""
        self._clocks: dict[str, OffsetClock] = {}
        self._recorder = SimulatedRecorder(self.clock) if options.get("record") else None
        self._record_requests = options.get("record_requests", False)
        self.store: Store
        """That of the API server's newest life."""
        """Of the nodes, through all their lives."""
        self._portable = options.get("portable", False)
        self._accounts = options.get("accounts", False)
        self._history_events = options.get("max_history_events", MAX_HISTORY_EVENTS)
        self._lives: Counter[str] = Counter()
        self.admin = self.client("admin", ADMIN)

    def client(self, name: str, user: User) -> ApiClient:
        transport: Transport = InProcessTransport(self.network, name, user)
        if not self._portable:
            transport = BatchingTransport(transport)
        return ApiClient(transport, self.clock, private_features=not self._portable)

    def _life(self, name: str) -> Rng:
        """Chance for one life of a component: no two lives draw the same uuids, and how often
        others were started changes nothing."""
        self._lives[name] += 1
        return self.rng.child(f"{name}/{self._lives[name]}")

    # --- components ---

    def start_apiserver(self) -> None:
        self.processes["apiserver"] = Process("apiserver", self._serve())

    async def _serve(self) -> None:
        turns = Turns()
        store = self.store = self._store(turns)
        await store.start()
        if self._recorder is not None:
            self._recorder.opened(store)
        # A thread's time is not virtual: everything at once.
        heavy = HeavyWork(sys.maxsize)
        api = ApiServer(store, self.clock, self._life("apiserver"), heavy=heavy, turns=turns)
        if self._recorder is not None:
            api.record(self._recorder, requests=self._record_requests)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(store.run())
            await api.bootstrap()
            tasks.create_task(api.run())
            self.network.api, self.apiserver = Serving(api), api
            self.on_start("apiserver")

    def _store(self, turns: Turns) -> Store:
        events = self._history_events
        if self._recorder is None:
            return LocalStore(self.disk, attrs_of, max_history_events=events, turns=turns)
        return FollowedStore(
            self.disk, attrs_of, self._recorder, max_history_events=events, turns=turns
        )

    async def crash_apiserver(self) -> None:
        """SIGKILL: nothing more is committed, every connection breaks."""
        self.network.api = self.apiserver = None
        await self.processes["apiserver"].kill()
        self.network.break_off()

    def start_manager(self, controllers: str = "*", name: str = "controller-manager") -> None:
        self.processes[name] = Process(name, self._manage(controllers, name))

    async def _manage(self, controllers: str, name: str) -> None:
        client = self.client(name, CONTROLLER_MANAGER if self._accounts else ALL_CONTROLLERS)
        rng = self._life(name)
        identity = self.identities[name] = f"{name}_{self._lives[name]}"
        elector = LeaderElector(
            client, self.clock, rng.child("leader"), identity=identity, is_dead=self._is_dead
        )
        manager = Manager(
            client,
            self.clock,
            rng,
            registry.select(controllers),
            host="sim",
            elector=elector,
            root_ca_pem=ROOT_CA if self._accounts else b"",
            client_of=partial(self._account_client, name) if self._accounts else None,
        )
        self.managers[name] = manager
        self.on_start(name)
        await manager.run(asyncio.Event())

    def _account_client(self, process: str, controller: str) -> ApiClient:
        if controller == registry.SCHEDULER:
            return self.client(process, SCHEDULER)
        account = ACCOUNTS.get(controller)
        return self.client(process, account_user(account) if account else CONTROLLER_MANAGER)

    def _is_dead(self, identity: str) -> bool:
        """Whether a controller manager has ended: its host can see that."""
        name = identity.partition("_")[0]
        return self.identities.get(name) != identity or not self.processes[name].alive

    def start_node(self, name: str, *, reboot: bool = False, **config: Any) -> None:
        if config or name not in self.configs:
            self.configs[name] = NodeConfig(name=name, **config)
        self._start_agent(
            name,
            Fleet(
                [self.configs[name]],
                lambda node: self.client(node, node_user(node)),
                one_identity=False,
                clock=self._clock_of(name),
                rng=self._life(name),
                reboot=reboot,
            ),
        )

    def start_fleet(self, name: str, nodes: Sequence[str]) -> None:
        """Start a process with several nodes, which have one identity."""
        for node in nodes:
            self.configs.setdefault(node, NodeConfig(name=node))
        client = self.client(name, User(f"kubeherd:agent:{name}", FLEET_GROUPS))
        self._start_agent(
            name,
            Fleet(
                [self.configs[node] for node in nodes],
                lambda _: client,
                one_identity=True,
                clock=self.clock,
                rng=self._life(name),
            ),
        )

    def _start_agent(self, name: str, fleet: Fleet) -> None:
        self.fleets[name] = fleet
        self.processes[name] = Process(name, fleet.run(lambda: None))
        self.on_start(name)

    async def kill(self, name: str) -> None:
        """SIGKILL: not even what it has begun is ended."""
        if name == "apiserver":
            await self.crash_apiserver()
            return
        self.network.dying.add(name)
        await self.processes[name].kill()
        self.network.dying.discard(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP: nothing of the component runs until `thaw`; its connections stay open.

        A frozen API server takes requests and does not answer. It can be killed as it is.
        """
        self.processes[name].freeze()

    def thaw(self, name: str) -> None:
        """SIGCONT: it goes on where it was, and every timer that has run out since is due."""
        self.processes[name].thaw()

    def skew(self, node: str, seconds: float, drift: float = 0.0) -> None:
        """The wall clock of this node is ahead by so much (negative: behind), and by `drift`
        seconds more a second; also when it comes back. 0 puts it right."""
        self._clock_of(node).set(seconds, drift)

    def _clock_of(self, node: str) -> OffsetClock:
        return self._clocks.setdefault(node, OffsetClock(self.clock))

    def start(self, name: str) -> None:
        """Start a component again that was killed."""
        if name == "apiserver":
            self.start_apiserver()
        elif name.startswith("controller-manager"):
            self.start_manager(name=name)
        else:
            self.start_node(name)

    def partition(self, *clients: str) -> None:
        """From now on these clients do not reach the API server."""
        self.network.cut.update(clients)
        self.network.break_off(clients)

    def heal(self) -> None:
        self.network.cut.clear()

    def follow(self, listener: Callable[[Record], None]) -> None:
        """Give `listener` the history: what there is now, and what happens from now on.

        ValueError without the option `record`.
        """
        if self._recorder is None:
            raise ValueError("a simulated cluster without record=True tells no history")
        self._recorder.follow(self.store, listener)

    # --- looking ---

    @property
    def now_s(self) -> float:
        return self.clock.monotonic_s()

    async def pods(self, namespace: str = "default") -> list[Pod]:
        return list((await self.admin.list(PODS, Pod, namespace)).items)

    async def nodes(self) -> dict[str, Node]:
        return {n.metadata.name: n for n in (await self.admin.list(NODES, Node)).items}

    async def daemonset(self, name: str, namespace: str = "default") -> DaemonSet:
        return await self.admin.get(DAEMONSETS, DaemonSet, name, namespace)

    async def tree(self, resource: Resource, name: str, namespace: str = "") -> JsonObject:
        return await self.admin.request("GET", resource.path(namespace, name))

    async def events(self, reason: str, namespace: str = "default") -> list[JsonObject]:
        listed = await self.admin.request("GET", f"/api/v1/namespaces/{namespace}/events")
        return [event for event in listed["items"] if event["reason"] == reason]

    async def until(
        self,
        condition: Callable[[], Coroutine[Any, Any, bool]],
        *,
        within_s: float,
        what: str = "",
        step_s: float = 0.25,
    ) -> float:
        """Wait until the condition holds; returns the virtual time at which it was seen."""
        deadline_s = self.now_s + within_s
        while True:
            with suppress(ApiError, TransportError):
                if await condition():
                    return self.now_s
            if self.now_s >= deadline_s:
                raise AssertionError(f"not within {within_s} s: {what or condition.__name__}")
            await self.clock.sleep(step_s)

    async def until_ready(self, *names: str, within_s: float = 60.0) -> None:
        async def ready() -> bool:
            nodes = await self.nodes()
            return all(is_ready(nodes.get(name)) for name in names)

        await self.until(ready, within_s=within_s, what=f"{names} are Ready")

    async def until_rolled_out(
        self, name: str, *, within_s: float = 120.0, namespace: str = "default"
    ) -> None:
        """Until the DaemonSet is observed, updated and available on all its nodes."""

        async def done() -> bool:
            return rolled_out(await self.daemonset(name, namespace))

        await self.until(done, within_s=within_s, what=f"DaemonSet {name} rolled out")

    def digest(self) -> str:
        """A hash over every committed write, in order."""
        return self.disk.history.hexdigest()


def is_ready(node: Node | None) -> bool:
    return node is not None and nodeutil.is_ready(node)


def rolled_out(daemonset: DaemonSet) -> bool:
    status = daemonset.status
    return (
        status.observed_generation == daemonset.metadata.generation
        and status.updated_number_scheduled
        == status.number_available
        == status.desired_number_scheduled
        and status.number_misscheduled == 0
    )


def daemonset_tree(name: str = "agent", image: str = "agent:1", **spec: Any) -> JsonObject:
    """A DaemonSet of one container; `annotations` are those of its pods."""
    annotations = spec.pop("annotations", {})
    pod_spec = spec.pop("pod_spec", {})
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": "main", "image": image}], **pod_spec},
            },
            **spec,
        },
    }


def pod_tree(name: str, node: str = "", **spec: Any) -> JsonObject:
    """A plain pod, bound by its creator if `node` is given."""
    annotations = spec.pop("annotations", {})
    if node:
        spec["nodeName"] = node
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec},
    }


@asynccontextmanager
async def simulated(
    seed: int = 1,
    nodes: int | Sequence[str] = 0,
    *,
    managers: int = 1,
    **options: Unpack[Options],
) -> AsyncIterator[SimulatedCluster]:
    """A running cluster with Ready nodes ``node-0`` ... and so many controller managers,
    ``controller-manager``, ``controller-manager-2`` ...; everything is gone afterwards."""
    cluster = SimulatedCluster(seed, **options)
    names = [f"node-{index}" for index in range(nodes)] if isinstance(nodes, int) else list(nodes)
    cluster.start_apiserver()
    for number in range(1, managers + 1):
        cluster.start_manager(name=f"controller-manager-{number}".removesuffix("-1"))
    for name in names:
        cluster.start_node(name)
    try:
        await cluster.until_ready(*names)
        yield cluster
    finally:
        for name in reversed(list(cluster.processes)):
            await cluster.kill(name)
