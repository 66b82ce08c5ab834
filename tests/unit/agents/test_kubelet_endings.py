"""What a kubelet ends of its own accord, and unusual containers (spec 11 to 13, 15)."""

from typing import Any

import pytest
from kubelet_pods import Driver, Tree, admitting_node, at, container, pod
from msgspec.structs import replace

from kubeherd.agents.pods import endings, machine
from kubeherd.agents.pods.admission import Shortage, admit
from kubeherd.agents.pods.statuspatch import status_patch
from kubeherd.cluster.api.objects import Pod


def named(name: str, qos: str = "BestEffort", cpu: str = "", **spec: Any) -> Pod:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    made = pod(container(resources=resources), status={"phase": "Running", "qosClass": qos}, **spec)
    return replace(made, metadata=replace(made.metadata, name=name, uid=name))


CRITICAL = named("critical", "Burstable", "1", priority=2_000_001_000)


def names(pods: list[Pod] | None) -> list[str] | None:
    return None if pods is None else [pod.metadata.name for pod in pods]


def test_eviction_takes_the_least_important_first_and_never_a_critical_pod() -> None:
    pods = [
        CRITICAL,
        named("important", priority=1000),
        named("big", "Burstable", priority=0, cpu="1"),
        named("small", priority=0),
    ]
    order = []
    signal = endings.Signal("cpu", "1", "0")
    while (victim := endings.eviction_victim(pods, signal)) is not None:
        order.append(victim.metadata.name)
        pods.remove(victim)
    assert order == ["small", "big", "important"]


def test_the_message_of_an_eviction() -> None:
    assert endings.evicted(endings.MEMORY).message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
    )
    assert endings.evicted(endings.disk("100Gi")).message == (
        "The node was low on resource: ephemeral-storage. "
        "Threshold quantity: 10Gi, available: 5Gi. "
    )


@pytest.mark.parametrize(
    ("pods", "missing", "victims"),
    [
        ([named("b", "Burstable", "500m"), named("c", "Burstable", "1")], 1000, ["c"]),
        ([named("b", "Burstable", "600m"), named("c", "Burstable", "700m")], 1000, ["c", "b"]),
        ([named("g", "Guaranteed", "1"), named("b", "Burstable", "1")], 1000, ["b"]),
        ([named("g", "Guaranteed", "1"), named("b", "Burstable", "1")], 2000, ["g", "b"]),
        ([CRITICAL], 1000, None),
        ([named("lesser", "Burstable", "1", priority=2_000_000_000)], 1000, ["lesser"]),
        ([named("b", "Burstable", "1")], 1500, None),
    ],
)
def test_whom_a_critical_pod_preempts(
    pods: list[Pod], missing: int, victims: list[str] | None
) -> None:
    shortage = Shortage("cpu", requested=missing, used=0, capacity=0)
    assert names(endings.preemption_victims(CRITICAL, pods, [shortage])) == victims


def test_the_message_when_nobody_can_be_preempted() -> None:
    shortage = Shortage("cpu", requested=1500, used=1000, capacity=2000)
    assert endings.no_victims([shortage]).endswith(
        "no set of running pods found to reclaim resources: [(res: cpu, q: 500), ]"
    )


def test_an_evicted_pod() -> None:
    driver = Driver(pod(annotations={"stop-delay-seconds": "60"}))
    driver.until(5)
    driver.facts = machine.end(driver.facts, driver.pod, endings.evicted(endings.MEMORY))
    driver.change(driver.pod)
    driver.until(8)
    assert driver.status["phase"] == "Failed"
    assert driver.status["reason"] == "Evicted"
    assert driver.status["message"].startswith("The node was low on resource: memory. ")
    assert next(c["type"] for c in driver.status["conditions"]) == "DisruptionTarget"
    condition = driver.condition("DisruptionTarget")
    assert (condition["status"], condition["reason"]) == ("True", "TerminationByKubelet")
    assert condition["message"] == driver.status["message"]
    assert driver.state()["terminated"]["exitCode"] == 137, "no grace beyond the minimum of 2 s"
    assert not driver.step.delete, "the object stays until somebody deletes it"


def test_shutdown_gives_the_pods_own_grace_at_most() -> None:
    driver = Driver(pod(annotations={"stop-delay-seconds": "20"}))
    driver.until(1)
    driver.facts = machine.end(driver.facts, driver.pod, endings.shut_down(10))
    driver.change(driver.pod)
    driver.until(2)
    assert driver.facts.grace_s == 10
    driver.until(12)
    status = driver.status
    assert (status["phase"], status["reason"]) == ("Failed", "Terminated")
    assert status["message"] == "Pod was terminated in response to imminent node shutdown."
    assert driver.state()["terminated"]["exitCode"] == 137


def test_the_own_disruption_condition_is_ordered_once() -> None:
    known = {"conditions": [{"type": "DisruptionTarget", "status": "True"}, {"type": "Mine"}]}
    wanted = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "x"}]}
    patch = status_patch(known, wanted)
    assert patch is not None
    assert patch["$setElementOrder/conditions"] == [{"type": "Mine"}, {"type": "DisruptionTarget"}]


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_phase_that_others_made_terminal_ends_the_pod(phase: str) -> None:
    driver = Driver(pod())
    driver.until(5)
    driver.change(pod(status={"phase": phase, "reason": "ByHand", "message": "said so"}))
    driver.until(10)
    assert driver.status["phase"] == phase
    assert (driver.status["reason"], driver.status["message"]) == ("ByHand", "said so")
    assert "terminated" in driver.state()
    assert driver.condition("Ready")["status"] == "False"
    assert [reason for _, reason in driver.reasons()].count("Killing") == 1


