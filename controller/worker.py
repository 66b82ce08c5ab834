"""The reconcile loop: workers take keys from a queue and run one reconcile at a time per key.

Every controller has the same one, so that back-off, logging and cancellation are the same. A
reconcile returns None when it is done, or the nominal seconds after which to look again; raising
means a retry with the queue's rate limit. Invariant: a key taken from the queue is given back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

import structlog

from cluster.api.errors import ApiError
from cluster.client.transport import TransportError
from cluster.client.workqueue import WorkQueue

K = TypeVar("K", bound=Hashable)
Reconcile = Callable[[K], Awaitable[float | None]]


class ReconcileError(Exception):
    """A reconcile that could not do its work for now; the text says why. It will be tried again."""


_log = structlog.get_logger(__name__)


async def run_workers(
    queue: WorkQueue[K], reconcile: Reconcile[K], *, controller: str, workers: int = 2
) -> None:
    """Run `workers` loops over the queue until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(workers):
            tasks.create_task(_work(queue, reconcile, controller), name=f"{controller}-{number}")


async def _work(queue: WorkQueue[K], reconcile: Reconcile[K], controller: str) -> None:
    while True:
        key = await queue.get()
        try:
            again_s = await reconcile(key)
        except (ReconcileError, ApiError, TransportError, TimeoutError) as error:
            _log.info("reconcile_failed", controller=controller, key=str(key), error=str(error))
            queue.add_rate_limited(key)
        except Exception:  # top of the reconcile loop: one bad object must not stop the others
            _log.exception("reconcile_crashed", controller=controller, key=str(key))
            queue.add_rate_limited(key)
        else:
            queue.forget(key)
            if again_s is not None:
                queue.add_after(key, again_s)
        finally:
            queue.done(key)
