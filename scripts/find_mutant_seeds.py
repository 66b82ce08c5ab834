"""Finds for each mutant the first seed with which the simulation catches it.

    python scripts/find_mutant_seeds.py [--seeds 200] [--experiment everything] [MUTANT...]

Prints the seeds for `tests/support/mutanttable.py`, and says which mutants survive: exit code 1.
`--experiment`: by this experiment, shipped or not, instead of each mutant's own.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from mutanttable import MUTANTS, Mutant, caught

from kubeherd.cluster.runtime import logging


def find(mutant: Mutant, seeds: int, experiment: str) -> bool:
    """Whether the mutant is caught by one of the seeds; tells by which, and by what promise."""
    for seed in range(1, seeds + 1):
        violation = caught(mutant, seed, experiment)
        if violation is not None:
            own = "" if violation.promise == mutant.promise else " (another one)"
            print(f"{mutant.id}: seed {seed}: {violation.promise}{own}: {violation.text}")
            return True
    print(f"{mutant.id} SURVIVES {seeds} seeds")
    return False


def main() -> int:
    """Look at the mutants of these names, or at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mutants", nargs="*")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--experiment", default="")
    wanted = parser.parse_args()
    logging.configure("mutants", level="critical")
    chosen = [one for one in MUTANTS if not wanted.mutants or one.id in wanted.mutants]
    found = [find(mutant, wanted.seeds, wanted.experiment) for mutant in chosen]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
