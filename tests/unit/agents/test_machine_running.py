"""Starting, running, crashing: spec node-lifecycle 12.2 to 12.6."""

from typing import Any

import pytest
from kubelet_pods import Driver, container, pod

BACKOFFS = [(10, "10s"), (20, "20s"), (40, "40s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s")]


def test_a_plain_pod_is_running_and_ready_in_one_step() -> None:
    driver = Driver(pod())
    assert driver.status["phase"] == "Running"
    assert [(c["type"], c["status"]) for c in driver.status["conditions"]] == [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "True"),
        ("ContainersReady", "True"),
        ("PodScheduled", "True"),
    ]
    assert driver.condition("Ready")["observedGeneration"] == 1
    assert driver.condition("Ready")["lastProbeTime"] is None
    assert driver.status["startTime"] == "T+0"
    assert driver.status["hostIP"] == "10.0.0.17"
    assert driver.status["podIPs"] == [{"ip": "10.244.1.2"}]
    assert driver.step.next_wake_s is None
    assert [(e[1], e[2], e[3]) for e in driver.events] == [
        (
            "Normal",
            "Pulled",
            'Container image "nginx:1.27" already present on machine '
            "and can be accessed by the pod",
        ),
        ("Normal", "Created", "Container created"),
        ("Normal", "Started", "Container started"),
    ]
    assert driver.step.events[0].field_path == "spec.containers{web}"


def test_container_status_fields() -> None:
    spec = container(
        resources={"limits": {"memory": "200Mi"}, "requests": {"cpu": "100m"}},
        volumeMounts=[
            {"name": "log", "mountPath": "/log"},
            {"name": "ro", "mountPath": "/ro", "readOnly": True},
        ],
    )
    (status,) = Driver(pod(spec)).status["containerStatuses"]
    assert status["name"] == "web"
    assert status["state"] == {"running": {"startedAt": "T+0"}}
    assert status["lastState"] == {}
    assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
    assert status["image"] == "nginx:1.27"
    assert status["imageID"].startswith("nginx@sha256:")
    assert status["containerID"].startswith("fake://")
    assert status["allocatedResources"] == {"cpu": "100m"}
    assert status["resources"] == {"limits": {"memory": "200Mi"}, "requests": {"cpu": "100m"}}
    assert status["volumeMounts"] == [
        {"name": "log", "mountPath": "/log"},
        {"name": "ro", "mountPath": "/ro", "readOnly": True, "recursiveReadOnly": "Disabled"},
    ]
    assert status["user"] == {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}}


