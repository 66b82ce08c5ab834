"""The controller manager: starts caches and controllers in order, keeps them running, stops them.

Order: leader election, informers (all controllers share them), event recorders, controllers; the
stop is the reverse, and the lease is given up at the end. Invariants: controllers act only while
this manager holds the lease, on caches that were listed since it got it; a controller that raises
is started again with back-off and takes no other one with it; every task has an owner here.

A controller is any class with `async run()`. Its constructor asks for informers and subscribes to
them (no I/O). `run` starts by queueing everything that is in the caches and works until cancelled;
it is called again on the same instance after a crash, or when leadership was lost and won again.
"""

import asyncio
import copy
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import structlog

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.events import EventApi, EventRecorder
from kubeherd.cluster.client.metrics import of_queues
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import BASE_DELAY_S, MAX_DELAY_S, WorkQueue
from kubeherd.cluster.runtime.cancellation import raise_if_cancelled
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.metrics import Family
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.controller.informers import Informers
from kubeherd.controller.leader import LeaderElector

if TYPE_CHECKING:
    from kubeherd.faults import Fault

RESTART_BACKOFF_S = 1.0
RESTART_BACKOFF_CAP_S = 60.0
RESTART_JITTER = 0.2

K = TypeVar("K", bound=Hashable)

_log = structlog.get_logger(__name__)


class Controller(Protocol):
    """One control loop; see the module's docstring."""

    async def run(self) -> None:
        """Work until cancelled."""


class Keys(msgspec.Struct, frozen=True):
    """The files of the keys with which controllers sign; what is None is not signed."""

    authority_certificate: Path | None = None
    authority_key: Path | None = None
    tokens: Path | None = None


NO_KEYS = Keys()


class Context:
    """What the manager gives to a controller's constructor."""

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        rng: Rng,
        informers: Informers,
        host: str,
        *,
        root_ca_pem: bytes = b"",
        keys: Keys = NO_KEYS,
    ) -> None:
        self.client = client
        self.reader = client
        """The process' own: for what upstream reads from caches, which all controllers share."""
        self.keys = keys
        self.root_ca_pem = root_ca_pem
        self.clock = clock
        self.rng = rng
        self.informers = informers
        self.host = host
        self.recorders: list[EventRecorder] = []
        self.queues: dict[str, WorkQueue[Any]] = {}
        self.families: list[Callable[[], Iterable[Family]]] = []
        """What controllers count beside their queues: made when somebody asks."""

    def acting_as(self, client: ApiClient) -> "Context":
        """The same for a controller that writes with another identity."""
        other = copy.copy(self)
        other.client = client
        return other

    def with_recorders(self, recorders: list[EventRecorder]) -> "Context":
        """The same for a controller whose recorders go into this list: the caller runs them."""
        other = copy.copy(self)
        other.recorders = recorders
        return other

    def recorder(self, component: str, api: EventApi = EventApi.CORE_V1) -> EventRecorder:
        """An event recorder for this source component; the manager runs it."""
        rng = self.rng.child(f"events-{component}")
        recorder = EventRecorder(self.client, component, self.host, self.clock, rng, api=api)
        self.recorders.append(recorder)
        return recorder

    def queue(
        self,
        name: str,
        rng: Rng | None = None,
        *,
        base_delay_s: float = BASE_DELAY_S,
        max_delay_s: float = MAX_DELAY_S,
    ) -> WorkQueue[K]:
        """A work queue, under the name that Kubernetes gives it in its metrics; the delays are
        those of retries, nominal seconds."""
        queue: WorkQueue[K] = WorkQueue(
            self.clock, rng or self.rng, base_delay_s=base_delay_s, max_delay_s=max_delay_s
        )
        self.queues[name] = queue
        return queue


Factory = Callable[[Context], Controller]


