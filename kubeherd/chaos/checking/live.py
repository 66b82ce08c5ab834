"""A cluster watched from outside, its writes judged as they come."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from kubeherd.chaos.checking.following import Follower, Refused
from kubeherd.chaos.checking.ordering import Ordering
from kubeherd.chaos.checking.telling import Surroundings
from kubeherd.checks.checker import Make, Verdict, Watcher
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.discovery import wanted, watchable
from kubeherd.cluster.client.transport import Transport
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.history import Began, Ended, Record, Step, Write
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
    """The records of one session, in order, to the checkers and the file."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.watcher = Watcher(plan.checkers)
        self.surroundings = Surroundings()
        self.ordering = Ordering()
        self.writes = 0
        self._newest = 0
        """Of the first lists: what is older is state, and no news."""
        self._speed = plan.speed
        self.clock = clock
        self._file = create(plan.record) if plan.record else None

    def now(self) -> float:
        return self.clock.now().timestamp()

    def see(self, record: Record) -> None:
        if self._file:
            self._file.write(encode(record))
        self.surroundings.see(record, self.watcher.see(record))

    def begin(self, listed: Sequence[Write], newest: int) -> None:
        """What was there when it began."""
        self._newest = newest
        self.see(Began(at=self.now(), source="watch", speed=self._speed, revision=newest))
        for write in listed:
            self.see(write)

    def add(self, write: Write) -> None:
        """What a watch told."""
        if write.revision <= self._newest:
            write = msgspec.structs.replace(write, restored=True)
        self.ordering.add(write)

    def flush(self, writes: Iterator[Write]) -> None:
        """Give out what is in order."""
        for write in writes:
            self.writes += not write.restored
            self.see(write)

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
    session = _Session(plan, clock)
    client = ApiClient(transport, clock, private_features=False)
    notes: list[str] = []
    try:
        followers = await _listed(plan, client, session, notes)
        ready(len(followers))
        with _signals() as stopped:
            tasks = [asyncio.create_task(follower.run()) for follower in followers]
            try:
                await _judge(plan, session, stopped)
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
    finally:
        session.close()
        await transport.close()
    notes += _notes(followers, session)
    return Found(session.watcher.verdict, session.surroundings, session.writes, notes)


async def _listed(
    plan: Plan, client: ApiClient, session: _Session, notes: list[str]
) -> list[Follower]:
    """Everything listed, and who follows it; `notes` tell of what cannot be."""
    rng = Rng(None)
    needs: frozenset[str] = frozenset().union(*(make().resources for make in plan.checkers))
    followers: list[Follower] = []
    listed: list[Write] = []
    refused: list[tuple[str, str]] = []
    for resource in wanted(await watchable(client), needs):
        name = resource.group_resource
        passed = partial(session.ordering.passed, name)
        follower = Follower(
            client, resource, session.clock, rng.child(name), tell=listed.append, passed=passed
        )
        try:
            await follower.list()
        except Refused as error:
            refused.append((name, str(error)))
            continue
        follower.tell = session.add
        followers.append(follower)
    if refused:
        names = _some([name for name, _ in refused])
        notes.append(f"{names} cannot be watched: {refused[0][1]}")
    session.begin(listed, max((follower.revision for follower in followers), default=0))
    return followers


def _notes(followers: Sequence[Follower], session: _Session) -> Iterator[str]:
    """What was not seen, a line each."""
    gaps = [one.resource.group_resource for one in followers if one.gaps]
    if gaps:
        yield f"{_some(gaps)} had to be listed again: what happened between was not seen"
    failing = [one for one in followers if one.failing]
    if failing:
        names = [one.resource.group_resource for one in failing]
        yield f"{_some(names)} could not be watched at the end: {failing[0].failing}"
    if session.ordering.late:
        yield f"{session.ordering.late} events came out of order"


def _some(names: Sequence[str]) -> str:
    """Names, however many there are."""
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


async def _judge(plan: Plan, session: _Session, stopped: asyncio.Event) -> None:
    """Give out what has come, until it is over."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + plan.for_s if plan.for_s else float("inf")
    while session.surroundings.violation is None and loop.time() < end_s and not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), _LOOK_S)
        session.flush(session.ordering.ready(session.now()))
    if session.surroundings.violation is None:
        session.flush(session.ordering.rest())
        if plan.settled:
            session.see(Step(at=session.now(), name=SETTLED))
    end_s = loop.time() + _AFTERMATH_S
    while session.surroundings.violation and loop.time() < end_s and not stopped.is_set():
        await asyncio.sleep(_LOOK_S)
        session.flush(session.ordering.ready(session.now()))
    session.see(Ended(at=session.now()))


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