def test_the_pods_resources_are_the_sum_of_its_containers() -> None:
    one = container("one", resources={"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}})
    two = container("two", resources={"requests": {"cpu": "1"}})
    status = Driver(pod(one, two)).status
    assert status["allocatedResources"] == {"cpu": "1100m"}
    assert status["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1100m"}}
    assert "resources" not in Driver(pod()).status


def test_container_statuses_are_sorted_by_name() -> None:
    statuses = Driver(pod(container("web"), container("agent"))).status["containerStatuses"]
    assert [s["name"] for s in statuses] == ["agent", "web"]


def test_a_slow_pull_is_pending_and_creating() -> None:
    driver = Driver(pod(annotations={"pull-delay-seconds": "4"}))
    assert driver.status["phase"] == "Pending"
    assert driver.state() == {"waiting": {"reason": "ContainerCreating"}}
    assert driver.condition("Ready")["reason"] == "ContainersNotReady"
    assert driver.condition("Ready")["message"] == "containers with unready status: [web]"
    assert driver.status["containerStatuses"][0]["imageID"] == ""
    assert driver.step.next_wake_s == 4
    driver.until(4)
    assert driver.status["phase"] == "Running"
    assert driver.step.pulled == ["nginx:1.27"]
    assert (
        4.0,
        "Normal",
        "Pulled",
        'Successfully pulled image "nginx:1.27" in 4s (4s including waiting). '
        "Image size: 31457280 bytes.",
    ) in driver.events


def test_start_and_ready_delays() -> None:
    driver = Driver(pod(annotations={"start-delay-seconds": "2", "ready-delay-seconds": "3"}))
    assert driver.status["phase"] == "Pending"
    driver.until(2)
    assert driver.status["phase"] == "Running"
    assert driver.condition("Ready")["status"] == "False"
    driver.until(5)
    assert driver.condition("Ready")["status"] == "True"
    assert driver.condition("Ready")["lastTransitionTime"] == "T+5"
    assert driver.condition("Initialized")["lastTransitionTime"] == "T+0"


def test_a_container_annotation_goes_before_the_pod_wide_one() -> None:
    annotations = {"start-delay-seconds": "9", "web.start-delay-seconds": "0"}
    driver = Driver(pod(container("web"), container("agent"), annotations=annotations))
    states = {s["name"]: set(s["state"]) for s in driver.status["containerStatuses"]}
    assert states == {"agent": {"waiting"}, "web": {"running"}}


def test_unparsable_annotations_count_as_absent() -> None:
    annotations = {"start-delay-seconds": "soon", "crash-after-seconds": "-1"}
    driver = Driver(pod(annotations=annotations))
    assert driver.status["phase"] == "Running"
    assert driver.step.next_wake_s is None


@pytest.mark.parametrize("restart", range(len(BACKOFFS)))
def test_crash_loop_back_off_doubles_to_five_minutes(restart: int) -> None:
    driver = Driver(pod(annotations={"crash-after-seconds": "0.5", "exit-code": "3"}))
    finished: list[float] = []
    started: list[float] = [0.0]
    while len(started) < restart + 3:
        driver.until(driver.step.next_wake_s or 0)
        now = driver.now_s
        if driver.state().get("terminated"):
            finished.append(now)
        if driver.state().get("running") and driver.state()["running"]["startedAt"] == f"T+{now:g}":
            started.append(now)
    delay_s, text = BACKOFFS[restart]
    assert started[1] == finished[0] + 1  # the first restart is immediate: one relist later
    assert started[restart + 2] == finished[restart + 1] + delay_s
    backoff = [e for e in driver.events if e[2] == "BackOff"][restart]
    assert backoff[1] == "Warning"
    assert backoff[3] == (
        "Back-off restarting failed container web in pod "
        "web-0_shop(11111111-2222-3333-4444-555555555555)"
    )
    driver.until(driver.now_s + 0.5)
    driver.until(driver.now_s + 1)
    waiting = driver.state()["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    next_text = BACKOFFS[min(restart + 1, len(BACKOFFS) - 1)][1]
    assert waiting["message"] == (
        f"back-off {next_text} restarting failed container=web "
        "pod=web-0_shop(11111111-2222-3333-4444-555555555555)"
    )
    assert text in str(BACKOFFS)


def test_status_of_a_crash_looping_container() -> None:
    driver = Driver(pod(annotations={"crash-after-seconds": "1", "exit-code": "3"}))
    driver.until(1)
    assert driver.status["phase"] == "Running"
    assert driver.state()["terminated"]["reason"] == "Error"
    assert driver.state()["terminated"]["exitCode"] == 3
    driver.until(2)
    (status,) = driver.status["containerStatuses"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["finishedAt"] == "T+1"
    driver.until(4)
    (status,) = driver.status["containerStatuses"]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["startedAt"] == "T+2"
    assert (status["ready"], status["restartCount"]) == (False, 1)
    assert driver.status["phase"] == "Running"
    assert driver.condition("ContainersReady")["status"] == "False"


def test_back_off_is_reset_after_ten_quiet_minutes() -> None:
    driver = Driver(pod(annotations={"crash-after-seconds": "601"}))
    driver.until(601)
    driver.until(602)
    driver.until(602 + 601)
    assert driver.state().get("terminated")
    driver.until(602 + 601 + 1)
    assert driver.state().get("running")


def test_crash_times_limits_the_crashes() -> None:
    driver = Driver(pod(annotations={"crash-after-seconds": "1", "crash-times": "1"}))
    driver.until(500)
    (status,) = driver.status["containerStatuses"]
    assert (status["restartCount"], status["ready"]) == (1, True)


def test_a_container_out_of_memory_ends_with_137() -> None:
    driver = Driver(pod(annotations={"oom-after-seconds": "2"}))
    driver.until(2)
    terminated = driver.state()["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (137, "OOMKilled")


def test_exit_zero_is_restarted_with_back_off_too() -> None:
    driver = Driver(pod(annotations={"run-for-seconds": "1"}))
    driver.until(1)
    assert driver.state()["terminated"]["reason"] == "Completed"
    driver.until(2)
    driver.until(4)
    assert driver.state()["waiting"]["reason"] == "CrashLoopBackOff"


@pytest.mark.parametrize(
    "image",
    [
        "nonexistent",
        "registry/non-existent:1",
        "does-not-exist",
        "nginx:doesnotexist",
        "i_made_this_up:and_this_too",
        "r:5000/no_such_image",
        "nginx:404",
        "nginx:1.0.23449928384992872784",
        "r:5000/fluentd:v2734894949",
    ],
)
def test_images_that_never_pull(image: str) -> None:
    driver = Driver(pod(container(image=image)))
    assert driver.state()["waiting"]["reason"] == "ErrImagePull"
    error = driver.state()["waiting"]["message"]
    driver.until(1)
    waiting = driver.state()["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert waiting["message"] == f'Back-off pulling image "{image}": ErrImagePull: {error}'
    assert driver.status["phase"] == "Pending"
    driver.until(400)
    pulls = [second for second, reason in driver.reasons() if reason == "Pulling"]
    assert pulls == [0, 10, 30, 70, 150, 310]
    warnings = [e[3] for e in driver.events if e[1] == "Warning"][:3]
    assert warnings == [
        f'Failed to pull image "{image}": {error}',
        "Error: ErrImagePull",
        "Error: ImagePullBackOff",
    ]


@pytest.mark.parametrize(
    "image",
    [
        "nginx:1.17",
        "minio:20240101120000",
        "build:1735689600",
        "k8s:v20251231",
        "a/existing:v404",
        "git:9999999999abc",
        "r:4040000000/exists@sha256:" + "9" * 64,
    ],
)
def test_images_that_pull(image: str) -> None:
    driver = Driver(pod(container(image=image)))
    assert driver.status["phase"] == "Running"


def test_pull_error_annotation_and_its_removal() -> None:
    driver = Driver(pod(annotations={"pull-error": "registry is down"}))
    assert driver.state()["waiting"]["message"] == "registry is down"
    driver.change(pod())
    driver.until(10)
    assert driver.status["phase"] == "Running"


def test_pull_policies_never_and_always() -> None:
    never = Driver(pod(container(image="nonexistent", imagePullPolicy="Never")))
    assert never.state()["waiting"] == {
        "reason": "ErrImageNeverPull",
        "message": 'Container image "nonexistent" is not present with pull policy of Never',
    }
    always = Driver(pod(container(imagePullPolicy="Always")))
    assert [r for _, r in always.reasons()] == ["Pulling", "Pulled", "Created", "Started"]


def test_an_invalid_image_name() -> None:
    driver = Driver(pod(container(image="Bad Image")))
    assert driver.state()["waiting"]["reason"] == "InvalidImageName"


def test_a_changed_image_restarts_the_container() -> None:
    driver = Driver(pod())
    driver.change(pod(container(image="nginx:1.28")))
    assert (0.0, "Normal", "Killing", "Container web definition changed, will be restarted") in (
        driver.events
    )
    (status,) = driver.status["containerStatuses"]
    assert (status["image"], status["restartCount"]) == ("nginx:1.28", 1)
    assert driver.condition("Ready")["status"] == "True"  # the kubelet saw it run only


def test_a_changed_image_restarts_what_is_never_restarted() -> None:
    annotations = {"pull-delay-seconds": "3"}
    driver = Driver(pod(annotations=annotations, restartPolicy="Never"))
    driver.until(3)
    driver.change(
        pod(container(image="nginx:1.28"), annotations=annotations, restartPolicy="Never")
    )
    assert driver.status["phase"] == "Running"
    driver.until(6)
    (status,) = driver.status["containerStatuses"]
    assert (status["image"], status["restartCount"]) == ("nginx:1.28", 1)
    assert driver.status["phase"] == "Running"


def test_a_changed_image_of_an_init_container_that_runs_changes_nothing() -> None:
    annotations = {"init.run-for-seconds": "5"}
    driver = Driver(pod(init=[container("init")], annotations=annotations))
    driver.change(pod(init=[container("init", image="nginx:1.28")], annotations=annotations))
    assert "Killing" not in [reason for _, reason in driver.reasons()]
    driver.until(5)
    assert driver.status["phase"] == "Running"


@pytest.mark.parametrize(
    ("policy", "exit_code", "phase"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 2, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 2, "Running"),
        ("Always", 0, "Running"),
    ],
)
def test_phase_after_all_containers_ended(policy: str, exit_code: int, phase: str) -> None:
    annotations = {"crash-after-seconds": "1", "exit-code": str(exit_code)}
    driver = Driver(pod(annotations=annotations, restartPolicy=policy))
    driver.until(1)
    assert driver.status["phase"] == phase
    if phase != "Running":
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        assert driver.condition("Ready")["reason"] == reason
        assert driver.condition("ContainersReady")["reason"] == reason
        assert driver.step.next_wake_s is None
        assert not driver.step.delete
    if phase == "Succeeded":
        assert driver.condition("Initialized")["reason"] == "PodCompleted"


def test_init_containers_run_one_after_the_other() -> None:
    annotations = {"one.run-for-seconds": "2", "two.run-for-seconds": "3"}
    driver = Driver(pod(init=[container("one"), container("two")], annotations=annotations))
    assert driver.status["phase"] == "Pending"
    assert driver.state() == {"waiting": {"reason": "PodInitializing"}}
    one, two = driver.status["initContainerStatuses"]
    assert (set(one["state"]), two["state"]["waiting"]["reason"]) == (
        {"running"},
        "PodInitializing",
    )
    assert driver.condition("Initialized")["reason"] == "ContainersNotInitialized"
    assert driver.condition("Initialized")["message"] == (
        "containers with incomplete status: [one two]"
    )
    driver.until(2)
    assert driver.condition("Initialized")["message"] == "containers with incomplete status: [two]"
    driver.until(5)
    assert driver.status["phase"] == "Running"
    one, two = driver.status["initContainerStatuses"]
    assert one["state"]["terminated"]["reason"] == "Completed"
    assert (one["ready"], two["ready"]) == (True, True)


@pytest.mark.parametrize(("policy", "phase"), [("Never", "Failed"), ("Always", "Pending")])
def test_a_failing_init_container(policy: str, phase: str) -> None:
    driver = Driver(
        pod(
            init=[container("setup")],
            annotations={"setup.crash-after-seconds": "1"},
            restartPolicy=policy,
        )
    )
    driver.until(1)
    assert driver.status["phase"] == phase
    driver.until(4)
    (setup,) = driver.status["initContainerStatuses"]
    assert setup["restartCount"] == (1 if policy == "Always" else 0)


def test_a_sidecar_starts_first_and_counts_for_readiness() -> None:
    driver = Driver(
        pod(
            init=[container("proxy", restartPolicy="Always")],
            annotations={"proxy.ready-delay-seconds": "5", "proxy.start-delay-seconds": "1"},
        )
    )
    assert driver.status["phase"] == "Pending"
    driver.until(1)
    assert driver.status["phase"] == "Running"
    assert driver.condition("Ready")["message"] == "containers with unready status: [proxy]"
    driver.until(6)
    assert driver.condition("Ready")["status"] == "True"


def test_readiness_gates_hold_the_pod_back() -> None:
    gates = [{"conditionType": "x"}]
    driver = Driver(pod(readinessGates=gates))
    assert driver.condition("ContainersReady")["status"] == "True"
    assert driver.condition("Ready")["reason"] == "ReadinessGatesNotReady"
    assert driver.condition("Ready")["message"] == (
        'corresponding condition of pod readiness gate "x" does not exist.'
    )
    status: dict[str, Any] = {
        "phase": "Running",
        "conditions": [{"type": "x", "status": "False"}],
    }
    driver.change(pod(readinessGates=gates, status=status))
    assert driver.condition("Ready")["message"] == (
        'the status of pod readiness gate "x" is not "True", but False'
    )
    status["conditions"][0]["status"] = "True"
    driver.change(pod(readinessGates=gates, status=status))
    assert driver.condition("Ready")["status"] == "True"


def test_host_network_uses_the_nodes_addresses() -> None:
    driver = Driver(pod(hostNetwork=True))
    assert driver.status["podIPs"] == [{"ip": "10.0.0.17"}]
