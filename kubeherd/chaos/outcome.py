"""How a run of an experiment fared, as a value. Pure."""

from collections.abc import Sequence

import msgspec

from kubeherd.checks.checker import Verdict
from kubeherd.faults import Fault


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run fared; `problem` is set if it never got as far as a verdict."""

    experiment: str
    seed: int
    verdict: Verdict
    done: Sequence[str] = ()
    """What was done, in words, in order."""
    faults: Sequence[Fault] = ()
    """Those that began."""
    skipped: int = 0
    """So many faults did not begin, because whom they were for was hurt already."""
    records: int = 0
    settled_after_s: float | None = None
    """From healing to the promised state."""
    problem: str = ""
    required: Sequence[str] = ()
    """Promises that the experiment is about: one that nothing spoke of was not kept."""
    story: Sequence[str] = ()
    """What came before the first violation, a line each."""
    busy: float = 0.0
    """On real processes: in what part of the time something waited for a processor, 0 to 1."""

    @property
    def passed(self) -> bool:
        """Nothing was violated, and something spoke of every promise that it is about."""
        return not (self.problem or self.verdict.violations or self.missing)

    @property
    def missing(self) -> Sequence[str]:
        """Promises of which nothing spoke, although the experiment is about them."""
        unchecked = self.verdict.unchecked
        if len(unchecked) == len(self.verdict.checked):
            return unchecked or ("any promise",)
        return [name for name in unchecked if name in self.required]
