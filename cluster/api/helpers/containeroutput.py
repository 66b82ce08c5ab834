"""What a fake container writes to its log, and when. Pure.

The annotation `log` goes before what is known of the container's command. Invariant: each line is
written once for each start, in order, also when the agent was away when it was due. What an agent
writes down can so be told without it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from kubeherd.cluster.api.helpers.commands import Program

MIN_INTERVAL_S: Final = 0.1
"""Lines that repeat do not come faster."""
_ROUNDING_S: Final = 1e-6


class Output(msgspec.Struct, frozen=True, gc=False):
    """The lines in order, each due `at_s` after the start; the last `repeated` of them come again
    every `period_s`."""

    lines: tuple[tuple[float, str], ...]
    repeated: int = 0
    period_s: float = 0.0

    def due_s(self, number: int) -> float | None:
        """When, after the start, line `number` (from 0) is written; None: there is no such line."""
        turn, line = self._place(number)
        return turn * self.period_s + self.lines[line][0] if line < len(self.lines) else None

    def text(self, number: int) -> str:
        """Line `number`, without its newline."""
        return self.lines[self._place(number)[1]][1]

    def written(self, elapsed_s: float) -> int:
        """How many lines are written `elapsed_s` after the start."""
        elapsed_s += _ROUNDING_S
        due = [at_s for at_s, _ in self.lines if at_s <= elapsed_s]
        again = due[len(self.lines) - self.repeated :]
        return len(due) + sum(int((elapsed_s - at_s) // self.period_s) for at_s in again)

    def _place(self, number: int) -> tuple[int, int]:
        """The turn (from 0) that writes line `number`, and which of `lines` that is."""
        once = len(self.lines) - self.repeated
        if not self.repeated or number < once:
            return 0, number
        turn, line = divmod(number - once, self.repeated)
        return turn, once + line


def output(log: Sequence[str] | None, interval_s: float, program: Program | None) -> Output | None:
    """The output of one container, by the lines and the interval of its annotations or by what its
    command does; None where nothing is known of it."""
    if log is not None:
        every_s = interval_s and max(MIN_INTERVAL_S, interval_s)
        lines = tuple((number * every_s, text) for number, text in enumerate(log))
        return Output(lines, len(lines) if every_s else 0, every_s * len(lines))
    if program is None:
        return None
    lines = tuple((at_s, text.removesuffix("\n")) for at_s, text in program.output)
    return Output(lines, program.repeated, program.period_s)
