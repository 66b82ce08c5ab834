"""What wakes which DaemonSet (spec section 2)."""

from collections.abc import Iterable

import msgspec
import pytest
from daemonset_world import NS, daemonset, node, owner, pod, revision, taint

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.objects import (
    ControllerRevision,
    DaemonSet,
    DaemonSetStatus,
    LabelSelector,
    Node,
    Pod,
)
from kubeherd.controller.daemonset.nodes import NodeRule
from kubeherd.controller.daemonset.wakeups import Wakeups, node_matters, node_wakes

ONE = daemonset(name="one", uid="u1", min_ready_s=10)
TWO = daemonset(name="two", uid="u2")
EMPTY = daemonset(name="empty", uid="u3", selector=LabelSelector())


class Lookup:
    def __init__(self, *daemonsets: DaemonSet) -> None:
        self.all = daemonsets

    def get(self, namespace: str, name: str) -> DaemonSet | None:
        return next((d for d in self.all if d.metadata.name == name and namespace == NS), None)

    def in_namespace(self, namespace: str) -> Iterable[DaemonSet]:
        return [d for d in self.all if d.metadata.namespace == namespace]


WAKEUPS = Wakeups(Lookup(ONE, TWO, EMPTY), lambda ds: labels.from_selector(ds.spec.selector))
OWNED = pod("p", "n0", owned_by=owner("u1", "one"))
ORPHAN = pod("p", "n0", owned_by=None)


def changed(found: Pod, **metadata: object) -> Pod:
    return msgspec.structs.replace(
        found,
        metadata=msgspec.structs.replace(found.metadata, resource_version="2", **metadata),
    )


def woken(old: Pod | None, new: Pod | None) -> list[str]:
    return [wake.key[1] for wake in WAKEUPS.pod_changed(old, new)]


def test_owned_pod_wakes_its_owner() -> None:
    assert woken(None, OWNED) == ["one"]
    assert woken(OWNED, changed(OWNED)) == ["one"]
    assert woken(OWNED, None) == ["one"]
    assert woken(None, changed(OWNED, deletion_timestamp="2026-01-01T00:00:00Z")) == ["one"]


def test_orphan_wakes_all_that_match_it() -> None:
    assert woken(None, ORPHAN) == ["one", "two"]
    assert woken(None, changed(ORPHAN, labels={})) == []
    assert woken(None, changed(ORPHAN, labels={"app": "x"})) == []
    assert woken(ORPHAN, None) == []
    assert woken(None, changed(ORPHAN, deletion_timestamp="2026-01-01T00:00:00Z")) == []


def test_orphan_update_matters_only_with_new_labels() -> None:
    assert woken(ORPHAN, changed(ORPHAN)) == []
    other = changed(ORPHAN, labels={"app": "x"})
    assert woken(other, msgspec.structs.replace(ORPHAN)) == ["one", "two"]


def test_the_same_resource_version_is_no_update() -> None:
    assert woken(OWNED, OWNED) == []


def test_a_change_of_owner_wakes_both() -> None:
    assert woken(OWNED, changed(OWNED, owner_references=[owner("u2", "two")])) == ["one", "two"]
    assert sorted(woken(OWNED, changed(OWNED, owner_references=()))) == ["one", "two"]


@pytest.mark.parametrize(
    "reference",
    [owner("other-uid", "one"), owner("u1", "missing"), owner("u1", "one", kind="ReplicaSet")],
)
def test_an_owner_that_cannot_be_resolved_wakes_nobody(reference: object) -> None:
    stranger = changed(OWNED, owner_references=[reference])
    assert woken(None, stranger) == []
    assert woken(stranger, None) == []


def test_a_pod_that_turns_ready_wakes_again_after_min_ready_seconds() -> None:
    ready = changed(pod("p", "n0", owned_by=owner("u1", "one"), ready=True))
    assert [wake.after_s for wake in WAKEUPS.pod_changed(OWNED, ready)] == [0.0, 11.0]
    of_two = pod("p", "n0", owned_by=owner("u2", "two"))
    ready_two = changed(pod("p", "n0", owned_by=owner("u2", "two"), ready=True))
    assert [wake.after_s for wake in WAKEUPS.pod_changed(of_two, ready_two)] == [0.0]


def test_a_revision_wakes_its_owner_or_all_that_match() -> None:
    owned = revision(ONE, 1)
    reference = (owner("u1", "one"),)
    owned = msgspec.structs.replace(
        owned, metadata=msgspec.structs.replace(owned.metadata, owner_references=reference)
    )
    orphan = msgspec.structs.replace(
        owned, metadata=msgspec.structs.replace(owned.metadata, owner_references=())
    )
    later = msgspec.structs.replace(
        owned, metadata=msgspec.structs.replace(owned.metadata, resource_version="2")
    )

    def names(old: ControllerRevision | None, new: ControllerRevision | None) -> list[str]:
        return [wake.key[1] for wake in WAKEUPS.revision_changed(old, new)]

    assert names(None, owned) == []
    assert names(None, orphan) == ["one", "two"]
    assert names(owned, owned) == []
    assert names(owned, later) == ["one"]
    assert names(owned, None) == ["one"]
    assert names(orphan, None) == []


def test_only_labels_and_taints_of_a_node_matter() -> None:
    plain = node("n0")
    unschedulable = msgspec.structs.replace(
        plain, spec=msgspec.structs.replace(plain.spec, unschedulable=True)
    )
    assert node_matters(None, plain)
    assert not node_matters(plain, None)
    assert not node_matters(plain, unschedulable)
    assert node_matters(plain, node("n0", labels={"a": "b"}))
    assert node_matters(plain, node("n0", taints=[taint("x")]))


def wakes_for(ds: DaemonSet, found: Node, *pods: Pod) -> bool:
    return node_wakes(ds, NodeRule(ds.spec.template).decide(found), pods)


def test_a_node_wakes_those_that_should_run_on_it() -> None:
    selecting = daemonset(name="one", uid="u1", spec={"nodeSelector": {"zone": "a"}})
    fitting = node("n0", labels={"zone": "a"})
    assert wakes_for(selecting, fitting)
    assert not wakes_for(selecting, node("n0"))
    assert not wakes_for(selecting, fitting, OWNED)


def test_a_node_wakes_those_whose_pod_must_go_or_is_misplaced() -> None:
    assert wakes_for(ONE, node("n0", taints=[taint("x", "NoExecute")]), OWNED)
    assert not wakes_for(ONE, node("n0", taints=[taint("x")]), OWNED)
    misplaced = msgspec.structs.replace(ONE, status=DaemonSetStatus(number_misscheduled=1))
    assert wakes_for(misplaced, node("n0"), OWNED)
    assert not wakes_for(misplaced, node("n0", taints=[taint("x")]))


def test_pods_count_by_the_owners_name_whatever_its_uid() -> None:
    other_uid = pod("p", "n0", owned_by=owner("former", "one"), phase="Failed", deleting=True)
    assert not wakes_for(ONE, node("n0"), other_uid)
    assert wakes_for(ONE, node("n0"), pod("p", "n0", owned_by=owner("u2", "two")))
