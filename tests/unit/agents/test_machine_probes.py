"""Simulated probes: spec node-lifecycle 12.7."""

from kubelet_pods import Driver, container, pod

PROBE = {"httpGet": {"port": 80}}


def test_a_readiness_probe_with_delay() -> None:
    driver = Driver(pod(container(readinessProbe={**PROBE, "initialDelaySeconds": 5})))
    assert driver.condition("Ready")["status"] == "False"
    assert driver.step.next_wake_s == 5
    driver.until(5)
    assert driver.condition("Ready")["status"] == "True"
    assert driver.step.next_wake_s is None


def test_a_probe_without_delays_is_answered_at_once() -> None:
    assert Driver(pod(container(readinessProbe=PROBE))).condition("Ready")["status"] == "True"


def test_success_threshold_and_late_readiness() -> None:
    probe = {**PROBE, "periodSeconds": 2, "successThreshold": 3}
    driver = Driver(pod(container(readinessProbe=probe), annotations={"ready-delay-seconds": "3"}))
    driver.until(20)
    assert driver.condition("Ready")["lastTransitionTime"] == "T+8"  # yes at 4, 6 and 8
    unhealthy = [(s, m) for s, _, reason, m in driver.events if reason == "Unhealthy"]
    assert unhealthy == [
        (0, "Readiness probe failed: simulated failure"),
        (2, "Readiness probe failed: simulated failure"),
    ]


def test_fail_readiness_set_and_removed_on_a_running_pod() -> None:
    probed = container(readinessProbe={**PROBE, "periodSeconds": 10, "failureThreshold": 3})
    driver = Driver(pod(probed))
    driver.until(4)
    driver.change(pod(probed, annotations={"fail-readiness": "true"}))
    driver.until(100)
    ready = driver.condition("Ready")
    assert (ready["status"], ready["lastTransitionTime"]) == ("False", "T+30")
    driver.change(pod(probed))
    driver.until(200)
    ready = driver.condition("Ready")
    assert (ready["status"], ready["lastTransitionTime"]) == ("True", "T+110")
    assert driver.step.next_wake_s is None


def test_fail_readiness_without_a_probe() -> None:
    driver = Driver(pod(annotations={"fail-readiness": "true"}))
    assert driver.condition("Ready")["status"] == "False"
    assert driver.status["phase"] == "Running"


def test_a_failing_liveness_probe_restarts_the_container() -> None:
    probe = {**PROBE, "periodSeconds": 5, "failureThreshold": 2}
    annotations = {"fail-liveness-after-seconds": "12"}
    driver = Driver(pod(container(livenessProbe=probe), annotations=annotations))
    driver.until(20)  # no at 15 and 20
    assert (20, "Normal", "Killing", "Container web failed liveness probe, will be restarted") in (
        driver.events
    )
    # The kubelet stops and starts it in one sync: nobody sees it ended.
    assert driver.state()["running"]["startedAt"] == "T+20"
    assert driver.status["containerStatuses"][0]["restartCount"] == 1
    assert driver.condition("Ready")["lastTransitionTime"] == "T+0"


def test_the_probes_own_grace_period() -> None:
    probe = {
        **PROBE,
        "periodSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 4,
    }
    annotations = {"fail-liveness-after-seconds": "10", "stop-delay-seconds": "99"}
    driver = Driver(pod(container(livenessProbe=probe), annotations=annotations))
    driver.until(14)
    (status,) = driver.status["containerStatuses"]
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert status["lastState"]["terminated"]["finishedAt"] == "T+14"


def test_a_container_that_keeps_failing_its_probe_waits_as_one_that_crashes() -> None:
    """What it waits for is counted from the end that was known when it was stopped."""
    probe = {**PROBE, "periodSeconds": 1, "failureThreshold": 1}
    annotations = {"fail-liveness-after-seconds": "12"}
    driver = Driver(pod(container(livenessProbe=probe), annotations=annotations))
    driver.until(12)
    driver.until(24)  # 10 s of back-off are over
    assert driver.state()["running"]["startedAt"] == "T+24"
    driver.until(36)  # of 20 s: 12
    assert driver.state()["terminated"]["finishedAt"] == "T+36"
    driver.until(37)
    assert driver.state()["waiting"]["reason"] == "CrashLoopBackOff"
    driver.until(55)
    assert "waiting" in driver.state()
    driver.until(56)
    assert driver.state()["running"]["startedAt"] == "T+56"


def test_what_is_never_restarted_is_not_after_a_failed_probe_either() -> None:
    probe = {**PROBE, "periodSeconds": 1, "failureThreshold": 1}
    annotations = {"fail-liveness-after-seconds": "10", "stop-exit-code": "3"}
    driver = Driver(
        pod(container(livenessProbe=probe), annotations=annotations, restartPolicy="Never")
    )
    driver.until(30)
    assert (10, "Normal", "Killing", "Container web failed liveness probe") in driver.events
    assert driver.status["phase"] == "Failed"
    assert driver.status["containerStatuses"][0]["restartCount"] == 0


def test_a_startup_probe_holds_back_readiness_and_liveness() -> None:
    driver = Driver(
        pod(
            container(startupProbe={**PROBE, "initialDelaySeconds": 7}, readinessProbe=PROBE),
        )
    )
    (status,) = driver.status["containerStatuses"]
    assert (status["started"], status["ready"]) == (False, False)
    driver.until(7)
    (status,) = driver.status["containerStatuses"]
    assert (status["started"], status["ready"]) == (True, True)


def test_a_failing_startup_probe_kills() -> None:
    probe = {**PROBE, "periodSeconds": 10, "failureThreshold": 3}
    driver = Driver(pod(container(startupProbe=probe), annotations={"fail-startup": "true"}))
    driver.until(20)
    assert (20, "Normal", "Killing", "Container web failed startup probe, will be restarted") in (
        driver.events
    )


def test_terminating_containers_are_probed_for_readiness_only() -> None:
    probes = {
        "readinessProbe": {**PROBE, "periodSeconds": 1, "failureThreshold": 1},
        "livenessProbe": {**PROBE, "periodSeconds": 1, "failureThreshold": 1},
    }
    annotations = {"stop-delay-seconds": "20"}
    failing = {
        **annotations,
        "fail-readiness": "true",
        "fail-liveness-after-seconds": "0",
    }
    probed = {**container(), **probes}
    driver = Driver(pod(probed, annotations=annotations))
    driver.change(pod(probed, annotations=failing, deleted_grace_s=30))
    driver.until(5)
    assert driver.condition("Ready")["status"] == "False"
    assert driver.status["phase"] == "Running"
    assert not any("Liveness" in message for _, _, _, message in driver.events)
