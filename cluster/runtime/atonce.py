"""A coroutine that waits for nothing, run like a function.

A task for it would run in the next turn of the event loop, behind all that is due there. Invariant:
what would have to wait is closed, and has no task on which it could rely.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class WouldWait(Exception):
    """The coroutine waits for something; it is closed."""


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns or raises, if it waits for nothing; else WouldWait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise WouldWait
