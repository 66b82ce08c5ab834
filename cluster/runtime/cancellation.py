"""Cancellation that a task group may swallow.

When a child of a `TaskGroup` fails in the very step in which the group's own task is cancelled,
Python before 3.13 raises the child's error alone. A loop that catches it and goes on would never
end, and whoever cancelled it would wait for ever.
"""

import asyncio


def raise_if_cancelled() -> None:
    """Call it first where a loop catches any exception and goes on: CancelledError if the running
    task was asked to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
