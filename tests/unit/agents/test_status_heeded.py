"""What others write into a pod's status: looked at by the pod machine only where it reads it."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.agents.kubelet.podworker import asks_anew, heeds_status
from kubeherd.agents.pods import machine
from kubeherd.agents.pods.facts import Moment
from kubeherd.agents.pods.recovery import recover
from kubeherd.agents.pods.sync import NodeView
from kubeherd.cluster.api.objects import Pod

GATE = "example.com/gate"
VIEW = NodeView(name="node-1", host_ips=("10.0.0.1",))
NOW = Moment(100.0, "2026-01-01T00:00:10Z")

conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from([GATE, "Ready", "PodScheduled"]),
            "status": st.sampled_from(["True", "False"]),
            "lastTransitionTime": st.just("2026-01-01T00:00:00Z"),
        }
    ),
    unique_by=lambda condition: str(condition["type"]),
)
statuses = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
        "conditions": conditions,
        "podIP": st.sampled_from(["", "10.244.0.7"]),
        "hostIP": st.sampled_from(["", "10.0.0.1"]),
    }
)
specs = st.fixed_dictionaries(
    {
        "nodeName": st.just("node-1"),
        "readinessGates": st.sampled_from([[], [{"conditionType": GATE}]]),
        "containers": st.sampled_from(
            [
                [{"name": "web", "image": "nginx"}],
                [{"name": "web", "image": "nginx", "command": ["sh", "-c", "echo $IP; sleep 9"]}],
            ]
        ),
    }
)


@given(specs, statuses, statuses)
def test_what_is_not_heeded_changes_no_step(
    spec: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """From the facts of a pod that runs, as `Kubelet` has them when a status comes."""
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    spec = {**spec, "containers": [{**one, "env": env} for one in spec["containers"]]}
    old, new = _pod(spec, before), _pod(spec, after)
    assert not asks_anew(old, new)
    facts = machine.step(old, recover(old, NOW, lambda _: 0.0), VIEW, NOW).facts
    if not heeds_status(old, new):
        assert machine.step(new, facts, VIEW, NOW) == machine.step(old, facts, VIEW, NOW)


def _pod(spec: dict[str, Any], status: dict[str, Any]) -> Pod:
    metadata = {"name": "web-0", "namespace": "shop", "uid": "u-1", "generation": 1}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Pod)
