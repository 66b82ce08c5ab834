"""Passes of the node lifecycle controller that leave out settled nodes, against passes that look at
all: whatever happens to nodes and Leases, the same requests at the same times."""

from collections.abc import Callable
from typing import Any

import pytest
from controllerworld import node, play, pod
from fakeapi import FakeApi, failing_writes, undisturbed
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api.kinds import LEASES, NODES, PODS
from kubeherd.cluster.client.transport import TransportError, TransportResponse
from kubeherd.controller.nodes.controller import NodeLifecycleController
from kubeherd.controller.nodes.settled import Settled
from kubeherd.simulation.transport import Request
from kubeherd.simulation.virtualtime import VirtualClock

NAMES = ["a", "b", "c", "d", "e"]
ZONE = "topology.kubernetes.io/zone"
EXCLUDED = "node.kubernetes.io/exclude-disruption"
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
OWN = {"key": "own", "effect": "NoExecute"}

Step = dict[str, Any]


class Watched(FakeApi):
    """Remembers every write and when it came."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.written: list[tuple[float, str, str, bytes]] = []

    async def answer(self, request: Request) -> TransportResponse:
        if request.method != "GET":
            moment_s = self.clock.monotonic_s()
            self.written.append((moment_s, request.method, request.path, bytes(request.body)))
        return await super().answer(request)


def _renew(api: FakeApi, name: str, step: Step) -> None:
    moment = api.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    metadata = {"name": name, "namespace": "kube-node-lease"}
    api.put(LEASES, {"metadata": metadata, "spec": {"renewTime": moment}})


def _put(api: FakeApi, name: str, step: Step) -> None:
    labels = {} if step["zone"] is None else {ZONE: step["zone"]}
    if step["excluded"]:
        labels[EXCLUDED] = ""
    taints = [t for t, is_there in ((NOT_READY, step["taint"]), (OWN, step["own"])) if is_there]
    tree = node(name, step["ready"], metadata={"labels": labels}, taints=taints)
    for condition in tree["status"]["conditions"]:
        condition["lastHeartbeatTime"] = f"2026-01-01T00:00:{step['beat']:02}Z"
    api.put(NODES, tree)


def _remove(api: FakeApi, name: str, step: Step) -> None:
    if api.get(NODES, name) is not None:
        api.remove(NODES, name)


def _forget_lease(api: FakeApi, name: str, step: Step) -> None:
    if api.get(LEASES, name, "kube-node-lease") is not None:
        api.remove(LEASES, name, "kube-node-lease")


def _bind(api: FakeApi, name: str, step: Step) -> None:
    api.put(PODS, pod(f"p-{name}", name))


def _break(api: FakeApi, name: str, step: Step) -> None:
    api.disturbance = failing_writes(f"/nodes/{name}", TransportError("no answer"))


def _mend(api: FakeApi, name: str, step: Step) -> None:
    api.disturbance = undisturbed


ACTS: dict[str, Callable[[FakeApi, str, Step], None]] = {
    "renew": _renew,
    "put": _put,
    "remove": _remove,
    "forget lease": _forget_lease,
    "bind": _bind,
    "break": _break,
    "mend": _mend,
}
STEPS = st.lists(
    st.fixed_dictionaries({
        "act": st.sampled_from(["put", "put", *ACTS]),
        "names": st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True),
        "ready": st.sampled_from(["True", "True", "False", "Unknown", None]),
        "zone": st.sampled_from([None, "x", "y"]),
        "excluded": st.booleans(),
        "taint": st.booleans(),
        "own": st.booleans(),
        "beat": st.integers(0, 59),
        "alive": st.lists(st.sampled_from(NAMES), max_size=5, unique=True),
        "then_s": st.sampled_from([0, 1, 4, 10, 30, 60]),
    }),
    min_size=3,
    max_size=20,
)  # fmt: skip


def _played(steps: list[Step]) -> Watched:
    async def scenario(api: FakeApi) -> None:
        for number, name in enumerate(NAMES):
            api.put(NODES, node(name, metadata={"labels": {ZONE: "xy"[number % 2]}}))
        for step in steps:
            for name in step["names"]:
                ACTS[step["act"]](api, name, step)
            for rest_s in range(0, step["then_s"], 10):
                for name in step["alive"]:
                    _renew(api, name, step)
                await api.clock.sleep(min(10, step["then_s"] - rest_s))

    api = play(NodeLifecycleController, scenario=scenario, api_of=Watched)
    assert isinstance(api, Watched)
    return api


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_a_pass_without_settled_nodes_does_what_one_over_all_does(steps: list[Step]) -> None:
    short = _played(steps)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Settled, "settle", lambda *_: None)
        full = _played(steps)
    assert short.written == full.written
    assert short.objects == full.objects
