"""How far workloads are, and what holds them up."""

import pytest
from herdrecords import daemonset, node, pod, revision, write

from kubeherd.herd.herd import Herd
from kubeherd.history import Record, Verb

KEY = "DaemonSet x/agent"


def herd(*records: Record) -> Herd:
    seen = Herd()
    for record in records:
        seen.see(record)
    return seen


def test_what_anybody_may_write_into_an_annotation_is_no_revision():
    for said in ("x", "٣", "-1", ""):
        metadata = {
            "name": "web-1",
            "namespace": "x",
            "annotations": {"deployment.kubernetes.io/revision": said},
            "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": True}],
        }
        web = {"metadata": {"name": "web", "namespace": "x"}, "spec": {"replicas": 1}}
        seen = Herd()
        seen.see(write("deployments.apps", web))
        seen.see(write("replicasets.apps", {"metadata": metadata}))
        (rollout,) = seen.rollouts.values()
        assert [one.number for one in rollout.revisions] == [0]


def test_a_daemonset_has_the_numbers_of_its_status_and_its_revisions_in_order():
    seen = herd(daemonset(4, 1, 3, budget="50%"), revision(2, "b", "app:2"))
    seen.see(revision(1, "a", "app:1"))
    rollout = seen.rollouts[KEY]
    assert (rollout.desired, rollout.updated, rollout.available) == (4, 1, 3)
    assert (rollout.unavailable, rollout.budget, rollout.done) == (1, 2, False)
    found = [(one.number, one.hash, one.images, one.cause) for one in rollout.revisions]
    assert found == [(1, "a", ("app:1",), "to app:1"), (2, "b", ("app:2",), "to app:2")]
    seen.see(revision(1, "a", "app:1", Verb.DELETE))
    assert [one.number for one in seen.rollouts[KEY].revisions] == [2]


def test_a_deployment_has_its_replicasets_for_revisions():
    deployment = {
        "metadata": {"name": "web", "namespace": "x"},
        "spec": {
            "replicas": 10,
            "strategy": {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        },
        "status": {"updatedReplicas": 10, "availableReplicas": 10},
    }
    replicaset = {
        "metadata": {
            "name": "web-1",
            "namespace": "x",
            "labels": {"pod-template-hash": "1"},
            "annotations": {"deployment.kubernetes.io/revision": "7"},
            "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": True}],
        },
        "spec": {"template": {"spec": {"containers": [{"image": "web:1"}]}}},
    }
    seen = herd(write("deployments.apps", deployment), write("replicasets.apps", replicaset))
    rollout = seen.rollouts["Deployment x/web"]
    assert (rollout.budget, rollout.surge, rollout.done) == (2, 3, True)
    assert [(one.number, one.object) for one in rollout.revisions] == [(7, "web-1")]
    assert list(seen.rollouts) == ["Deployment x/web"]


def test_a_workload_that_is_deleted_is_gone():
    seen = herd(daemonset(1, 1, 1), daemonset(1, 1, 1))
    seen.see(
        write("daemonsets.apps", {"metadata": {"name": "agent", "namespace": "x"}}, Verb.DELETE)
    )
    assert seen.rollouts == {}


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([daemonset(2, 2, 1), node("n"), pod("p", "n", ready=False)], "not ready: p"),
        ([daemonset(2, 2, 1), node("n", "Unknown"), pod("p", "n")], "nodes that are not Ready: n"),
        ([daemonset(2, 2, 1), pod("p", "n", deleted=True)], "terminating: p"),
        ([daemonset(2, 2, 1), pod("p", phase="Pending", ready=False)], "no node yet: p"),
        (
            [daemonset(3, 1, 2)],
            "the budget is spent (1 of 1 unavailable): 2 old pods wait",
        ),
        ([daemonset(3, 1, 3, strategy="OnDelete")], "OnDelete: old pods are replaced when they"),
        ([daemonset(3, 3, 3, generation=2)], "its controller has not seen the newest spec"),
        ([daemonset(3, 1, 3), revision(1, "a", "b")], "2 pods to go"),
    ],
)
def test_what_holds_a_rollout_up(records: list[Record], reason: str):
    seen = herd(*records)
    assert [one for one in seen.holds_up(seen.rollouts[KEY]) if one.startswith(reason)]


def test_nothing_holds_up_what_is_done():
    seen = herd(daemonset(1, 1, 1), node("n", "False"), pod("p", "n"))
    assert seen.holds_up(seen.rollouts[KEY]) == []
