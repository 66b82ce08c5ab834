"""Resources that come and go with their definitions while a cluster is followed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.client.backoff import Backoff
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.history import Verb, Write

DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"
MAX_PENDING: Final = 1_000
"""Definitions whose resources are looked for at a time; those beyond are left alone."""

Follow = Callable[[frozenset[str]], Awaitable[frozenset[str]]]
"""Follows those of these resources that are served by now, and returns them."""


class Definitions:
    """`see` every write of a definition; `run` follows what is defined, `drop` is called with the
    name of a resource whose definition has gone. A definition has the name of its resource."""

    def __init__(self, follow: Follow, drop: Callable[[str], None], clock: Clock, rng: Rng) -> None:
        self._follow = follow
        self._drop = drop
        self._clock = clock
        self._backoff = Backoff(rng, base_s=0.2, cap_s=30.0)
        self._pending: set[str] = set()
        self._wake = asyncio.Event()

    def see(self, write: Write) -> None:
        """A definition was written."""
        if write.verb is Verb.DELETE:
            self._pending.discard(write.name)
            self._drop(write.name)
        elif len(self._pending) < MAX_PENDING:
            self._pending.add(write.name)
            self._backoff.reset()
            self._wake.set()

    async def run(self) -> None:
        """For ever; the owner cancels it. A definition may be served only later, or never."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                # the server comes back, or its followers say that it does not
                with contextlib.suppress(ApiError, TransportError):
                    self._pending -= await self._follow(frozenset(self._pending))
                if self._pending:
                    await self._clock.sleep(self._backoff.next_s())
