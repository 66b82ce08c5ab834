"""Running a coroutine that need not wait for anything like a function.

A task would run it in the next turn of the event loop only, behind everything else that is due
there. Invariant: a coroutine that has to wait is closed; until then it runs without a task of its
own, so it must not ask for the current one.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class WouldWait(Exception):
    """The coroutine waits for something; it is closed."""


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, or the exception that it raises; WouldWait if it has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise WouldWait
