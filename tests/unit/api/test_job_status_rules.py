"""What the status of a Job may become, and what a suspended one lets change: the tables of
pkg/registry/batch/job/strategy_test.go and pkg/apis/batch/validation/validation_test.go."""

from typing import Any

import pytest

from kubeherd.cluster.api import kinds, validation
from kubeherd.cluster.api.jsontypes import JsonObject

JOBS = kinds.JOBS
START, LATER, LATEST = (f"2026-01-01T00:0{minute}:00Z" for minute in range(3))
INDEXED = {"completionMode": "Indexed", "completions": 5, "parallelism": 2}
PER_INDEX = {**INDEXED, "backoffLimitPerIndex": 1}
ELASTIC = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
POLICY = {**INDEXED, "successPolicy": {"rules": [{"succeededCount": 1}]}}


def true(*types: str) -> list[JsonObject]:
    return [{"type": kind, "status": "True"} for kind in types]


MET, COMPLETE = true("SuccessCriteriaMet"), true("SuccessCriteriaMet", "Complete")
TARGET, FAILED = true("FailureTarget"), true("FailureTarget", "Failed")
ENDED = {"conditions": COMPLETE, "startTime": START, "completionTime": LATER}
BROKEN = {"conditions": FAILED, "startTime": START}
SUSPENDED, RESUMED = true("Suspended"), [{"type": "Suspended", "status": "False"}]
UNTIL = "status.completionTime"


def refusals(spec: JsonObject, before: JsonObject, after: JsonObject) -> list[str]:
    common = {"metadata": {"name": "n", "resourceVersion": "1"}, "spec": spec}
    old, new = {**common, "status": before}, {**common, "status": after}
    found = validation.update(JOBS, new, old, "status")
    return [f"{cause.field}: {cause.message}" for cause in found]


def conditions(detail: str) -> list[str]:
    return [f"status.conditions: Invalid value: {detail}"]


