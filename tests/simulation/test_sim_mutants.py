"""Controllers that are broken on purpose do not survive the simulation.

The seeds are in `tests/support/mutanttable.py`; `scripts/find_mutant_seeds.py` finds others."""

from collections import Counter

import pytest
from mutanttable import EXPERIMENTS, MUTANTS, Mutant, caught, experiment

from kubeherd.knownbugs.running import first_violation


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutant_is_caught_by_its_promise(mutant: Mutant) -> None:
    violation = caught(mutant, mutant.seed)
    assert violation is not None
    assert violation.promise == mutant.promise


@pytest.mark.parametrize("name", sorted(path.stem for path in EXPERIMENTS.iterdir()))
def test_nothing_is_caught_where_nothing_is_broken(name: str) -> None:
    assert first_violation(experiment(name), 1) is None


def test_each_mutant_has_an_id_of_its_own() -> None:
    assert Counter(mutant.id for mutant in MUTANTS).most_common(1)[0][1] == 1
