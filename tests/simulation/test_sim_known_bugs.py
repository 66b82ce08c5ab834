"""Bugs that Kubernetes had: each comes back when what protects kubeherd is taken away."""

import pytest

from kubeherd.knownbugs.breaking import broken
from kubeherd.knownbugs.catalogue import BUGS, CATALOGUE, Bug
from kubeherd.knownbugs.running import first_violation


@pytest.mark.parametrize("bug", CATALOGUE.values(), ids=lambda bug: bug.name)
def test_the_bug_is_there_without_protection_and_only_then(bug: Bug) -> None:
    with broken(bug.protects):
        violation = first_violation(bug.experiment, 1)
    assert violation is not None
    assert violation.promise == bug.promise
    assert first_violation(bug.experiment, 1) is None


def test_every_bug_has_its_experiment() -> None:
    assert {path.stem for path in BUGS.iterdir()} == CATALOGUE.keys()
    assert all(bug.experiment.name == bug.name for bug in CATALOGUE.values())
