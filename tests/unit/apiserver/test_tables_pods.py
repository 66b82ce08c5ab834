"""The table of pods: what the columns Ready, Status and Restarts say about containers."""

from typing import Any

import pytest
from tablecells import NOW, ago, cells, condition, pod

from kubeherd.cluster.api import kinds
from kubeherd.cluster.apiserver import tables


def status(**state: Any) -> dict[str, Any]:
    return {"name": "c", "state": state}


RUNNING = {**status(running={}), "ready": True}
CRASHED = {**status(waiting={"reason": "CrashLoopBackOff"}), "restartCount": 3}


INITIALIZED = [condition("Initialized", "True")]
SIDECAR_SPEC = {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}
INIT_SPEC = {"initContainers": [{"name": "i"}, {"name": "j"}]}


@pytest.mark.parametrize(
    ("tree", "word"),
    [
        (pod(phase="Pending"), "Pending"),
        (pod(phase="Failed", reason="Evicted"), "Evicted"),
        (
            pod(
                phase="Pending",
                conditions=[condition("PodScheduled", "False", reason="SchedulingGated")],
            ),
            "SchedulingGated",
        ),
        (pod(phase="Running", containerStatuses=[RUNNING]), "Running"),
        (pod(phase="Running", containerStatuses=[CRASHED]), "CrashLoopBackOff"),
        (
            pod(phase="Pending", containerStatuses=[status(waiting={"reason": "ErrImagePull"})]),
            "ErrImagePull",
        ),
        (
            pod(phase="Running", containerStatuses=[CRASHED, status(waiting={"reason": "X"})]),
            "CrashLoopBackOff",
        ),
        (
            pod(phase="Failed", containerStatuses=[status(terminated={"exitCode": 3})]),
            "ExitCode:3",
        ),
        (
            pod(phase="Failed", containerStatuses=[status(terminated={"signal": 9})]),
            "Signal:9",
        ),
        (
            pod(
                phase="Running",
                conditions=[condition("Ready", "True")],
                containerStatuses=[
                    status(terminated={"reason": "Completed", "exitCode": 0}),
                    RUNNING,
                ],
            ),
            "Running",
        ),
        (
            pod(
                phase="Running",
                containerStatuses=[
                    status(terminated={"reason": "Completed", "exitCode": 0}),
                    RUNNING,
                ],
            ),
            "NotReady",
        ),
        (
            pod(
                phase="Running",
                containerStatuses=[
                    status(terminated={"reason": "Completed", "exitCode": 0}),
                    status(terminated={"reason": "Error", "exitCode": 1}),
                ],
            ),
            "Error",
        ),
        (
            pod(
                phase="Pending",
                spec=INIT_SPEC,
                initContainerStatuses=[
                    {**status(terminated={"exitCode": 0}), "name": "i"},
                    {**status(running={}), "name": "j"},
                ],
            ),
            "Init:1/2",
        ),
        (
            pod(
                phase="Pending",
                spec=INIT_SPEC,
                initContainerStatuses=[status(terminated={"exitCode": 2})],
            ),
            "Init:ExitCode:2",
        ),
        (
            pod(
                phase="Pending",
                spec=INIT_SPEC,
                initContainerStatuses=[status(waiting={"reason": "CrashLoopBackOff"})],
            ),
            "Init:CrashLoopBackOff",
        ),
        (
            pod(
                phase="Pending",
                spec=INIT_SPEC,
                initContainerStatuses=[status(waiting={"reason": "PodInitializing"})],
            ),
            "Init:0/2",
        ),
        (
            pod(
                phase="Running",
                spec=SIDECAR_SPEC,
                conditions=INITIALIZED,
                initContainerStatuses=[{**RUNNING, "name": "s", "started": True}],
                containerStatuses=[RUNNING],
            ),
            "Running",
        ),
        (pod(phase="Running", metadata={"deletionTimestamp": ago(1)}), "Terminating"),
        (pod(phase="Succeeded", metadata={"deletionTimestamp": ago(1)}), "Succeeded"),
        (
            pod(phase="Running", reason="NodeLost", metadata={"deletionTimestamp": ago(1)}),
            "Unknown",
        ),
    ],
)
def test_the_status_column_of_pods(tree: dict[str, Any], word: str) -> None:
    assert cells("pods", tree)["Status"] == word


def test_pod_restarts_name_the_last_one() -> None:
    older = {"lastState": {"terminated": {"finishedAt": ago(600)}}}
    newer = {"lastState": {"terminated": {"finishedAt": ago(300)}}}
    tree = pod(
        phase="Running",
        containerStatuses=[{**CRASHED, **newer}, {**CRASHED, "name": "d", **older}],
    )
    assert cells("pods", tree)["Restarts"] == "6 (5m ago)"
    assert cells("pods", pod(containerStatuses=[CRASHED]))["Restarts"] == "3"
    assert cells("pods", pod())["Restarts"] == "0"


def test_pod_counts_sidecars() -> None:
    tree = pod(
        spec=SIDECAR_SPEC,
        conditions=INITIALIZED,
        initContainerStatuses=[
            {**RUNNING, "name": "s", "started": True, "restartCount": 2},
        ],
        containerStatuses=[RUNNING],
    )
    assert cells("pods", tree)["Ready"] == "2/2"
    assert cells("pods", tree)["Restarts"] == "2"


def test_pod_readiness_gates() -> None:
    tree = pod(
        spec={"readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
        conditions=[condition("a", "True")],
    )
    assert cells("pods", tree)["Readiness Gates"] == "1/2"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_rows_of_finished_pods_are_marked(phase: str) -> None:
    row = tables.table(kinds.PODS, [pod(phase=phase)], now=NOW)["rows"][0]
    (found,) = row["conditions"]
    assert (found["type"], found["status"], found["reason"]) == ("Completed", "True", phase)
    row = tables.table(kinds.PODS, [pod(phase="Running")], now=NOW)["rows"][0]
    assert "conditions" not in row
