"""A cluster watched from outside, its writes judged as they come."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from kubeherd.chaos.checking.telling import Surroundings
from kubeherd.checks.checker import Make, Verdict, Watcher
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.transport import Transport
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.following.session import Following
from kubeherd.history import Ended, Record, Step
from kubeherd.history.files import create, encode
from kubeherd.history.records import SETTLED

_LOOK_S: Final = 0.1
_AFTERMATH_S: Final = 1.0
"""How long after a violation more events are waited for, to be shown with it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to watch, for how long, and by whom it is judged."""

    checkers: Sequence[Make]
    speed: float = 0.0
    """Of the cluster; 0: not known."""
    rundir: RunDir | None = None
    """Of a cluster of ours: its speed may be changed."""
    for_s: float = 0.0
    """Seconds; 0: until it is interrupted."""
    settled: bool = False
    """The end is a moment at which all must have converged."""
    record: Path | None = None


class Found(msgspec.Struct, frozen=True):
    """What came of it."""

    verdict: Verdict
    surroundings: Surroundings
    writes: int
    notes: Sequence[str]
    """What could not be seen, a line each."""


class _Session:
    """The records of one session to the checkers and the file."""

    def __init__(self, plan: Plan) -> None:
        self.watcher = Watcher(plan.checkers)
        self.surroundings = Surroundings()
        self._file = create(plan.record) if plan.record else None

    def see(self, record: Record) -> None:
        if self._file:
            self._file.write(encode(record))
        self.surroundings.see(record, self.watcher.see(record))

    def close(self) -> None:
        """No record comes any more."""
        self.surroundings.ended(self.watcher.end())
        if self._file:
            self._file.close()


async def watch(
    plan: Plan, transport: Transport, clock: Clock, ready: Callable[[int], None]
) -> Found:
    """Watch until the time is over, a promise is broken, or a signal comes; `ready` is told of how
    many resources are watched. TransportError, ApiError if the cluster cannot be reached. Closes
    the transport."""
    session = _Session(plan)
    client = ApiClient(transport, clock, private_features=False)
    following = Following(client, clock, session.see, speed=plan.speed)
    needs: frozenset[str] = frozenset().union(*(make().resources for make in plan.checkers))
    try:
        await following.begin(needs)
        ready(following.count)
        with _signals() as stopped:
            async with following.running(), _speed_followed(plan, session, following):
                await _judge(plan, session, following, stopped)
    finally:
        session.close()
        await transport.close()
    notes = list(following.notes())
    return Found(session.watcher.verdict, session.surroundings, following.writes, notes)


@contextlib.asynccontextmanager
async def _speed_followed(
    plan: Plan, session: _Session, following: Following
) -> AsyncIterator[None]:
    """While the body runs the session hears when a cluster of ours gets another speed."""
    if plan.rundir is None:
        yield
        return
    from kubeherd.following import own  # noqa: PLC0415 - of our clusters only

    task = asyncio.create_task(own.follow_speed(plan.rundir, plan.speed, session.see), name="speed")
    following.look_after(task)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _judge(
    plan: Plan, session: _Session, following: Following, stopped: asyncio.Event
) -> None:
    """Give out what has come, until it is over."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + plan.for_s if plan.for_s else float("inf")
    while session.surroundings.violation is None and loop.time() < end_s and not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), _LOOK_S)
        following.flush()
    if session.surroundings.violation is None:
        following.rest()
        if plan.settled:
            session.see(Step(at=following.now(), name=SETTLED))
    end_s = loop.time() + _AFTERMATH_S
    while session.surroundings.violation and loop.time() < end_s and not stopped.is_set():
        await asyncio.sleep(_LOOK_S)
        following.flush()
    session.see(Ended(at=following.now()))


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set: to end is what they mean here."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
