"""The reconcile loop: workers take keys from a queue and run one reconcile at a time per key.

Every controller has the same one, so that back-off, logging and cancellation are the same. A
reconcile returns None when it is done, or the nominal seconds after which to look again; raising
means a retry with the queue's rate limit. Invariants: a key taken from the queue is given back;
a key's trouble is logged once until it is over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

import structlog

from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.client.workqueue import WorkQueue
from kubeherd.cluster.runtime.cancellation import raise_if_cancelled

K = TypeVar("K", bound=Hashable)
Reconcile = Callable[[K], Awaitable[float | None]]


class ReconcileError(Exception):
    """A reconcile that could not do its work for now; the text says why. It will be tried again."""


_log = structlog.get_logger(__name__)


class Troubles:
    """What one controller has said already about what does not work."""

    def __init__(self, controller: str) -> None:
        self.controller = controller
        self._failing: set[Hashable] = set()

    def failed(self, key: Hashable, error: Exception) -> None:
        """A reconcile raised what it may raise. (A server that is away is the client's to tell.)"""
        if key not in self._failing and not isinstance(error, TransportError):
            self._failing.add(key)
            _log.info(
                "reconcile_failed", controller=self.controller, key=str(key), error=str(error)
            )

    def worked(self, key: Hashable) -> None:
        """A reconcile went through."""
        if key in self._failing:
            self._failing.discard(key)
            _log.info("reconcile_recovered", controller=self.controller, key=str(key))


async def run_workers(
    queue: WorkQueue[K], reconcile: Reconcile[K], *, controller: str, workers: int = 2
) -> None:
    """Run `workers` loops over the queue until cancelled."""
    troubles = Troubles(controller)
    async with asyncio.TaskGroup() as tasks:
        for number in range(workers):
            tasks.create_task(_work(queue, reconcile, troubles), name=f"{controller}-{number}")


async def _work(queue: WorkQueue[K], reconcile: Reconcile[K], troubles: Troubles) -> None:
    while True:
        key = await queue.get()
        try:
            again_s = await reconcile(key)
        except (ReconcileError, ApiError, TransportError, TimeoutError) as error:
            troubles.failed(key, error)
            queue.add_rate_limited(key)
        except Exception:  # top of the reconcile loop: one bad object must not stop the others
            raise_if_cancelled()
            _log.exception("reconcile_crashed", controller=troubles.controller, key=str(key))
            queue.add_rate_limited(key)
        else:
            troubles.worked(key)
            queue.forget(key)
            if again_s is not None:
                queue.add_after(key, again_s)
        finally:
            queue.done(key)
