"""Which StatefulSets an event of a pod wakes (spec statefulset-controller 1)."""

from collections.abc import Iterable

import msgspec
from statefulset_world import NS, owner, pod, statefulset

from kubeherd.cluster.api import labels
from kubeherd.cluster.api.objects import LabelSelector, Pod
from kubeherd.controller.statefulset.wakeups import Key, Wakeups
from kubeherd.controller.workload.apps import StatefulSet


def named(name: str, uid: str, app: str = "a") -> StatefulSet:
    of = statefulset(selector=LabelSelector(match_labels={"app": app}))
    metadata = msgspec.structs.replace(of.metadata, name=name, uid=uid)
    return msgspec.structs.replace(of, metadata=metadata)


class Sets:
    def __init__(self, *of: StatefulSet) -> None:
        self.of = of

    def get(self, namespace: str, name: str) -> StatefulSet | None:
        found = (one for one in self.of if (namespace, name) == (NS, one.metadata.name))
        return next(found, None)

    def in_namespace(self, namespace: str) -> Iterable[StatefulSet]:
        return self.of if namespace == NS else ()


SETS = Sets(named("web", "set-uid"), named("db", "db-uid"), named("other", "other-uid", "b"))
WEB, DB, OTHER = (NS, "web"), (NS, "db"), (NS, "other")


def woken(old: Pod | None, new: Pod | None) -> list[Key]:
    wakeups = Wakeups(SETS, lambda of: labels.from_selector(of.spec.selector))
    return wakeups.pod_changed(old, new)


MINE = pod("web-0")
THEIRS = pod("web-0", owned_by=owner("db-uid", "db"))
ORPHAN = pod("web-0", owned_by=None)


def test_the_owner_of_an_added_pod_is_woken() -> None:
    """TestStatefulSetControllerAddPod, ...AddPodNoSet."""
    assert woken(None, MINE) == [WEB]
    assert woken(None, pod("web-0", owned_by=owner("gone"))) == [], "another of its name"
    assert woken(None, pod("web-0", owned_by=owner("set-uid", kind="ReplicaSet"))) == []
    assert woken(None, pod("web-0", deleting=True)) == [WEB]


def test_an_orphan_wakes_all_that_could_adopt_it() -> None:
    """TestStatefulSetControllerAddPodOrphan, ...GetStatefulSetsForPod."""
    assert woken(None, ORPHAN) == [WEB, DB]
    assert woken(None, pod("web-0", owned_by=None, app="b")) == [OTHER]
    assert woken(None, pod("web-0", owned_by=None, app="c")) == []
    assert woken(None, pod("web-0", owned_by=None, deleting=True)) == []
    without = msgspec.structs.replace(ORPHAN.metadata, labels={})
    assert woken(None, msgspec.structs.replace(ORPHAN, metadata=without)) == []


def test_an_update_wakes_owners_old_and_new() -> None:
    """TestStatefulSetControllerUpdatePod, ...UpdatePodChangeControllerRef, ...UpdatePodRelease."""
    assert woken(MINE, MINE) == [WEB]
    assert woken(MINE, THEIRS) == [DB, WEB]
    assert woken(MINE, ORPHAN) == [WEB, DB], "released: others may want it"


def test_an_orphan_s_update_matters_if_its_labels_changed() -> None:
    """TestStatefulSetControllerUpdatePodOrphanWithNewLabels."""
    assert woken(ORPHAN, ORPHAN) == []
    assert woken(ORPHAN, pod("web-0", owned_by=None, app="b")) == [OTHER]


def test_a_deletion_wakes_the_owner_and_an_orphan_s_nobody() -> None:
    """TestStatefulSetControllerDeletePod, ...DeletePodOrphan."""
    assert woken(MINE, None) == [WEB]
    assert woken(ORPHAN, None) == []
