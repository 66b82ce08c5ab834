"""Ctrl-C, SIGTERM and SIGHUP: what they do to a command at each moment of its life.

While the command loads, each ends it at once and without a word: nothing was done yet. While it
works, each is a KeyboardInterrupt, so that the command can put in order what it began; one that is
ignored when the command starts (`nohup`, a background job) stays ignored. The exit code is 128 and
the signal's number, as a shell has it.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

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
    """A context in which each of the signals is a KeyboardInterrupt; `number` is the last one's.

    SIGINT keeps Python's own handler, because asyncio replaces that by one that cancels its main
    task first; the others do what SIGINT does at the time.
    """

    def __init__(self) -> None:
        self.number = signal.SIGINT
        self._held = False
        self._waiting = False

    def __enter__(self) -> "Interrupts":
        self._replaced = {
            number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)
        }
        for number, handler in self._replaced.items():
            if handler is not signal.SIG_IGN:
                _set(number, self._like_ctrl_c)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._replaced.items():
            _set(number, handler)

    @property
    def exit_code(self) -> int:
        """What to end with after the last signal."""
        return 128 + self.number

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let none come in between; one that does is raised at the end.

        For imports: they run code in which Python drops a KeyboardInterrupt.
        """
        before = signal.getsignal(signal.SIGINT)
        self._held = True
        if before is not signal.SIG_IGN:
            _set(signal.SIGINT, self._note)
        try:
            yield
        finally:
            _set(signal.SIGINT, before)
            self._held = False
        if self._waiting:
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._waiting = True

    def _like_ctrl_c(self, number: int, frame: FrameType | None) -> None:
        self.number = signal.Signals(number)
        handler = signal.getsignal(signal.SIGINT)
        if self._held:
            self._waiting = True
        elif callable(handler):
            handler(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt


def _set(number: int, handler: "Callable[[int, FrameType | None], object] | int | None") -> None:
    with contextlib.suppress(ValueError):  # not in the main thread: then there is nothing to set
        signal.signal(number, handler)


loading()