class Manager:
    """Runs the given controllers. `elector` None: act without asking for the lease."""

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        rng: Rng,
        factories: Mapping[str, Factory],
        *,
        host: str,
        elector: LeaderElector | None = None,
        root_ca_pem: bytes = b"",
        keys: Keys = NO_KEYS,
        client_of: Callable[[str], ApiClient] | None = None,
    ) -> None:
        """`client_of`: the client with which a controller writes, by its name; else `client`."""
        self._clock = clock
        self._rng = rng
        self._elector = elector
        self._informers = Informers(client, clock, rng)
        self._context = Context(
            client, clock, rng, self._informers, host, root_ca_pem=root_ca_pem, keys=keys
        )
        writers = {name: client_of(name) if client_of else client for name in factories}
        if elector is not None:
            for writer in (client, *writers.values()):
                writer.fence = elector.fence
        self._controllers = {
            name: make(self._context.acting_as(writers[name])) for name, make in factories.items()
        }

    def families(self) -> Iterable[Family]:
        """What the controllers count, queues included, and whether they act."""
        if self._elector is not None:
            yield from self._elector.families()
        yield from of_queues(self._context.queues)
        for made in self._context.families:
            yield from made()

    def hurt(self, faults: "Sequence[Fault]") -> None:
        """Put these faults in force and undo all others; FaultError if one cannot be."""
        from kubeherd.controller import faults as carried_out  # noqa: PLC0415 - few are hurt

        carried_out.begin(self._elector, faults)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; `on_ready` is called once, when the controllers first run or
        this manager stands by for another one that does."""
        ready = on_ready

        def serving() -> None:
            nonlocal ready
            ready()
            ready = _nothing

        elector = self._elector
        if elector is None:
            await _unless_stopped(stop, self._lead(serving))
            return
        async with _running(elector.events.run()):
            while not stop.is_set() and await _unless_stopped(stop, elector.acquire(serving)):
                await _unless_stopped(stop, self._lead(serving))
        await elector.release()

    async def _lead(self, acting: Callable[[], None]) -> None:
        """Fill the caches and run the controllers, for as long as the lease is held.

        What the last leader wrote lies before the lease was won, and the lists after it.
        """
        self._informers.relist()
        async with _running(self._informers.run()), _running(self._act(acting)):
            await self._hold()

    async def _act(self, acting: Callable[[], None]) -> None:
        await self._informers.wait_synced()
        try:
            async with (
                _running(*(recorder.run() for recorder in self._context.recorders)),
                _running(*(self._supervise(name) for name in self._controllers)),
            ):
                _log.info("controllers_started", controllers=list(self._controllers))
                acting()
                await asyncio.Event().wait()
        finally:
            _log.info("controllers_stopped")

    async def _hold(self) -> None:
        if self._elector is None:
            await asyncio.Event().wait()
        else:
            await self._elector.hold()

    async def _supervise(self, name: str) -> None:
        backoff_s = RESTART_BACKOFF_S
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await self._controllers[name].run()
                _log.error("controller_ended", controller=name)
            except Exception as error:  # supervisor: a controller's failure is its own
                raise_if_cancelled()
                if cause := unreachable(error):
                    _log.warning("controller_stopped", controller=name, error=str(cause))
                else:
                    _log.exception("controller_crashed", controller=name)
            if self._clock.monotonic_s() - started_s > RESTART_BACKOFF_CAP_S:
                backoff_s = RESTART_BACKOFF_S
            await self._clock.sleep(self._rng.jittered(backoff_s, RESTART_JITTER))
            backoff_s = min(RESTART_BACKOFF_CAP_S, backoff_s * 2)


def unreachable(error: BaseException) -> BaseException | None:
    """The first cause of a failure that is all the server's absence or refusal, else None."""
    if isinstance(error, BaseExceptionGroup):
        causes = [unreachable(inner) for inner in error.exceptions]
        return causes[0] if all(causes) else None
    return error if isinstance(error, (ApiError, TransportError)) else None


def _nothing() -> None:
    """What is called when readiness has been told already."""


@asynccontextmanager
async def _running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run tasks beside the body; a failing task cancels the body, leaving cancels the tasks."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Await the work; False if `stop` was set first (the work is cancelled then)."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
