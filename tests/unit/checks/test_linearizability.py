"""Who asked for a write is known by its answer only: what can be said of a read without one."""

import pytest

from kubeherd.checks.api.linearizability import Linearizable
from kubeherd.checks.checker import check
from kubeherd.history import Record, Request, Verb, Write

RESOURCE, NAMESPACE, NAME = "deployments.apps", "x", "web"


def written(at: float, revision: int) -> Write:
    tree = {"metadata": {"name": "web", "uid": "u1", "resourceVersion": str(revision)}}
    return Write(
        at=at, revision=revision, verb=Verb.UPDATE, uid="u1", object=tree,
        resource=RESOURCE, namespace=NAMESPACE, name=NAME,
    )  # fmt: skip


def asked(at: float, verb: str, revision: int) -> Request:
    return Request(
        at=at, until=at + 0.5, client=verb, verb=verb, status=200, revision=revision,
        resource=RESOURCE, namespace=NAMESPACE, name=NAME,
    )  # fmt: skip


@pytest.mark.parametrize(
    "patched_at",
    [
        pytest.param(12.0, id="somebody else wrote it, who got no answer: this changed nothing"),
        pytest.param(9.0, id="it was asked for before it was read"),
    ],
)
def test_a_read_of_what_was_written_before(patched_at: float):
    history: list[Record] = [
        written(1.0, 3), written(10.0, 5), asked(11.0, "get", 5), asked(patched_at, "patch", 5)
    ]  # fmt: skip
    verdict = check(sorted(history, key=lambda record: record.at), [Linearizable])
    assert not verdict.violations
    assert verdict.checked[0].looked_at


def test_a_read_of_what_nobody_had_asked_for():
    history: list[Record] = [
        written(1.0, 3), asked(11.0, "get", 5), asked(12.0, "patch", 5), written(12.2, 5)
    ]  # fmt: skip
    verdict = check(history, [Linearizable])
    assert ["nobody had asked" in one.text for one in verdict.violations] == [True]
