"""What the commands print while they work: live on a terminal, plain lines elsewhere.

Progress goes to standard error, results to standard output, so that output can be piped.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from signal import SIGINT

import click
from rich.console import Console
from rich.markup import escape
from rich.status import Status

out = Console(highlight=False, emoji=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def interrupted(message: str, exit_code: int = 128 + SIGINT) -> click.exceptions.Exit:
    """Print the line that a command ends with after a signal; what to raise then.

    The exit code is that which a shell gives. Nobody may be there to read: a terminal can be gone.
    """
    with contextlib.suppress(OSError):
        say(message)
    return click.exceptions.Exit(exit_code)


class Steps:
    """A command's steps: the running one is shown live, a finished one leaves a line."""

    def __init__(self, status: Status | None) -> None:
        self._status = status
        self._started_s = time.monotonic()

    def doing(self, text: str) -> None:
        """Show what is going on now (terminals only)."""
        if self._status is not None:
            self._status.update(escape(text))

    def done(self, text: str) -> None:
        """Leave a line about a finished step, with the seconds since the command began."""
        elapsed_s = time.monotonic() - self._started_s
        err.print(f"[green]✓[/] {escape(text)} [dim]({elapsed_s:.1f} s)[/]")


@contextlib.contextmanager
def steps(first: str) -> Iterator[Steps]:
    """Show the steps of a command; `first` is what it begins with."""
    if not err.is_terminal:
        yield Steps(None)
        return
    with err.status(first) as status:
        yield Steps(status)


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def say(text: str) -> None:
    """One line on standard error."""
    err.print(text, markup=False)


def warn(text: str) -> None:
    """One line on standard error that is not a failure."""
    err.print(f"[yellow]warning:[/] {escape(text)}")
