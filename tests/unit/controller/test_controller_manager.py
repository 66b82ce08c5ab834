"""The manager: ordered start and stop, supervised controllers (controller/manager.py)."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from daemonset_world import EPOCH
from patience import PATIENCE_S
from scripted_transport import Answer, Script, ScriptedTransport
from structlog.testing import capture_logs

from kubeherd.cluster.api.errors import ServiceUnavailable
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES
from kubeherd.cluster.api.objects import Node
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.fence import Fence
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.manager import Context, Controller, Manager
from kubeherd.simulation.transport import Request
from kubeherd.simulation.virtualtime import VirtualClock


class ImpatientClock(VirtualClock):
    """Sleeping takes no time."""

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(0)


class Working:
    """A controller that notes its life and works until cancelled."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def run(self) -> None:
        self.log.append("started")
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append("stopped")


class Crashing:
    """A controller that raises a few times, then sets an event and works."""

    def __init__(self, failures: int, recovered: asyncio.Event) -> None:
        self.failures = failures
        self.recovered = recovered

    async def run(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise RuntimeError("a fault of this controller")
        self.recovered.set()
        await asyncio.Event().wait()


class Elector:
    """Holds the lease until told to lose it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.lost = asyncio.Event()

        self.fence = Fence()
        self.events = self

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def acquire(self, _standing_by: Callable[[], None]) -> None:
        self.log.append("acquired")

    async def hold(self) -> None:
        await self.lost.wait()
        self.lost.clear()

    async def release(self) -> None:
        self.log.append("released")


class Quiet(ScriptedTransport):
    """Its watches show nothing."""

    async def answer_stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""


def manager(
    elector: Elector | None = None,
    script: Script = lambda *_: {},
    **controllers: Callable[[Context], Controller],
) -> Manager:
    clock = ImpatientClock(EPOCH)
    client = ApiClient(Quiet(script), clock, private_features=False)
    return Manager(client, clock, Rng(1), controllers, host="h", elector=elector)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions of the tests, not of the code
            await asyncio.sleep(0)


async def test_controllers_run_between_acquiring_and_releasing_the_lease() -> None:
    log: list[str] = []
    stop = asyncio.Event()

    def on_ready() -> None:
        log.append("ready")
        asyncio.get_running_loop().call_later(0.01, stop.set)

    await manager(Elector(log), a=lambda _: Working(log)).run(stop, on_ready)
    assert log == ["acquired", "ready", "started", "stopped", "released"]


async def test_a_crashing_controller_is_restarted_and_takes_no_other_with_it() -> None:
    log: list[str] = []
    stop, recovered = asyncio.Event(), asyncio.Event()
    made = manager(a=lambda _: Working(log), b=lambda _: Crashing(3, recovered))
    task = asyncio.ensure_future(made.run(stop))
    await until(recovered.is_set)
    assert log == ["started"]
    stop.set()
    await task
    assert log == ["started", "stopped"]


async def test_a_lost_lease_stops_the_controllers_until_it_is_won_again() -> None:
    log: list[str] = []
    stop = asyncio.Event()
    elector = Elector(log)
    readiness: list[bool] = []
    made = manager(elector, a=lambda _: Working(log))
    task = asyncio.ensure_future(made.run(stop, lambda: readiness.append(True)))
    await until(lambda: log.count("started") == 1)
    elector.lost.set()
    await until(lambda: log.count("started") == 2)
    stop.set()
    await task
    assert log == [
        "acquired", "started", "stopped", "acquired", "started", "stopped", "released"
    ]  # fmt: skip
    assert readiness == [True]


class StandingBy(Elector):
    """Somebody else leads, for ever."""

    async def acquire(self, standing_by: Callable[[], None]) -> None:
        standing_by()
        await asyncio.Event().wait()


async def test_who_stands_by_is_ready_and_acts_not() -> None:
    log: list[str] = []
    stop, ready = asyncio.Event(), asyncio.Event()
    made = manager(StandingBy(log), a=lambda _: Working(log))
    task = asyncio.ensure_future(made.run(stop, ready.set))
    await until(ready.is_set)
    stop.set()
    await task
    assert log == ["released"]


def test_every_client_of_a_controller_is_inside_the_fence() -> None:
    """Also those of accounts: `--use-service-account-credentials`."""
    clock, elector = ImpatientClock(EPOCH), Elector([])
    own, account = (
        ApiClient(Quiet(lambda *_: {}), clock, private_features=False) for _ in range(2)
    )
    given: list[ApiClient] = []

    def make(context: Context) -> Controller:
        given.append(context.client)
        return Working([])

    clients = {"a": own, "b": account}
    Manager(
        own, clock, Rng(1), dict.fromkeys(clients, make), host="h",
        elector=elector, client_of=clients.__getitem__,  # type: ignore[arg-type]
    )  # fmt: skip
    assert given == [own, account]
    assert all(client.fence is elector.fence for client in given)


class Reading(Working):
    """A controller with a cache of nodes."""

    def __init__(self, context: Context, log: list[str]) -> None:
        super().__init__(log)
        context.informers.get(NODES, Node)


async def test_the_caches_are_listed_after_the_lease_is_won_each_time() -> None:
    """So they hold everything that the leader before has written."""
    log: list[str] = []
    stop = asyncio.Event()
    elector = Elector(log)

    def answer(method: str, path: str, _body: JsonObject) -> Answer:
        log.append(f"{method} {path}")
        return {"metadata": {"resourceVersion": "5"}, "items": []}

    made = manager(elector, answer, a=lambda context: Reading(context, log))
    task = asyncio.ensure_future(made.run(stop))
    await until(lambda: log.count("started") == 1)
    elector.lost.set()
    await until(lambda: log.count("started") == 2)
    stop.set()
    await task
    leading = ["acquired", "GET /api/v1/nodes", "started", "stopped"]
    assert log == [*leading, *leading, "released"]


async def test_a_lease_lost_while_the_caches_fill_starts_no_controller() -> None:
    log: list[str] = []
    stop = asyncio.Event()
    elector = Elector(log)
    reached = asyncio.Event()

    def answer(_method: str, _path: str, _body: JsonObject) -> Answer:
        if not reached.is_set():
            return TransportError("refused")
        return {"metadata": {"resourceVersion": "5"}, "items": []}

    made = manager(elector, answer, a=lambda context: Reading(context, log))
    task = asyncio.ensure_future(made.run(stop))
    await until(lambda: log == ["acquired"])
    elector.lost.set()
    await until(lambda: log == ["acquired", "acquired"])
    reached.set()
    await until(lambda: log == ["acquired", "acquired", "started"])
    stop.set()
    await task


class Unlucky:
    """A controller whose tasks meet a server that is away."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.ended = asyncio.Event()

    async def run(self) -> None:
        if self.errors:
            async with asyncio.TaskGroup():
                raise self.errors.pop(0)
        self.ended.set()
        await asyncio.Event().wait()


async def test_only_surprises_are_logged_with_their_traceback() -> None:
    unlucky = Unlucky(TransportError("refused"), ServiceUnavailable("disk full"), KeyError("bug"))
    stop = asyncio.Event()
    with capture_logs() as logs:
        task = asyncio.ensure_future(manager(a=lambda _: unlucky).run(stop))
        await until(unlucky.ended.is_set)
        stop.set()
        await task
    about = [(entry["event"], entry.get("error")) for entry in logs if "controller" in entry]
    assert about == [
        ("controller_stopped", "refused"),
        ("controller_stopped", "disk full"),
        ("controller_crashed", None),
    ]


async def test_a_stop_before_anything_started() -> None:
    log: list[str] = []
    stop = asyncio.Event()
    stop.set()
    await manager(Elector(log), a=lambda _: Working(log)).run(stop)
    assert log == ["released"]
