"""How conditions are set: TestEnsureJobConditions."""

import pytest
from job_world import at

from kubeherd.cluster.api.objects import Condition
from kubeherd.controller.job.conditions import condition, ensured
from kubeherd.controller.workload.jobs import ConditionType


def of(kind: ConditionType, status: str, reason: str = "", message: str = "") -> Condition:
    return condition(kind, reason, message, at(0), status)


COMPLETE, FAILED = ConditionType.COMPLETE, ConditionType.FAILED


@pytest.mark.parametrize(
    ("known", "wanted", "expected", "changed"),
    [
        ([], of(COMPLETE, "False"), [], False),
        ([], of(COMPLETE, "True"), [of(COMPLETE, "True")], True),
        (
            [of(COMPLETE, "True")],
            of(COMPLETE, "False"),
            [of(COMPLETE, "False")],
            True,
        ),
        ([of(COMPLETE, "True")], of(COMPLETE, "True"), [of(COMPLETE, "True")], False),
        (
            [of(COMPLETE, "True", "foo")],
            of(COMPLETE, "True", "bar", "msg"),
            [of(COMPLETE, "True", "bar", "msg")],
            True,
        ),
        (
            [of(COMPLETE, "True"), of(FAILED, "True")],
            of(FAILED, "False"),
            [of(COMPLETE, "True"), of(FAILED, "False")],
            True,
        ),
    ],
)
def test_a_condition_is_set(
    known: list[Condition], wanted: Condition, expected: list[Condition], changed: bool
) -> None:
    assert ensured(known, wanted) == (expected, changed)
