"""What a sync does, in order or in parallel (spec statefulset-controller 2, 4, 5.5, 7)."""

import pytest
from statefulset_world import (
    RETENTION,
    World,
    claim,
    created,
    deleted,
    numbers,
    owner,
    pod,
    settled,
    statefulset,
    works,
)

from kubeherd.controller.statefulset.model import PodWork, Verb
from kubeherd.controller.workload.apps import ClaimRetentionPolicy

both = pytest.mark.parametrize("parallel", [False, True], ids=["monotonic", "burst"])
policies = pytest.mark.parametrize("retention", RETENTION)

Policy = ClaimRetentionPolicy | None


def in_order(world: World) -> None:
    """assertMonotonicInvariants: no pod is ready whose predecessor is not; no gaps."""
    names = sorted(world.pods, key=lambda name: int(name.rpartition("-")[2]))
    start = int(names[0].rpartition("-")[2]) if names else 0
    assert names == [f"web-{start + index}" for index in range(len(names))]
    ready = [world.pods[name].ready for name in names]
    assert ready == sorted(ready, reverse=True)


@both
@policies
def test_pods_are_created_scaled_up_and_down(parallel: bool, retention: Policy) -> None:
    """TestStatefulSetControl: CreatePods, ScalesUp, ScalesDown."""
    world = World(statefulset(3, parallel=parallel, claims=["data"], retention=retention))
    check = (lambda: None) if parallel else (lambda: in_order(world))
    world.settle(check)
    assert numbers(world) == (3, 3, 3)
    world.update(replicas=4)
    world.settle(check)
    assert numbers(world) == (4, 4, 4)
    assert sorted(world.claims) == [f"data-web-{index}" for index in range(4)]
    world.update(replicas=0)
    world.settle(check)
    assert numbers(world) == (0, 0, 0)
    kept = retention is None or retention.when_scaled == "Retain"
    assert bool(world.claims) == kept


def test_in_order_a_pod_waits_for_the_one_before() -> None:
    world = World(statefulset(3))
    assert created(world.sync()) == ["web-0"]
    assert created(world.sync()) == []
    world.set_phase("web-0", "Running")
    assert created(world.sync()) == []
    world.make_ready()
    assert created(world.sync()) == ["web-1"]


def test_a_pod_is_well_when_it_is_running_and_ready() -> None:
    world = World(statefulset(2))
    world.sync()
    world.set_phase("web-0", "Pending", ready=True)
    assert created(world.plan()) == []


def test_in_parallel_nobody_waits() -> None:
    assert created(World(statefulset(3, parallel=True, start=5)).sync()) == [
        "web-5", "web-6", "web-7",
    ]  # fmt: skip


@both
def test_missing_pods_are_replaced(parallel: bool) -> None:
    """ReplacesPods."""
    world = settled(5, parallel=parallel)
    for gone in (0, 2, 4):
        del world.pods[f"web-{gone}"]
    assert created(world.plan()) == (["web-0", "web-2", "web-4"] if parallel else ["web-0"])
    world.settle()
    assert numbers(world) == (5, 5, 5)


@both
@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_an_ended_pod_is_deleted_once_and_made_anew(parallel: bool, phase: str) -> None:
    """RecreatesFailedPod, RecreatesSucceededPod, with and without a failure of the deletion."""
    world = settled(3, parallel=parallel)
    world.set_phase("web-1", phase)
    world.failing = lambda work: work.verb is Verb.DELETE
    assert deleted(world.sync()) == ["web-1"]
    assert "web-1" in world.pods
    world.failing = lambda _: False
    chosen = world.sync()
    assert (deleted(chosen), created(chosen)) == (["web-1"], [])
    chosen = world.sync()
    assert (deleted(chosen), created(chosen)) == ([], ["web-1"])


@both
def test_an_ended_pod_of_an_old_revision_is_deleted_once(parallel: bool) -> None:
    world = settled(2, parallel=parallel)
    world.update(image="img:2")
    world.set_phase("web-1", "Failed")
    assert deleted(world.plan()) == ["web-1"]


def test_an_ended_pod_that_is_going_is_left_alone() -> None:
    """TestStatefulSetControllerRespectsTermination."""
    world = World(statefulset(1), pods={"web-0": pod("web-0", phase="Failed", deleting=True)})
    assert not any(world.plan().phases)


@both
def test_what_failed_is_tried_again(parallel: bool) -> None:
    """CreatePodFailure, TestStatefulSetControlScaleDownDeleteError."""
    failures = {"web-1"}

    def fails_once(work: PodWork) -> bool:
        failed = work.name in failures
        failures.discard(work.name)
        return failed

    world = World(statefulset(3, parallel=parallel), failing=fails_once)
    world.settle()
    assert numbers(world) == (3, 3, 3)
    failures.add("web-1")
    world.update(replicas=0)
    world.settle()
    assert numbers(world) == (0, 0, 0)


@pytest.mark.parametrize("retention", RETENTION)
@both
def test_a_pending_pod_gets_the_claims_that_vanished(parallel: bool, retention: Policy) -> None:
    """RecreatesPVCForPendingPod."""
    world = World(statefulset(3, parallel=parallel, claims=["data"], retention=retention))
    world.sync()
    world.claims.clear()
    world.sync()
    assert "data-web-0" in world.claims
    world.make_ready("web-0")
    world.claims.clear()
    world.sync()
    assert "data-web-0" not in world.claims, "a running pod has what it has"


