"""What is said of Secrets never has their values: violations are printed, and kept in histories."""

from typing import Any

from kubeherd.checks.checker import check
from kubeherd.checks.registry import PROMISES, named
from kubeherd.history import Verb, Violation, Write

BEFORE, AFTER = "aHVudGVyMg==", "aHVudGVyMw=="


def write(revision: int, verb: Verb, resource: str, value: str) -> Write:
    tree: dict[str, Any] = {
        "metadata": {"name": "s", "namespace": "x", "uid": "u", "resourceVersion": str(revision)},
        "data": {"password": value},
        "immutable": True,
    }
    return Write(
        at=float(revision), revision=revision, verb=verb, resource=resource, namespace="x",
        name="s", uid="u", object=tree,
    )  # fmt: skip


def changed(resource: str) -> list[Violation]:
    history = [
        write(1, Verb.CREATE, resource, BEFORE),
        write(2, Verb.UPDATE, resource, AFTER),
    ]
    return [*check(history, named(*PROMISES)).violations]


def test_an_immutable_secret_that_changes_is_told_without_its_values():
    (violation,) = changed("secrets")
    assert violation.text == "secrets x/s changes data"


def test_of_a_config_map_the_values_are_told():
    (violation,) = changed("configmaps")
    assert BEFORE in violation.text
    assert AFTER in violation.text