@pytest.mark.parametrize(
    ("spec", "before", "after", "problems"),
    [
        ({}, {"conditions": MET, "startTime": START}, ENDED, []),
        ({}, {"conditions": TARGET, "startTime": START}, BROKEN, []),
        ({}, {}, {"active": -1}, [
            "status.active: Invalid value: -1: must be greater than or equal to 0"]),
        ({}, {}, {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["b", "a"]}}, [
            'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
            'status.uncountedTerminatedPods.failed[1]: Duplicate value: "a"']),
        ({}, {}, {**ENDED, "conditions": COMPLETE + FAILED}, [
            *conditions("cannot set Complete=True and Failed=true conditions"),
            *conditions("cannot set Complete=True and FailureTarget=true conditions"),
            *conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions"),
            *conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")]),
        ({}, {}, {"startTime": START, "completionTime": LATER}, [
            f'{UNTIL}: Invalid value: "{LATER}": cannot set completionTime when there is no '
            "Complete=True condition"]),
        ({}, {}, {"conditions": COMPLETE, "startTime": START}, [
            f"{UNTIL}: Required value: completionTime is required for Complete jobs"]),
        ({}, {}, {**ENDED, "startTime": LATEST}, [
            f'{UNTIL}: Invalid value: "{LATER}": must be equal to or after `startTime`']),
        ({}, {}, {**BROKEN, "conditions": true("Failed")}, conditions(
            "cannot set Failed=True condition without the FailureTarget=true condition")),
        ({}, {}, {**ENDED, "conditions": true("Complete")}, conditions(
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")),
        ({}, {}, {**BROKEN, "active": 1}, [
            "status.active: Invalid value: 1: active>0 is invalid for finished job"]),
        ({}, {**BROKEN, "active": 1}, {**BROKEN, "active": 1, "failed": 1}, []),
        ({}, {}, {"conditions": FAILED}, [
            "status.startTime: Required value: startTime is required for finished job"]),
        ({"suspend": True, "completions": 0}, {},
         {"conditions": COMPLETE, "completionTime": LATER}, []),
        ({}, {}, {**BROKEN, "uncountedTerminatedPods": {"failed": ["a"]}}, [
            'status.uncountedTerminatedPods: Invalid value: {"Succeeded":null,"Failed":["a"]}: '
            "must be empty for finished job"]),
        ({}, {}, {**BROKEN, "terminating": 1}, [
            "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job"]),
        ({}, {}, {"ready": 2, "active": 1}, [
            "status.ready: Invalid value: 2: cannot set more ready pods than active"]),
        ({}, {"ready": 2, "active": 1}, {"ready": 2, "active": 1, "failed": 1}, []),
        (INDEXED, {}, {"completedIndexes": "0,1-3"}, []),
        (INDEXED, {}, {"completedIndexes": "invalid"}, [
            'status.completedIndexes: Invalid value: "invalid": error parsing completedIndexes: '
            'cannot convert string to integer for index: "invalid"']),
        (INDEXED, {"completedIndexes": "9"}, {"completedIndexes": "9", "active": 1}, []),
        ({}, {}, {"completedIndexes": "0"}, [
            'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes '
            "when non-indexed completion mode"]),
        (PER_INDEX, {}, {"failedIndexes": "3,2"}, [
            'status.failedIndexes: Invalid value: "3,2": error parsing failedIndexes: '
            "non-increasing order, previous: 3, current: 2"]),
        (INDEXED, {}, {"failedIndexes": ""}, [
            'status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when '
            "backoffLimitPerIndex is null"]),
        (PER_INDEX, {}, {"completedIndexes": "0,2-4", "failedIndexes": "1,3"}, [
            'status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes '
            "overlap at index: 3"]),
        (PER_INDEX, {}, {"completedIndexes": "0,2", "failedIndexes": "1,3"}, []),
        (POLICY, {"startTime": START, "conditions": true("Complete"), "completionTime": LATER},
         {"startTime": START, "conditions": true("Complete"), "completionTime": LATER}, conditions(
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")),
        ({}, BROKEN, {"startTime": START}, [
            *conditions("cannot disable the terminal Failed=True condition"),
            *conditions("cannot disable the terminal FailureTarget=True condition")]),
        ({}, {"conditions": MET}, {}, conditions(
            "cannot disable the SuccessCriteriaMet=True condition")),
        ({}, {"failed": 3, "succeeded": 2}, {"failed": 1, "succeeded": 1}, [
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
            "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
        (ELASTIC, {"succeeded": 2}, {"succeeded": 1}, []),
        (INDEXED, {"succeeded": 2}, {"succeeded": 1}, [
            "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
        ({}, ENDED, {**ENDED, "completionTime": LATEST}, [
            f'{UNTIL}: Invalid value: "{LATEST}": field is immutable']),
        ({}, {"startTime": START}, {"startTime": LATER}, [
            f'status.startTime: Invalid value: "{LATER}": field is immutable for unsuspended job '
            "once set"]),
        ({"suspend": True}, {"startTime": START}, {}, []),
        ({}, {}, {"startTime": LATER}, []),
        ({}, {"startTime": START, "conditions": SUSPENDED},
         {"startTime": LATER, "conditions": RESUMED}, []),
    ],
)  # fmt: skip
def test_a_status_may_become(
    spec: JsonObject, before: JsonObject, after: JsonObject, problems: list[str]
) -> None:
    assert refusals(spec, before, after) == problems


def template(**pod: Any) -> JsonObject:
    containers = [{"name": "c", "image": "i", "resources": pod.pop("resources", {})}]
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers, **pod}}


@pytest.mark.parametrize(
    ("suspend", "status", "allowed"),
    [
        (True, {}, True),
        (True, {"startTime": START, "conditions": SUSPENDED}, True),
        (True, {"startTime": START}, False),
        (True, {"startTime": START, "conditions": SUSPENDED, "active": 1}, False),
        (False, {}, False),
    ],
)
@pytest.mark.parametrize(
    "change", [{"nodeSelector": {"x": "y"}}, {"resources": {"requests": {"cpu": "1"}}}]
)
def test_a_job_at_rest_may_be_told_where_to_run_and_with_how_much(
    suspend: bool, status: JsonObject, allowed: bool, change: JsonObject
) -> None:
    selector = {"matchLabels": {"a": "b"}}
    spec = {"suspend": suspend, "selector": selector, "manualSelector": True, "completions": 1}
    common = {"metadata": {"name": "n", "resourceVersion": "1"}, "status": status}
    old = {**common, "spec": {**spec, "template": template()}}
    new = {**common, "spec": {**spec, "template": template(**change)}}
    immutable = [
        cause for cause in validation.update(JOBS, new, old) if cause.message.endswith("immutable")
    ]
    assert (not immutable) is allowed
