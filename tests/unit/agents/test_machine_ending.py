"""Graceful termination, deadlines, removal: spec node-lifecycle 13."""

from typing import Any

import pytest
from kubelet_pods import Driver, at, container, pod

from kubeherd.agents.pods.facts import PodFacts
from kubeherd.agents.pods.machine import reject, step


def test_deletion_of_an_obedient_pod_takes_one_step() -> None:
    driver = Driver(pod())
    driver.now_s = 5
    driver.change(pod(deleted_grace_s=30))
    assert driver.step.delete
    assert driver.step.next_wake_s is None
    assert driver.status["phase"] == "Succeeded"
    terminated = driver.state()["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (0, "Completed")
    assert (terminated["startedAt"], terminated["finishedAt"]) == ("T+0", "T+5")
    assert driver.condition("Ready")["reason"] == "PodCompleted"
    assert driver.condition("Ready")["lastTransitionTime"] == "T+5"
    assert driver.status["podIP"] == "10.244.1.2"
    assert (5, "Normal", "Killing", "Stopping container web") in driver.events
    assert driver.logs[-2:] == ["5 web received SIGTERM", "5 web exited with code 0"]


@pytest.mark.parametrize(
    ("annotations", "grace_s", "sigterm_s", "ends_s", "code"),
    [
        ({"stop-delay-seconds": "7"}, 30, 0, 7, 0),
        ({"stop-delay-seconds": "7", "stop-exit-code": "143"}, 30, 0, 7, 143),
        ({"stop-delay-seconds": "30"}, 30, 0, 30, 0),
        ({"stop-delay-seconds": "31"}, 30, 0, 30, 137),
        ({"stop-delay-seconds": "9"}, 1, 0, 2, 137),  # never less than 2 s after SIGTERM
        ({"prestop-seconds": "5", "stop-delay-seconds": "99"}, 30, 5, 30, 137),
        ({"prestop-seconds": "10"}, 30, 10, 10, 0),
        ({"prestop-seconds": "60", "stop-delay-seconds": "9"}, 30, 30, 32, 137),
        ({"prestop-seconds": "29", "stop-delay-seconds": "9"}, 30, 29, 31, 137),
    ],
)
def test_hook_then_sigterm_then_sigkill(
    annotations: dict[str, str], grace_s: int, sigterm_s: float, ends_s: float, code: int
) -> None:
    driver = Driver(pod(annotations=annotations))
    driver.change(pod(annotations=annotations, deleted_grace_s=grace_s))
    if ends_s:
        assert driver.status["phase"] == "Running"
        assert driver.condition("Ready")["status"] == "True"
        assert not driver.step.delete
    driver.until(100)
    assert driver.step.delete
    terminated = driver.state()["terminated"]
    assert (terminated["exitCode"], terminated["finishedAt"]) == (code, f"T+{ends_s:g}")
    assert f"{sigterm_s:g} web received SIGTERM" in driver.logs
    assert (f"{ends_s:g} web killed by SIGKILL" in driver.logs) == (code == 137)
    assert driver.status["phase"] == ("Succeeded" if code == 0 else "Failed")
    hook_failed = "FailedPreStopHook" in [reason for _, reason in driver.reasons()]
    assert hook_failed == (annotations.get("prestop-seconds") == "60")


def test_the_specs_own_prestop_sleep() -> None:
    sleeping = container(lifecycle={"preStop": {"sleep": {"seconds": 4}}})
    driver = Driver(pod(sleeping))
    driver.change(pod(sleeping, deleted_grace_s=30))
    driver.until(50)
    assert driver.state()["terminated"]["finishedAt"] == "T+4"


def test_a_shorter_grace_interrupts_the_kill_and_a_longer_one_does_not() -> None:
    annotations = {"stop-delay-seconds": "100"}
    driver = Driver(pod(annotations=annotations))
    driver.change(pod(annotations=annotations, deleted_grace_s=60))
    driver.until(10)
    driver.change(pod(annotations=annotations, deleted_grace_s=5))
    driver.until(12)
    driver.change(pod(annotations=annotations, deleted_grace_s=50))
    driver.until(100)
    terminated = driver.state()["terminated"]
    assert (terminated["finishedAt"], terminated["exitCode"]) == ("T+15", 137)
    assert len([r for _, r in driver.reasons() if r == "Killing"]) == 1


def test_containers_stop_in_parallel_and_sidecars_last() -> None:
    annotations = {
        "one.stop-delay-seconds": "3",
        "two.stop-delay-seconds": "5",
        "proxy.stop-delay-seconds": "1",
    }
    spec = ([container("one"), container("two")], [container("proxy", restartPolicy="Always")])
    driver = Driver(pod(*spec[0], init=spec[1], annotations=annotations))
    driver.change(pod(*spec[0], init=spec[1], annotations=annotations, deleted_grace_s=30))
    driver.until(60)
    ended = {
        s["name"]: s["state"]["terminated"]["finishedAt"]
        for s in driver.status["containerStatuses"] + driver.status["initContainerStatuses"]
    }
    assert ended == {"one": "T+3", "two": "T+5", "proxy": "T+6"}
    assert driver.step.delete


def test_no_restart_once_termination_began() -> None:
    annotations = {"crash-after-seconds": "3", "stop-delay-seconds": "20"}
    driver = Driver(pod(annotations=annotations))
    driver.change(pod(annotations=annotations, deleted_grace_s=30))
    driver.until(60)
    assert driver.status["containerStatuses"][0]["restartCount"] == 0
    assert driver.state()["terminated"]["exitCode"] == 1
    assert driver.status["phase"] == "Failed"


@pytest.mark.parametrize("annotations", [{"pull-delay-seconds": "60"}, {"pull-error": "no"}])
def test_a_pod_that_never_started_ends_failed(annotations: dict[str, str]) -> None:
    driver = Driver(pod(annotations=annotations))
    driver.until(5)
    driver.change(pod(annotations=annotations, deleted_grace_s=30))
    assert driver.step.delete
    assert driver.status["phase"] == "Failed"
    terminated = driver.state()["terminated"]
    assert terminated["reason"] == "ContainerStatusUnknown"
    assert terminated["exitCode"] == 137
    assert terminated["message"] == (
        "The container could not be located when the pod was terminated"
    )


def test_deletion_before_the_init_containers_are_done_marks_no_app_container() -> None:
    annotations = {"setup.run-for-seconds": "60", "setup.stop-exit-code": "143"}
    init = [container("setup")]
    driver = Driver(pod(init=init, annotations=annotations))
    driver.change(pod(init=init, annotations=annotations, deleted_grace_s=30))
    assert driver.step.delete
    assert driver.status["phase"] == "Failed"
    assert "waiting" in driver.state()


def test_deletion_in_crash_loop_back_off_shows_how_it_ended() -> None:
    annotations = {"crash-after-seconds": "1"}
    driver = Driver(pod(annotations=annotations))
    driver.until(5)
    assert driver.state()["waiting"]["reason"] == "CrashLoopBackOff"
    driver.change(pod(annotations=annotations, deleted_grace_s=30))
    assert driver.step.delete
    assert driver.state()["terminated"]["exitCode"] == 1
    assert driver.status["phase"] == "Failed"


def test_the_active_deadline_fails_the_pod() -> None:
    driver = Driver(pod(activeDeadlineSeconds=60))
    assert driver.step.next_wake_s == 60
    driver.until(60)
    assert driver.status["phase"] == "Failed"
    assert driver.status["reason"] == "DeadlineExceeded"
    assert driver.status["message"] == (
        "Pod was active on the node longer than the specified deadline"
    )
    assert not driver.step.delete


def test_a_pod_that_ended_by_itself_is_deleted_only_when_asked() -> None:
    spec: dict[str, Any] = {"annotations": {"run-for-seconds": "1"}, "restartPolicy": "Never"}
    driver = Driver(pod(**spec))
    driver.until(1)
    assert driver.status["phase"] == "Succeeded"
    assert not driver.step.delete
    driver.change(pod(**spec, deleted_grace_s=0))
    assert driver.step.delete
    assert driver.status["phase"] == "Succeeded"


def test_sidecars_are_stopped_when_the_work_is_done() -> None:
    spec: dict[str, Any] = {
        "init": [container("proxy", restartPolicy="Always")],
        "annotations": {"web.run-for-seconds": "2", "proxy.stop-delay-seconds": "3"},
        "restartPolicy": "Never",
    }
    driver = Driver(pod(**spec))
    driver.until(2)
    assert driver.status["phase"] == "Running"
    driver.until(5)
    assert driver.status["phase"] == "Succeeded"


def test_a_removed_pod_is_killed_within_two_seconds() -> None:
    stubborn = pod(annotations={"stop-delay-seconds": "99"})
    driver = Driver(stubborn)
    first = step(stubborn, driver.facts, driver.node, at(10), removed=True)
    assert not first.facts.final
    assert first.next_wake_s == 12
    last = step(stubborn, first.facts, driver.node, at(12), removed=True)
    assert last.facts.final
    assert not last.delete


def test_a_rejected_pod() -> None:
    facts = reject(PodFacts(uid="u"), "OutOfcpu", "Node didn't have enough resource: cpu", at(3))
    driver = Driver(pod(), facts)
    assert driver.status == {
        "observedGeneration": 1,
        "phase": "Failed",
        "message": "Pod was rejected: Node didn't have enough resource: cpu",
        "reason": "OutOfcpu",
        "startTime": "T+3",
        "qosClass": "BestEffort",
    }
    assert not driver.step.delete
    driver.change(pod(deleted_grace_s=0))
    assert driver.step.delete
