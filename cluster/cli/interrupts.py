"""Ctrl-C, SIGTERM and SIGHUP: what they do to a command at each moment of its life.

While the command loads, each ends it at once and without a word: nothing was done yet. While it
works, each is a KeyboardInterrupt, so that the command can put in order what it began; one that is
ignored when the command starts (`nohup`, a background job) stays ignored. The exit code is 128 and
the signal's number, as a shell has it.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

_Handler = Callable[[int, FrameType | None], object] | int | None

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_before = signal.getsignal(signal.SIGINT)


def loading() -> None:
    """From here on Ctrl-C ends the process at once."""
    if _before is signal.default_int_handler:
        _set(signal.SIGINT, lambda number, _frame: os._exit(128 + number))


def loaded() -> None:
    """From here on Ctrl-C is what it was before `loading`."""
    _set(signal.SIGINT, _before)


def done() -> None:
    """From here on Ctrl-C does nothing: the command has done its work, and its process ends."""
    _set(signal.SIGINT, signal.SIG_IGN)


class Interrupts:
    """A context in which each of the signals is a KeyboardInterrupt; `number` is the last one's."""

    def __init__(self) -> None:
        self.number = signal.SIGINT
        self._came = False
        self._replaced: dict[signal.Signals, _Handler] = {}
        self._hook = sys.unraisablehook

    def __enter__(self) -> "Interrupts":
        self._replaced = {
            number: handler
            for number in _SIGNALS
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN
        }
        for number in self._replaced:
            _set(number, self._interrupt)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        return self

    def __exit__(self, *_error: object) -> None:
        sys.unraisablehook = self._hook
        for number, handler in self._replaced.items():
            _set(number, handler)

    @property
    def exit_code(self) -> int:
        """What to end with after the last signal."""
        return 128 + self.number

    def check(self) -> None:
        """KeyboardInterrupt if a signal came whose own exception did not get this far.

        Python drops exceptions in some places where a signal handler may run: in finalizers, say,
        and in the closing of a file that is being collected. What it says of it there is kept back.
        """
        if self._came:
            raise KeyboardInterrupt

    def _dropped(self, unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            self._hook(unraisable)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self.number = signal.Signals(number)
        self._came = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def deferred(at_once: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Code that no KeyboardInterrupt may tear: a signal calls `at_once`, and counts at the end.

    That is for imports, in which Python drops such an exception, and for event loops, which it
    leaves in pieces.
    """
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {
        number: handler for number in _SIGNALS if callable(handler := signal.getsignal(number))
    }
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        at_once()

    for number in handlers:
        _set(number, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            _set(number, handler)
        if came:
            handlers[came[0]](came[0], None)


def _set(number: int, handler: "_Handler") -> None:
    with contextlib.suppress(ValueError):  # not in the main thread: then there is nothing to set
        signal.signal(number, handler)


loading()
