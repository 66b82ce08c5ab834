"""A cluster's resources followed together, told as one history.

`tell` gets `Began`, all that is there as restored writes, then each write in the order of the
revisions. Works with any Kubernetes; what may not be seen is left out, and said in `notes`. Who
follows all resources follows those that are defined meanwhile, too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.discovery import EVERYTHING, wanted, watchable
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.following.definitions import DEFINITIONS, Definitions
from kubeherd.following.follower import Follower, Refused, Shape, whole
from kubeherd.following.ordering import WAIT_S, Ordering
from kubeherd.history import Began, Record, Write


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How a cluster is followed."""

    shape: Shape = whole
    """What is kept of each object."""
    only_news: frozenset[str] = frozenset()
    """Resources of which no more is told than what happens."""
    wait_s: float = WAIT_S
    """How long a write waits for those that may have been before it: whoever shows it to a person
    waits less than one who judges."""
    look_s: float = 0.25
    """How often a cluster of ours is asked for its processes and faults, in real seconds."""


AS_IT_IS: Final = Manner()
SHOWN_WAIT_S: Final = 0.2


class Following:
    """`begin`, then `flush` now and then while it is `running`; `rest` at the end."""

    def __init__(
        self,
        client: ApiClient,
        clock: Clock,
        tell: Callable[[Record], None],
        *,
        speed: float = 0.0,
        manner: Manner = AS_IT_IS,
    ) -> None:
        self._client = client
        self._clock = clock
        self._tell = tell
        self._speed = speed
        self._manner = manner
        self._ordering = Ordering(manner.wait_s)
        self._followers: dict[str, Follower] = {}
        """By resource."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """Of those that watch."""
        self._rng = Rng(None)
        self._definitions: Definitions | None = None
        self._refused: list[tuple[str, str]] = []
        self._newest = 0
        """Of the first lists: what is older is state, and no news."""
        self._broken = ""
        self.writes = 0
        """That were told, without those that were there before."""

    @property
    def count(self) -> int:
        """How many resources are followed."""
        return len(self._followers)

    def now(self) -> float:
        """Seconds since the epoch, by the clock of the records."""
        return self._clock.now().timestamp()

    async def begin(self, needs: frozenset[str]) -> None:
        """List these resources (``pods``, ``daemonsets.apps``; ``*``: all) and tell what is there.
        TransportError, ApiError if the cluster cannot be reached."""
        listed: list[Write] = []
        for resource in wanted(await watchable(self._client), needs):
            await self._follow(resource, listed.append)
        if EVERYTHING in needs:
            rng = self._rng.child(DEFINITIONS)
            self._definitions = Definitions(self._meet, self._drop, self._clock, rng)
        self._newest = max((one.revision for one in self._followers.values()), default=0)
        self._tell(Began(at=self.now(), source="watch", speed=self._speed, revision=self._newest))
        for write in listed:
            self._tell(write)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch while the body runs; what goes wrong with a watch for good is raised at its end."""
        for name in self._followers:
            self._watch(name)
        definitions = self._definitions
        looking = [asyncio.create_task(definitions.run())] if definitions is not None else []
        try:
            yield
        finally:
            tasks = [*looking, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def flush(self) -> None:
        """Tell what is in order by now."""
        self._give_out(self._ordering.ready(self.now()))

    def rest(self) -> None:
        """Tell all that has come."""
        self._give_out(self._ordering.rest())

    @property
    def began_anew(self) -> bool:
        """Whether the server has lost what there was: what is told from now on is of another
        history."""
        return any(one.began_anew for one in self._followers.values())

    def failing(self) -> str:
        """Why something is not seen at present; "" while all is well."""
        return self._broken or next(
            (one.failing for one in self._followers.values() if one.failing), ""
        )

    def look_after(self, task: asyncio.Task[None]) -> None:
        """If this task ends by an error, something is not told any more: `failing` says so."""
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._broken = f"{type(error).__name__}: {error}"

    def notes(self) -> Iterator[str]:
        """What was not seen, a line each."""
        if self._refused:
            names = _some([name for name, _ in self._refused])
            yield f"{names} cannot be watched: {self._refused[0][1]}"
        gaps = [name for name, one in self._followers.items() if one.gaps]
        if gaps:
            yield f"{_some(gaps)} had to be listed again: what happened between was not seen"
        failing = {name: one.failing for name, one in self._followers.items() if one.failing}
        if failing:
            why = next(iter(failing.values()))
            yield f"{_some(list(failing))} could not be watched at the end: {why}"
        if self._ordering.late:
            yield f"{self._ordering.late} events came out of order"

    async def _follow(self, resource: Resource, tell: Callable[[Write], None]) -> None:
        """List a resource, told so, to be watched from there; what may not be seen is noted."""
        name, manner = resource.group_resource, self._manner
        follower = Follower(
            self._client,
            resource,
            self._clock,
            self._rng.child(name),
            tell=tell,
            passed=partial(self._ordering.passed, name),
            shape=manner.shape,
            only_news=name in manner.only_news,
        )
        try:
            await follower.list()
        except Refused as error:
            self._refused.append((name, str(error)))
            return
        follower.tell = self._add
        self._followers[name] = follower

    def _watch(self, name: str) -> None:
        task = asyncio.create_task(self._followers[name].run(), name=f"watch {name}")
        self.look_after(task)
        self._tasks[name] = task

    async def _meet(self, names: frozenset[str]) -> frozenset[str]:
        """As `definitions.Follow`."""
        met = names & self._followers.keys()
        if met == names:
            return met
        found = wanted(await watchable(self._client), names - met)
        for resource in found:
            await self._follow(resource, self._add)
            if resource.group_resource in self._followers:
                self._watch(resource.group_resource)
        return met | {resource.group_resource for resource in found}

    def _drop(self, name: str) -> None:
        """Follow a resource no more."""
        if self._followers.pop(name, None) is not None:
            self._tasks[name].cancel()
            self._ordering.dropped(name)

    def _add(self, write: Write) -> None:
        if self._definitions is not None and write.resource == DEFINITIONS:
            self._definitions.see(write)
        if write.revision <= self._newest:
            write = msgspec.structs.replace(write, restored=True)
        self._ordering.add(write)

    def _give_out(self, writes: Iterator[Write]) -> None:
        for write in writes:
            self.writes += not write.restored
            self._tell(write)


def _some(names: Sequence[str]) -> str:
    """Names, however many there are."""
    if len(names) <= 4:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"
