"""What a fake container writes to its log, and when. Pure.

The annotation `log` goes before what is known of the container's command. Invariant: each line is
written once for each start, in order, also when the agent was away when it was due.
"""

from typing import Final

import msgspec

from kubeherd.agents.faking.annotations import Behaviour
from kubeherd.cluster.api.helpers.commands import Program

MIN_INTERVAL_S: Final = 0.1
"""Lines that repeat do not come faster."""
_ROUNDING_S: Final = 1e-6


class Output(msgspec.Struct, frozen=True, gc=False):
    """The lines in order, each due `at_s` after the start; the whole repeats every `period_s`."""

    lines: tuple[tuple[float, str], ...]
    period_s: float = 0.0

    def due_s(self, number: int) -> float | None:
        """When, after the start, line `number` (from 0) is written; None: there is no such line."""
        if number < len(self.lines):
            return self.lines[number][0]
        if not self.period_s:
            return None
        rounds, line = divmod(number, len(self.lines))
        return rounds * self.period_s + self.lines[line][0]

    def text(self, number: int) -> str:
        """Line `number`, without its newline."""
        return self.lines[number % len(self.lines)][1]

    def written(self, elapsed_s: float) -> int:
        """How many lines are written `elapsed_s` after the start."""
        elapsed_s += _ROUNDING_S
        rounds = int(elapsed_s // self.period_s) if self.period_s else 0
        rest_s = elapsed_s - rounds * self.period_s
        return rounds * len(self.lines) + sum(at_s <= rest_s for at_s, _ in self.lines)


def output(behaviour: Behaviour, program: Program | None) -> Output | None:
    """The output of one container; None where nothing is known of it."""
    if behaviour.log is not None:
        every_s = behaviour.log_interval_s and max(MIN_INTERVAL_S, behaviour.log_interval_s)
        lines = tuple((number * every_s, text) for number, text in enumerate(behaviour.log))
        return Output(lines, every_s * len(lines))
    if program is None:
        return None
    return Output(tuple((at_s, text.removesuffix("\n")) for at_s, text in program.output))
