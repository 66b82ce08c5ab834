"""An event loop on virtual time: sleeping costs nothing, waiting for nothing is an error.

Everything of a component of the simulated cluster runs in a context that names its process. So the
loop can hold one process still, as SIGSTOP does: what of it comes up is put aside, in order, until
it is thawed. Nobody pays for that while nothing is frozen.
"""

import asyncio
import functools
import gc
import heapq
import selectors
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, cast

import msgspec

from kubeherd.cluster.api.timestamps import parse_time

P = ParamSpec("P")
T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall-clock time at which virtual time begins."""

PROCESS: ContextVar[object] = ContextVar("PROCESS", default=None)
"""Whose code runs; None: that of whoever looks at the cluster, which is never frozen."""

_CANCELLED_TIMERS = 200
"""So many cancelled timers may lie about before they are swept out."""

_DEAF_WAITS = 64
"""While no file is open that news may come of, the system is asked so seldom: only for signals."""

_YOUNG_OBJECTS = 50_000
"""Garbage is looked for after so many new objects: a cluster has many and throws few away in
cycles, and Python's own 700 cost an eighth of all time."""


class _Callback(msgspec.Struct, eq=False):
    """What asyncio calls a handle, without what only its debug mode needs: there are thousands in a
    second, and a Struct is made without a line of Python."""

    _context: Context
    _callback: Callable[..., object]
    _args: tuple[Any, ...]
    _cancelled: bool = False

    def cancel(self) -> None:
        """As `asyncio.Handle.cancel`."""
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]

    def cancelled(self) -> bool:
        """As `asyncio.Handle.cancelled`."""
        return self._cancelled


class _Timer(_Callback, eq=False):
    """The same with a moment, as `asyncio.TimerHandle`. It has a loop while it lies among the
    timers of it."""

    _when: float = 0.0
    _loop: "VirtualLoop | None" = None

    def cancel(self) -> None:
        """As the loop's own."""
        if not self._cancelled:
            super().cancel()
            if self._loop is not None:
                self._loop.one_cancelled()

    def when(self) -> float:
        """As `asyncio.TimerHandle.when`."""
        return self._when


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer as soon as nothing is left to do.

    A turn is asyncio's own without what only real time needs: timers fire at their exact moment,
    those of one moment in the order in which they were set, and the system is asked for news only
    when nothing else is left to do, and somebody may have some.
    """

    _ready: deque[_Callback | _Timer]
    _stopping: bool
    _closed: bool
    _process_events: Callable[[list[Any]], None]

    def __init__(self) -> None:
        self._now_s = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._set = 0
        """How many timers were set so far."""
        self._cancelled = 0
        """So many of them are cancelled."""
        self._aside: dict[object, list[_Callback | _Timer]] = {}
        """What came up of each frozen process, in order."""
        self._news = selectors.SelectSelector()
        super().__init__(self._news)
        self._files = self._news.get_map()
        """What news may come of; the first is the loop's own, by which it is woken."""
        self._waits = 0

    def time(self) -> float:
        return self._now_s

    def freeze(self, process: object) -> None:
        """Nothing of this process, a value of `PROCESS`, runs until `thaw`."""
        self._aside.setdefault(process, [])

    def thaw(self, process: object) -> None:
        """Let it go on, with all that came up meanwhile; nothing if it is not frozen."""
        self._ready.extend(self._aside.pop(process, ()))

    get_debug = staticmethod(bool)
    """Never: without a line of Python, as every future asks."""

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """As the loop's own, without its checks for debugging."""
        return asyncio.Task(coro, loop=self, name=name, context=context)  # type: ignore[arg-type]

    def call_soon(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As the loop's own, without its checks for debugging."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = _Callback(copy_context() if context is None else context, callback, args)
        self._ready.append(handle)
        return cast(asyncio.Handle, handle)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As the loop's own."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        timer = _Timer(
            copy_context() if context is None else context, callback, args, False, when, self
        )
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, timer))
        return cast(asyncio.TimerHandle, timer)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As the loop's own."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def moment(self, delay_s: float) -> asyncio.Future[None]:
        """Done after so many seconds: `asyncio.sleep` for those who are seldom cancelled."""
        future: asyncio.Future[None] = asyncio.Future(loop=self)
        self.call_at(self._now_s + delay_s, _done, future)
        return future

    def one_cancelled(self) -> None:
        """One of its timers was cancelled: sweep if it is one too many."""
        self._cancelled += 1
        timers = self._timers
        if self._cancelled > _CANCELLED_TIMERS and self._cancelled > len(timers) // 2:
            timers[:] = [entry for entry in timers if not entry[2]._cancelled]
            heapq.heapify(timers)
            self._cancelled = 0

    def _run_once(self) -> None:
        """Turn after turn, until the loop is stopped."""
        while True:
            ready, timers = self._ready, self._timers
            if not ready and not self._stopping:
                self._wait()
            now_s = self._now_s
            while timers and timers[0][0] <= now_s:
                timer = heapq.heappop(timers)[2]
                if timer._cancelled:
                    self._cancelled -= 1
                    continue
                timer._loop = None
                ready.append(timer)
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle._cancelled or (self._aside and self._put_aside(handle)):
                    continue
                try:
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # as Handle._run
                    text = f"Exception in callback {handle._callback!r}"
                    told = {"message": text, "exception": error, "handle": handle}
                    self.call_exception_handler(told)
            if self._stopping:
                return

    def _wait(self) -> None:
        """Nothing is ready: see what the system has, else let time jump to the next timer."""
        self._waits += 1
        if len(self._files) > 1 or not self._waits % _DEAF_WAITS:
            self._process_events(self._news.select(0))
            if self._ready:
                return
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
            self._cancelled -= 1
        if not timers:
            raise RuntimeError("deadlock: every task waits, and no timer is set")
        self._now_s = max(self._now_s, timers[0][0])

    def _put_aside(self, handle: _Callback | _Timer) -> bool:
        aside = self._aside.get(handle._context.get(PROCESS))
        if aside is None:
            return False
        aside.append(handle)
        return True


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class VirtualClock:
    """A clock on an event loop with virtual time: wall time is `epoch` plus the loop's time."""

    def __init__(self, epoch: datetime) -> None:
        self.epoch = epoch
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of the run: to find the running one takes a system call."""
        self._now = epoch
        self._now_s = 0.0

    def now(self) -> datetime:
        now_s = self.monotonic_s()
        if now_s != self._now_s:
            self._now = self.epoch + timedelta(seconds=now_s)
            self._now_s = now_s
        return self._now

    def monotonic_s(self) -> float:
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = asyncio.get_running_loop()
        return loop.time()

    def age_s(self, timestamp: str | datetime) -> float:
        moment = parse_time(timestamp) if isinstance(timestamp, str) else timestamp
        return (self.now() - moment).total_seconds()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(max(0.0, duration_s))

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        async with asyncio.timeout(max(0.0, timeout_s)):
            return await awaitable

    def call_later(self, delay_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), act)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on virtual time."""
    thresholds = gc.get_threshold()
    gc.set_threshold(_YOUNG_OBJECTS, *thresholds[1:])
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main)
    finally:
        gc.set_threshold(*thresholds)


def run_with_clock(main: Callable[[VirtualClock], Awaitable[T]]) -> T:
    """Run `main(clock)` to its end on virtual time."""

    async def started() -> T:
        return await main(VirtualClock(EPOCH))

    return run(started())


def virtual(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async function, a test for instance, an ordinary one that runs on virtual time."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **named: P.kwargs) -> T:
        return run(test(*args, **named))

    return wrapper
