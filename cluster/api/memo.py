"""A memory for functions of texts that strangers choose, bounded in bytes.

`functools.lru_cache` counts entries only: some hundred texts of 60 kB each, and what was made of
them, are hundreds of megabytes. Here a long text is worked out each time and never kept.
"""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class _Answers(dict[str, T]):
    """What a function made of texts; begun anew when it is full. A known one is looked up without
    a line of Python: in the life of a pod sixty are. Threads may share it: no step is half done.
    """

    def __init__(self, function: Callable[[str], T], entries: int, longest: int) -> None:
        self._function = function
        self._entries = entries
        self._longest = longest

    def __missing__(self, text: str) -> T:
        made = self._function(text)
        if len(text) <= self._longest:
            if len(self) >= self._entries:
                self.clear()  # what is still in use comes again
            self[text] = made
        return made


def remembered(*, entries: int, longest: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Keep the answers to at most `entries` texts of at most `longest` characters each."""

    def decorate(function: Callable[[str], T]) -> Callable[[str], T]:
        return _Answers(function, entries, longest).__getitem__

    return decorate
