"""podFailurePolicy and successPolicy: the tables of pod_failure_policy_test.go and
success_policy_test.go."""

import pytest
from job_world import pod, typed

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import Condition, Pod
from kubeherd.controller.job.failurepolicy import COUNTS, Verdict, judge
from kubeherd.controller.job.intervals import Interval
from kubeherd.controller.job.successpolicy import met
from kubeherd.controller.workload.jobs import FailureAction, PodFailurePolicy, SuccessPolicy


def on_codes(action: str, operator: str, *values: int, container: str | None = None) -> JsonObject:
    codes: JsonObject = {"operator": operator, "values": list(values)}
    if container is not None:
        codes["containerName"] = container
    return {"action": action, "onExitCodes": codes}


def on_condition(action: str, status: str = "True", kind: str = "DisruptionTarget") -> JsonObject:
    return {"action": action, "onPodConditions": [{"type": kind, "status": status}]}


def ended(name: str, code: int | None) -> JsonObject:
    state = {} if code is None else {"terminated": {"exitCode": code}}
    return {"name": name, "state": state}


def failed(*codes: int | None, init: list[JsonObject] | None = None, disrupted: str = "") -> Pod:
    """Containers c0, c1, ... with these exit codes; None: not ended."""
    condition = Condition(type="DisruptionTarget", status=disrupted)
    return pod(
        "mypod",
        "Failed",
        conditions=[condition] if disrupted else [],
        container_statuses=[ended(f"c{n}", code) for n, code in enumerate(codes)],
        init_container_statuses=init or [],
    )


IGNORED = Verdict(False, FailureAction.IGNORE)
COUNTED = Verdict(True, FailureAction.COUNT)
FAIL_INDEX = Verdict(True, FailureAction.FAIL_INDEX)


def fails(code: int, index: int, container: str = "c0") -> Verdict:
    message = (
        f"Container {container} for pod ns/mypod failed with exit code {code} matching "
        f"FailJob rule at index {index}"
    )
    return Verdict(True, FailureAction.FAIL_JOB, message)


DISRUPTED = Verdict(
    True,
    FailureAction.FAIL_JOB,
    "Pod ns/mypod has condition DisruptionTarget matching FailJob rule at index 0",
)


@pytest.mark.parametrize(
    ("rules", "ended_pod", "expected"),
    [
        (
            [on_codes("Unknown", "In", 1, 2), on_codes("FailJob", "In", 2, 3)],
            failed(2),
            fails(2, 1),
        ),
        ([on_condition("Unknown"), on_condition("Ignore")], failed(disrupted="True"), IGNORED),
        ([on_codes("Ignore", "?", 1, 2), on_codes("FailJob", "In", 2, 3)], failed(2), fails(2, 1)),
        ([on_codes("Ignore", "In", 1, 2, 3)], failed(2), IGNORED),
        ([on_codes("Ignore", "In", -1073741676)], failed(-1073741676), IGNORED),
        ([on_codes("FailJob", "In", 1, 2, 3)], failed(2), fails(2, 0)),
        ([on_codes("FailJob", "NotIn", 111)], failed(111, 0, init=[ended("i", 0)]), COUNTS),
        ([on_codes("FailIndex", "In", 1, 2, 3)], failed(2), FAIL_INDEX),
        ([on_codes("FailJob", "NotIn", 0)], failed(1, 0), fails(1, 0)),
        ([on_codes("Count", "In", 1), on_codes("FailJob", "In", 4, 6)], failed(6), fails(6, 1)),
        ([on_codes("Count", "In", 1, 2, 3)], failed(None, 2), COUNTED),
        ([on_codes("FailJob", "In", 3)], failed(0, init=[ended("setup", 3)]), fails(3, 0, "setup")),
        ([on_codes("Ignore", "In", 3, container="c1")], failed(3, 0), COUNTS),
        ([on_codes("Ignore", "In", 3, container="c1")], failed(0, 3), IGNORED),
        ([on_condition("FailIndex")], failed(disrupted="True"), FAIL_INDEX),
        ([on_condition("Ignore", "False")], failed(disrupted="False"), IGNORED),
        ([on_condition("Ignore", "Unknown")], failed(disrupted="Unknown"), IGNORED),
        ([on_condition("Ignore", "False")], failed(disrupted="True"), COUNTS),
        ([on_condition("Ignore", "True")], failed(disrupted="False"), COUNTS),
        ([on_condition("FailJob")], failed(disrupted="True"), DISRUPTED),
        ([on_condition("Count")], failed(disrupted="True"), COUNTED),
        (
            [on_codes("Ignore", "In", 1, 2), on_condition("Ignore", kind="Other")],
            failed(32),
            COUNTS,
        ),
    ],
)
def test_the_first_rule_that_matches_decides(
    rules: list[JsonObject], ended_pod: Pod, expected: Verdict
) -> None:
    assert judge(typed(PodFailurePolicy, {"rules": rules}), ended_pod) == expected


def test_without_a_policy_every_failure_counts() -> None:
    assert judge(None, failed(2)) == COUNTS


def rule(indexes: str | None = None, count: int | None = None) -> JsonObject:
    wanted: JsonObject = {"succeededIndexes": indexes, "succeededCount": count}
    return {key: value for key, value in wanted.items() if value is not None}


@pytest.mark.parametrize(
    ("rules", "completed", "expected"),
    [
        ([], [(0, 0)], None),
        ([rule("invalid-form")], [(0, 0)], None),
        ([rule("0-2")], [(0, 2), (4, 7)], 0),
        ([rule("3")], [(0, 2)], None),
        ([rule(count=2)], [(0, 2)], 0),
        ([rule(count=4)], [(0, 2)], None),
        ([rule("9"), rule("4,6")], [(0, 2), (4, 7)], 1),
        ([rule("0,1"), rule("5")], [(0, 2), (4, 7)], 0),
        ([rule("3-6", 2)], [(0, 2), (4, 7)], 0),
        ([rule("3-6", 2)], [(0, 2), (6, 7)], None),
        ([rule(count=4)], [], None),
        ([rule("2-4,6-8")], [(1, 5), (6, 9)], 0),
        ([rule("2-4,6-9")], [(2, 4), (6, 9)], 0),
        ([rule("")], [(1, 3)], None),
        ([rule("10-12,14-16")], [(1, 3), (5, 7)], None),
        ([rule("1-3,5-7")], [(2, 4), (6, 8)], None),
        ([rule("1-3,5-7", 4)], [(2, 4), (6, 8)], 0),
        ([rule("2-4,6-9")], [(1, 3), (5, 7)], None),
        ([rule("2-4,6-9", 4)], [(1, 3), (5, 7)], 0),
        ([rule("0-4,6-9")], [(1, 3), (7, 8)], None),
        ([rule("0-4,6-9", 5)], [(1, 3), (7, 8)], 0),
        ([rule("0-6,8-9", 7)], [(1, 3), (5, 9)], 0),
        ([rule("0-5,7-9")], [(1, 5), (7, 10)], None),
        ([rule("0-5,7-9", 8)], [(1, 5), (7, 10)], 0),
        ([rule("0-3,6-9", 7)], [(1, 10)], 0),
    ],
)
def test_when_a_success_policy_is_met(
    rules: list[JsonObject], completed: list[tuple[int, int]], expected: int | None
) -> None:
    policy = typed(SuccessPolicy, {"rules": rules})
    message = met(policy, 10, tuple(Interval(*pair) for pair in completed))
    assert message == ("" if expected is None else f"Matched rules at index {expected}")


def test_no_success_policy_is_never_met() -> None:
    assert met(None, 10, (Interval(0, 0),)) == ""
