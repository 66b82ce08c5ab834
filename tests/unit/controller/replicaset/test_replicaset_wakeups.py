"""Which changes of a pod make its ReplicaSet be looked at."""

import msgspec
import pytest
from replicaset_world import pod

from kubeherd.cluster.api.objects import Pod, PodStatus
from kubeherd.controller.replicaset.wakeups import pod_matters

READY = pod("p", node="n", ready=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, READY),
        (READY, None),
        (READY, pod("p", node="n", ready=True, labels={"app": "b"})),
        (READY, pod("p", node="n", ready=True, owner=None)),
        (READY, pod("p", node="n", ready=True, deleting=True)),
        (READY, pod("p", node="n", ready=True, phase="Failed")),
        (READY, pod("p", node="n", ready=False)),
        (READY, pod("p", node="n", ready=True, ready_at_s=7)),
        (READY, pod("p", node="n", ready=True, uid="another life")),
    ],
)
def test_a_change_that_matters(old: Pod | None, new: Pod | None) -> None:
    assert pod_matters(old, new)


@pytest.mark.parametrize(
    "new",
    [
        pod("p", node="other", ready=True),
        pod("p", node="n", ready=True, restarts=9),
        pod("p", node="n", ready=True, cost="7"),
        pod("p", node="n", ready=True, phase="Unknown"),
        msgspec.structs.replace(
            READY,
            status=PodStatus(phase="Pending", pod_ip="::1", conditions=READY.status.conditions),
        ),
    ],
)
def test_a_change_that_no_plan_asks_for(new: Pod) -> None:
    assert not pod_matters(READY, new)
