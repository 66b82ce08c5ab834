"""A memory for functions of texts that strangers choose, bounded in bytes.

`functools.lru_cache` counts entries only: some hundred texts of 60 kB each, and what was made of
them, are hundreds of megabytes. Here a long text is worked out each time and never kept.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")


def remembered(*, entries: int, longest: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Keep the answers to the last `entries` texts of at most `longest` characters each."""

    def decorate(function: Callable[[str], T]) -> Callable[[str], T]:
        kept = lru_cache(maxsize=entries)(function)

        @wraps(function)
        def answer(text: str) -> T:
            return kept(text) if len(text) <= longest else function(text)

        return answer

    return decorate
