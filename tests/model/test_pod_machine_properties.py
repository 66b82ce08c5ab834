"""Invariants of the pod machine over random pods, random changes and random waits."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.agents.pods.facts import Moment, PodFacts
from kubeherd.agents.pods.machine import Step, step
from kubeherd.agents.pods.sync import NodeView
from kubeherd.cluster.api.objects import Pod

NODE = NodeView(name="node-1", host_ips=("10.0.0.16",))
TERMINAL = ("Succeeded", "Failed")
MAX_STEPS = 400

seconds = st.sampled_from(["0", "0.5", "1", "3", "20", "700", "nonsense"])
probe: st.SearchStrategy[dict[str, int] | None] = st.one_of(
    st.none(),
    st.builds(
        dict,
        initialDelaySeconds=st.integers(0, 5),
        periodSeconds=st.integers(1, 10),
        failureThreshold=st.integers(1, 3),
    ),
)
annotations = st.dictionaries(
    st.builds(
        "kubeherd.io/{}{}".format,
        st.sampled_from(["", "web.", "setup.", "proxy."]),
        st.sampled_from(
            [
                "pull-delay-seconds", "start-delay-seconds", "ready-delay-seconds",
                "crash-after-seconds", "run-for-seconds", "stop-delay-seconds",
                "prestop-seconds", "oom-after-seconds", "fail-liveness-after-seconds",
            ]
        ),
    ),
    seconds,
    max_size=4,
)  # fmt: skip
flags = st.dictionaries(
    st.sampled_from(
        ["kubeherd.io/fail-readiness", "kubeherd.io/fail-startup", "kubeherd.io/pull-error"]
    ),
    st.just("true"),
    max_size=1,
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    def one(name: str, **fields: Any) -> dict[str, Any]:
        image = draw(st.sampled_from(["nginx", "nginx", "nonexistent", "Bad Name"]))
        found: dict[str, Any] = {"name": name, "image": image, **fields}
        for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
            found[kind] = draw(probe)
        return found

    init = []
    if draw(st.booleans()):
        init.append(one("setup"))
    if draw(st.booleans()):
        init.append(one("proxy", restartPolicy="Always"))
    return {
        "containers": [one("web")] + ([one("agent")] if draw(st.booleans()) else []),
        "initContainers": init,
        "restartPolicy": draw(st.sampled_from(["Always", "Always", "OnFailure", "Never"])),
        "terminationGracePeriodSeconds": draw(st.sampled_from([0, 1, 30])),
        "activeDeadlineSeconds": draw(st.sampled_from([None, None, 50])),
    }


def make(spec: dict[str, Any], notes: dict[str, str], grace_s: int | None) -> Pod:
    metadata: dict[str, Any] = {"name": "p", "namespace": "n", "uid": "u", "annotations": notes}
    if grace_s is not None:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        metadata["deletionGracePeriodSeconds"] = grace_s
    return msgspec.convert({"metadata": metadata, "spec": spec}, Pod)


class Run:
    """Steps a pod and checks after every step what must always hold."""

    def __init__(self, pod: Pod) -> None:
        self.now_s = 0.0
        self.facts = PodFacts(uid="u", pod_ip="10.244.0.2")
        self.phase = "Pending"
        self.restarts: dict[str, int] = {}
        self.result = self.take(pod)

    def take(self, pod: Pod) -> Step:
        now = Moment(self.now_s, f"T+{self.now_s}")
        result = step(pod, self.facts, NODE, now)
        again = step(pod, self.facts, NODE, now)
        assert again == result, "a step with the same arguments is the same step"
        still = step(pod, result.facts, NODE, now)
        assert still.status == result.status, "a step at the same moment changes nothing more"
        self.facts = result.facts
        self.result = result
        self.check(pod)
        return result

    def check(self, pod: Pod) -> None:
        status = self.result.status
        assert self.phase not in TERMINAL or status["phase"] == self.phase
        self.phase = status["phase"]
        conditions = {c["type"]: c["status"] for c in status["conditions"]}
        assert len(conditions) == 5
        if conditions["Ready"] == "True":
            assert conditions["ContainersReady"] == "True"
            assert self.phase == "Running"
        if self.phase in TERMINAL:
            assert conditions["Ready"] == conditions["ContainersReady"] == "False"
        for container in status["containerStatuses"] + status.get("initContainerStatuses", []):
            name = container["name"]
            assert container["restartCount"] >= self.restarts.get(name, 0)
            self.restarts[name] = container["restartCount"]
            assert len(container["state"]) == 1
            if self.phase in TERMINAL:
                assert "running" not in container["state"]
        if self.result.next_wake_s is not None:
            assert self.result.next_wake_s > self.now_s
        assert not self.result.delete or self.phase in TERMINAL
        if pod.metadata.deletion_timestamp is None:
            assert not self.result.delete


@given(
    spec=specs(),
    notes=annotations,
    flag=flags,
    later=annotations,
    waits=st.lists(st.sampled_from([0.1, 1.0, 7.0, 100.0]), max_size=6),
    graces=st.lists(st.integers(0, 60), min_size=1, max_size=3),
)
def test_invariants_and_a_deleted_pod_always_ends(
    spec: dict[str, Any],
    notes: dict[str, str],
    flag: dict[str, str],
    later: dict[str, str],
    waits: list[float],
    graces: list[int],
) -> None:
    pod = make(spec, notes | flag, None)
    run = Run(pod)
    for index, wait_s in enumerate(waits):
        if index == 2:
            pod = make(spec, later, None)
        due_s = run.result.next_wake_s
        run.now_s = run.now_s + wait_s if due_s is None else min(run.now_s + wait_s, due_s)
        run.take(pod)
    for grace_s in sorted(graces, reverse=True):
        pod = make(spec, later, grace_s)
        run.take(pod)
    deleted_s = run.now_s
    for _ in range(MAX_STEPS):
        if run.result.delete:
            break
        assert run.result.next_wake_s is not None, "a terminating pod never waits for ever"
        run.now_s = run.result.next_wake_s
        run.take(pod)
    assert run.result.delete
    limit_s = max(1, *graces)
    assert run.now_s - deleted_s <= 3 * (limit_s + 2)