def test_a_claim_that_is_going_keeps_its_pod_away() -> None:
    """TestStatefulPodControlCreatePodPVCDeleting."""
    world = World(statefulset(1, claims=["a", "b", "c"]))
    world.claims = {name: claim(name, deleting=True) for name in ("a-web-0", "b-web-0")}
    ((work,), *_) = world.plan().phases
    assert work.failure == "[pvc a-web-0 is being deleted, pvc b-web-0 is being deleted]"
    assert [tree["metadata"]["name"] for tree in work.create_claims] == ["c-web-0"]
    world.sync()
    assert (list(world.pods), len(world.claims)) == ([], 3)
    assert world.plan().awaits_claims


@both
@pytest.mark.parametrize("deleted_too", ["Retain", "Delete"])
def test_a_claim_that_an_earlier_pod_owns_is_waited_for(parallel: bool, deleted_too: str) -> None:
    """TestStaleOwnerRefOnScaleup."""
    retention = ClaimRetentionPolicy(when_scaled="Delete", when_deleted=deleted_too)
    world = settled(2, parallel=parallel, claims=["data"], retention=retention)
    world.claims["data-web-2"] = claim("data-web-2", [owner("gone", "web-2", "Pod")])
    world.update(replicas=4)
    assert created(world.plan()) == (["web-3"] if parallel else [])
    assert world.plan().awaits_claims
    del world.claims["data-web-2"]
    world.settle()
    assert not world.plan().awaits_claims
    assert sorted(world.pods) == ["web-0", "web-1", "web-2", "web-3"]


def test_where_claims_are_retained_none_is_stale() -> None:
    world = World(statefulset(1, claims=["data"]))
    world.claims["data-web-0"] = claim("data-web-0", [owner("gone", "web-0", "Pod")])
    assert created(world.plan()) == ["web-0"]


def test_a_changed_policy_changes_the_owners() -> None:
    """TestStatefulPodControlRetentionPolicyUpdate, ...RetainDeletionPolicyUpdate."""
    world = settled(2, claims=["data"])
    assert not world.claims["data-web-1"].metadata.owner_references
    policy = ClaimRetentionPolicy(when_scaled="Delete", when_deleted="Delete")
    world.update(persistent_volume_claim_retention_policy=policy)
    chosen = world.sync()
    assert works(chosen, Verb.UPDATE) == ["web-0", "web-1"]
    assert not any(work.fixes_pod for work in chosen.replicas)
    (reference,) = world.claims["data-web-1"].metadata.owner_references
    assert reference.kind == "StatefulSet"
    world.update(replicas=1, persistent_volume_claim_retention_policy=policy)
    chosen = world.plan()
    ((work,), (doomed,)) = chosen.condemned_claims, chosen.condemned
    assert [one.kind for one in work.own_claims[0].references] == ["Pod"]
    assert (work.verb, doomed.verb, doomed.name) == (Verb.NOTHING, Verb.DELETE, "web-1")
    world.update(persistent_volume_claim_retention_policy=None, replicas=2)
    world.settle()
    assert all(not one.metadata.owner_references for one in world.claims.values())


def test_a_pod_that_is_condemned_hands_over_its_claims_first() -> None:
    """TestOrphanedPodsWithPVCDeletePolicy, in so far as an orphan is adopted and then condemned."""
    policy = ClaimRetentionPolicy(when_scaled="Delete", when_deleted="Retain")
    world = settled(1, claims=["data"], retention=policy)
    world.pods["web-5"] = pod("web-5", owned_by=None)
    world.claims["data-web-5"] = claim("data-web-5")
    world.sync()
    assert sorted(world.pods) == ["web-0"]
    assert sorted(world.claims) == ["data-web-0"]


# --- scaling down ---


def test_in_order_the_highest_goes_first_and_one_at_a_time() -> None:
    world = settled(5)
    world.graceful = True
    world.update(replicas=2)
    assert deleted(world.sync()) == ["web-4"]
    assert deleted(world.sync()) == [], "web-4 is going"
    world.finish_deletions()
    assert deleted(world.sync()) == ["web-3"]


def test_in_parallel_all_go_at_once() -> None:
    """TestParallelScale."""
    world = settled(10, parallel=True)
    world.graceful = True
    world.update(replicas=1)
    assert deleted(world.sync()) == [f"web-{index}" for index in range(9, 0, -1)]
    assert deleted(world.sync()) == []


def test_scaling_down_waits_for_wanted_pods() -> None:
    """TestStatefulSetControllerBlocksScaling."""
    world = settled(5)
    world.update(replicas=3)
    world.set_phase("web-1", "Running")
    assert deleted(world.plan()) == []


def test_scaling_down_waits_for_an_unready_condemned_pod_below() -> None:
    world = settled(5)
    world.update(replicas=2)
    world.set_phase("web-3", "Running")
    assert deleted(world.plan()) == ["web-4"], "the one above is well, and goes"
    world.set_phase("web-4", "Running")
    assert deleted(world.plan()) == [], "not the first that is unwell"
    world.make_ready("web-3")
    assert deleted(world.plan()) == ["web-4"], "it is the first that is unwell"


def test_pods_below_the_start_are_condemned() -> None:
    world = settled(3)
    world.update(ordinals=statefulset(1, start=2).spec.ordinals)
    world.settle()
    assert sorted(world.pods) == ["web-2", "web-3", "web-4"]
