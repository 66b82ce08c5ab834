"""A cluster's resources followed together, told as one history.

`tell` gets `Began`, all that is there as restored writes, then each write in the order of the
revisions. Works with any Kubernetes; what may not be seen is left out, and said in `notes`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec

from kubeherd.cluster.client.client import ApiClient
from kubeherd.cluster.client.discovery import wanted, watchable
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
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
        self._followers: list[Follower] = []
        self._refused: list[tuple[str, str]] = []
        self._newest = 0
        """Of the first lists: what is older is state, and no news."""
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
        rng, manner = Rng(None), self._manner
        listed: list[Write] = []
        for resource in wanted(await watchable(self._client), needs):
            name = resource.group_resource
            passed = partial(self._ordering.passed, name)
            follower = Follower(
                self._client,
                resource,
                self._clock,
                rng.child(name),
                tell=listed.append,
                passed=passed,
                shape=manner.shape,
                only_news=name in manner.only_news,
            )
            try:
                await follower.list()
            except Refused as error:
                self._refused.append((name, str(error)))
                continue
            follower.tell = self._add
            self._followers.append(follower)
        self._newest = max((follower.revision for follower in self._followers), default=0)
        self._tell(Began(at=self.now(), source="watch", speed=self._speed, revision=self._newest))
        for write in listed:
            self._tell(write)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch while the body runs; what goes wrong with a watch for good is raised at its end."""
        tasks = [asyncio.create_task(follower.run()) for follower in self._followers]
        try:
            yield
        finally:
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
        return any(one.began_anew for one in self._followers)

    def failing(self) -> str:
        """Why something is not seen at present; "" while all is well."""
        return next((one.failing for one in self._followers if one.failing), "")

    def notes(self) -> Iterator[str]:
        """What was not seen, a line each."""
        if self._refused:
            names = _some([name for name, _ in self._refused])
            yield f"{names} cannot be watched: {self._refused[0][1]}"
        gaps = [one.resource.group_resource for one in self._followers if one.gaps]
        if gaps:
            yield f"{_some(gaps)} had to be listed again: what happened between was not seen"
        failing = [one for one in self._followers if one.failing]
        if failing:
            names = _some([one.resource.group_resource for one in failing])
            yield f"{names} could not be watched at the end: {failing[0].failing}"
        if self._ordering.late:
            yield f"{self._ordering.late} events came out of order"

    def _add(self, write: Write) -> None:
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
