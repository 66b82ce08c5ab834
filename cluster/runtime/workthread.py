"""A thread beside an event loop that does one thing after the other.

What an executor of one thread does too, for twice the price: it makes a second future and takes
four locks for each piece of work. Invariants: what was handed over is done, in order, also when
nobody waits for it any more; `close` returns when all of it is.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]


class WorkThread:
    """See the module. It is started at once; work that is waited for bounds its queue."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, or what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put((work, loop, done))
        return await done

    def close(self) -> None:
        """Wait until what was handed over is done; after that nothing may be."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, loop, done = job
            try:
                result = work()
            except BaseException as error:
                tell: tuple[Any, ...] = (_fail, done, error)
            else:
                tell = (_succeed, done, result)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(*tell)
            del job, work, done, tell


def _succeed(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
