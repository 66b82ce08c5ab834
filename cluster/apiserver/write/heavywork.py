"""Work on large input, done in a thread beside the event loop.

Decoding, merging and validating cost what a client makes them cost: up to seconds for a body at
the limit. On the loop all other clients would wait for that; from a thread the interpreter lets
the loop in between any two of its steps. Small requests, that is nearly all, never see the thread.
Invariants: one thread, so that the loop has but one rival; a bounded number of requests wait for
it, others are told to come back; what runs there touches nothing but what its request owns.
"""

import asyncio
import contextvars
import gc
import threading
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias, TypeVar, cast

import msgspec

from kubeherd.cluster.api import errors

LIGHT_BYTES = 24 * 1024
"""Up to this much input is worked on where it is: no known input of that size takes 50 ms."""

MAX_WAITING = 64
"""Large requests under way or waiting: with bodies at the limit 192 MiB."""

SWITCH_INTERVAL_S = 0.001
"""How long the loop waits for the thread to step aside, several times per request; the
interpreter's own 5 ms add up. Costs nothing while the thread is idle."""

_RETRY_AFTER_S = 1

_T = TypeVar("_T")


Steps: TypeAlias = Generator[Callable[[], object], object, _T]
"""Something that yields the work which touches nothing but its own trees, gets the result of each,
and does the rest itself: on the event loop, without letting anybody in between."""


def pure(work: Callable[[], _T]) -> Steps[_T]:
    """The result of work that may be done in another thread."""
    return cast(_T, (yield work))


class _Outside(msgspec.Struct, frozen=True):
    """Work that waits for somebody else: others get in between."""

    ask: Callable[[], Awaitable[object]]

    def __call__(self) -> object:
        return None


def outside(ask: Callable[[], Awaitable[_T]]) -> "Steps[_T | None]":
    """The answer of somebody else; None in what the server does itself, at once: there nobody is
    asked."""
    return cast("_T | None", (yield _Outside(ask)))


def at_once(steps: Steps[_T]) -> _T:
    """Carry out steps without letting anybody in between."""
    try:
        work = next(steps)
        while True:
            work = steps.send(work())
    except StopIteration as done:
        return cast(_T, done.value)


def _uninterrupted(work: Callable[[], _T]) -> _T:
    """`work()` without the cycle collector, which would look at all of a large tree again and
    again while it grows, and nobody else runs meanwhile. Trees have no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return work()
    finally:
        if enabled:
            gc.enable()


class HeavyWork:
    """The thread, started at its first use. `light_bytes` is what is not worth it."""

    def __init__(self, light_bytes: int = LIGHT_BYTES) -> None:
        self._light_bytes = light_bytes
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        self._thread: ThreadPoolExecutor | None = None

    def is_light(self, size_bytes: int) -> bool:
        """Whether work on that much input is done at once."""
        return size_bytes <= self._light_bytes

    async def run(self, work: Callable[[], _T], size_bytes: int) -> _T:
        """The result of `work`, which is about `size_bytes` of input.

        TooManyRequests (429) if too many wait already; whatever `work` raises.
        """
        if self.is_light(size_bytes):
            return work()
        if not self._places.acquire(blocking=False):
            raise errors.TooManyRequests(
                "too many large requests, please try again later",
                details={"retryAfterSeconds": _RETRY_AFTER_S},
            )
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="heavy")
        future = self._thread.submit(contextvars.copy_context().run, _uninterrupted, work)
        future.add_done_callback(self._free)
        try:
            return await asyncio.wrap_future(future)
        finally:
            # A failure knows this frame, and must not be known from it: such a circle would keep
            # the body and its trees until the collector looks, which counts containers, not bytes.
            del future

    async def carry_out(self, steps: Steps[_T], size_bytes: int) -> _T:
        """Carry out steps about `size_bytes` of input: at once, or with their work in the thread,
        where others get in between, as they do while somebody else is asked."""
        light = self.is_light(size_bytes)
        try:
            work = next(steps)
            while True:
                if isinstance(work, _Outside):
                    work = steps.send(await work.ask())
                else:
                    work = steps.send(work() if light else await self.run(work, size_bytes))
        except StopIteration as done:
            return cast(_T, done.value)

    def _free(self, _: "Future[_T]") -> None:
        """Not before the thread has left it, even if its client is gone."""
        self._places.release()

    def close(self) -> None:
        """Take no more work; what has begun ends by itself."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