def test_a_rejected_pod_has_no_containers_even_if_it_ran_before() -> None:
    driver = Driver(pod())
    driver.until(5)
    driver.facts = machine.reject(driver.facts, "TaintToleration", "why", at(5))
    status = machine.step(driver.pod, driver.facts, driver.node, at(6)).status
    assert status["phase"] == "Failed"
    assert "containerStatuses" not in status


def test_no_sandbox_no_containers_until_the_error_is_gone() -> None:
    driver = Driver(pod(annotations={"sandbox-error": "no network"}))
    driver.until(25)
    assert driver.status["phase"] == "Pending"
    assert driver.condition("PodReadyToStartContainers")["status"] == "False"
    assert driver.state() == {"waiting": {"reason": "ContainerCreating"}}
    assert [
        (s, t, m) for s, t, reason, m in driver.events if reason == "FailedCreatePodSandBox"
    ] == [(s, "Warning", "Failed to create pod sandbox: no network") for s in (0.0, 10.0, 20.0)]
    driver.change(pod())
    assert driver.status["phase"] == "Running"


def test_an_ephemeral_container_starts_once_and_counts_for_nothing() -> None:
    driver = Driver(pod())
    driver.until(5)
    debug = container("debug")
    annotations = {"debug.crash-after-seconds": "3", "debug.exit-code": "7"}
    driver.change(pod(ephemeralContainers=[debug], annotations=annotations))
    [status] = driver.status["ephemeralContainerStatuses"]
    assert "running" in status["state"]
    assert (status["ready"], "started" in status) == (False, False)
    driver.until(60)
    [status] = driver.status["ephemeralContainerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 7
    assert status["restartCount"] == 0
    assert driver.status["phase"] == "Running"
    assert driver.condition("Ready")["status"] == "True"
    assert [s["name"] for s in driver.status["containerStatuses"]] == ["web"]


def test_an_ephemeral_container_runs_beside_an_init_container_that_never_ends() -> None:
    stuck = {"setup.run-for-seconds": "1000"}
    driver = Driver(
        pod(init=[container("setup")], ephemeralContainers=[container("debug")], annotations=stuck)
    )
    driver.until(10)
    assert driver.status["phase"] == "Pending"
    assert "running" in driver.status["ephemeralContainerStatuses"][0]["state"]


@pytest.mark.parametrize(
    ("rules", "exit_code", "restarts"),
    [
        ([], 42, False),
        ([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}], 42, True),
        ([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}], 1, False),
        ([{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [42]}}], 1, True),
    ],
)
def test_restart_rules_of_a_container(rules: list[Tree], exit_code: int, restarts: bool) -> None:
    web = container(restartPolicy="Never", restartPolicyRules=rules)
    annotations = {"crash-after-seconds": "1", "exit-code": str(exit_code), "crash-times": "1"}
    driver = Driver(pod(web, restartPolicy="Never", annotations=annotations))
    driver.until(30)
    assert driver.status["containerStatuses"][0]["restartCount"] == int(restarts)
    assert driver.status["phase"] == ("Running" if restarts else "Failed")


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (["sleep", "15"], 15),
        (["/bin/sh", "-c", "sleep 15"], 15),
        (["/bin/sh", "-ec", "sleep 2.5"], 2.5),
        (["/bin/sh", "-c", "nginx -s quit; sleep 15"], 0),
        (["/app/drain"], 0),
    ],
)
def test_a_hook_that_only_sleeps_takes_that_long(command: list[str], seconds: float) -> None:
    hook = {"preStop": {"exec": {"command": command}}}
    driver = Driver(pod(container(lifecycle=hook)))
    driver.until(1)
    driver.change(pod(container(lifecycle=hook), deleted_grace_s=30))
    driver.until(100)
    assert driver.logs[1] == f"{1 + seconds:g} web received SIGTERM"


@pytest.mark.parametrize(
    ("labels", "spec", "reason"),
    [
        ({}, {"os": {"name": "linux"}}, None),
        ({}, {"os": {"name": "windows"}}, "PodOSNotSupported"),
        ({"kubernetes.io/os": "windows"}, {}, "PodOSSelectorNodeLabelDoesNotMatch"),
    ],
)
def test_the_operating_system(labels: dict[str, str], spec: Tree, reason: str | None) -> None:
    candidate = pod(**spec)
    candidate = replace(candidate, metadata=replace(candidate.metadata, labels=labels))
    linux = replace(
        admitting_node(),
        metadata=replace(admitting_node().metadata, labels={"kubernetes.io/os": "linux"}),
    )
    rejection = admit(candidate, linux, [])
    assert (rejection.reason if rejection else None) == reason


def test_a_machine_that_shuts_down_takes_no_pods() -> None:
    rejection = admit(pod(), admitting_node(), [], shutting_down=True)
    assert rejection is not None
    assert rejection.reason == "NodeShutdown"
    assert rejection.message == "Pod was rejected as the node is shutting down."
